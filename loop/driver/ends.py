"""How a campaign ends: budgets, a confirmation on fresh draws, the report."""

from __future__ import annotations

from msgspec.structs import replace

from loop.campaign.database import Entry
from loop.campaign.progress import Progress, State
from loop.campaign.tasks import Arm
from loop.driver.kit import Blocked, Broken, Kit, Turn
from loop.driver.opening import said
from loop.stats.compare import Question

_CHECKED = {State.GAP, State.PROFILE, State.PROPOSE, State.MEASURE}


def over_budget(kit: Kit, at: Progress) -> str:
    """Why no further round, candidate or step may begin; empty while there is enough, a reserve kept back."""
    if at.state not in _CHECKED:
        return ""
    budgets = kit.spec.budgets
    if at.state == State.GAP and budgets.rounds is not None and at.round >= budgets.rounds:
        return f"{at.round} rounds"
    most = min(kit.spec.policy.max_candidates, budgets.candidates or kit.spec.policy.max_candidates)
    if at.state in (State.PROPOSE, State.PROFILE) and at.candidate >= most:
        return f"{at.candidate} candidates"
    used = kit.database.used()
    keep = 1.0 - budgets.reserve
    next_s = kit.database.typical("cluster") if at.state in (State.MEASURE, State.GAP) else 0.0
    for name, spent, bound in (
        ("wall seconds", used.seconds + next_s, budgets.wall_s),
        (
            "device seconds",
            used.device_s + (next_s if kit.spec.target.device != "cpu" else 0),
            budgets.device_s,
        ),
        ("tokens", float(used.tokens), budgets.tokens),
        ("USD", used.usd, budgets.usd),
    ):
        if bound is not None and spent >= keep * bound:
            return f"{spent:.6g} of {bound:.6g} {name}, {budgets.reserve:.0%} kept for the end"
    if budgets.disk_bytes is not None:
        size = sum(p.stat().st_size for p in kit.folder.objects.rglob("*") if p.is_file())
        if size >= budgets.disk_bytes:
            return f"{size} of {budgets.disk_bytes} bytes on disk"
    return ""


def confirm(kit: Kit, at: Progress) -> Turn:
    """The final stack against the stack of the beginning: fresh prompts, fresh starts, a number of pairs fixed before.

    This is the only number that a headline may carry: those of the single verdicts were chosen for being large.
    """
    if not at.accepted and at.flags == at.base_flags:
        return Turn(replace(at, state=State.REPORT), ())
    policy = kit.spec.policy
    question = Question("confirm", "confirm", "", "", policy.alpha, policy.confirm_pairs, fixed=True)
    found = kit.comparison(question, kit.noise(at), Arm(-1, at.base, at.base_flags), kit.target(at))
    if isinstance(found, Broken):
        raise Blocked(f"the confirmation could not be measured: {found.reason}")
    kept = kit.blobs.keep(found)
    return Turn(
        replace(at, state=State.REPORT, confirm=kept), (Entry("note", kept, f"confirmed: {said(found)}"),)
    )


def report(kit: Kit, at: Progress) -> Turn:
    """Close; views are rendered from what is stored, whenever they are asked for."""
    end = f"{at.end}: {at.end_reason}" if at.end else "ended"
    return Turn(replace(at, state=State.CLOSED), (Entry("note", at.confirm or kit.spec.id, end),))
