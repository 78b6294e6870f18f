"""From INIT to a measured, tuned baseline: probe, calibrate the noise, search flags with the same budget for all."""

from __future__ import annotations

from msgspec.structs import replace

from loop.campaign.database import Entry
from loop.campaign.progress import Progress, State
from loop.campaign.tasks import Arm, Preflighted, PreflightTask, Searched, SearchTask
from loop.driver.kit import Blocked, Broken, Kit, Turn
from loop.records import Comparison, EngineSpec
from loop.stats.compare import Question, noise_refusal

_CALIBRATIONS = 3  # a noisy hour may pass; a noisy machine does not


def init(kit: Kit, at: Progress) -> Turn:
    """Nothing but the frozen spec."""
    return Turn(replace(at, state=State.PREFLIGHT), ())


def preflight(kit: Kit, at: Progress) -> Turn:
    """What can't run here: an absent target ends the campaign, an absent competitor is named and left out."""
    found = kit.result(PreflightTask(at.tries), Preflighted)
    missing = dict(found.missing)
    if reason := missing.get("target"):
        raise Blocked(f"the target can't run here: {reason}")
    if found.busy:
        raise Blocked(f"the machine is not free: {found.busy}")
    absent = tuple(i for i in range(len(kit.spec.competitors)) if f"competitor {i}" in missing)
    entries = tuple(
        Entry(
            "external_block",
            kit.spec.id,
            f"{kit.spec.competitors[i].name} is left out: {missing[f'competitor {i}']}",
        )
        for i in absent
    )
    after = replace(at, state=State.CALIBRATE, best=found.base, base=found.base, absent=absent, tries=0)
    return Turn(after, entries)


def calibrate(kit: Kit, at: Progress) -> Turn:
    """The incumbent against itself: how large a difference is that means nothing."""
    policy = kit.spec.policy
    key = f"aa/{at.tries}"
    question = Question(
        "aa", key, "", "", policy.alpha, policy.aa_pairs, fixed=True, threshold=policy.min_gain
    )
    found = kit.comparison(question, None, kit.target(at), kit.target(at))
    if isinstance(found, Broken):
        raise Blocked(f"the target's server does not work: {found.reason}")
    kept = kit.blobs.keep(found)
    if refusal := noise_refusal(found, policy):
        if at.tries + 1 >= _CALIBRATIONS:
            raise Blocked(f"this machine is too noisy to measure on: {refusal}")
        return Turn(
            replace(at, state=State.CALIBRATE, tries=at.tries + 1),
            (Entry("note", kept, f"noisy: {refusal}"),),
        )
    text = f"A/A: {found.n} pairs, sigma {found.sigma:.2%}, least visible gain {found.mde:.2%}"
    after = replace(at, state=State.BASELINE, noise=kept, tries=0, rival=-1)
    return Turn(after, (Entry("baseline", kept, text),))


def baseline(kit: Kit, at: Progress) -> Turn:
    """Flag search of one engine a turn; its best flags take the place of the defaults only when a paired test says so."""
    number = at.rival
    engine = kit.spec.target if number < 0 else kit.spec.competitors[number]
    following = number + 1
    flags: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    if engine.search and number not in at.absent:
        flags, entries = _tuned(kit, at, number, engine)
    after = replace(at, flags=flags) if number < 0 else replace(at, rival_flags=(*at.rival_flags, flags))
    last = following >= len(kit.spec.competitors)
    return Turn(
        replace(after, state=State.GAP if last else State.BASELINE, rival=0 if last else following), entries
    )


def _tuned(
    kit: Kit, at: Progress, number: int, engine: EngineSpec
) -> tuple[tuple[str, ...], tuple[Entry, ...]]:
    plain = Arm(number, at.best if number < 0 else None)
    found = kit.result(SearchTask(number, plain), Searched)
    record = found.record or kit.spec.id
    if not found.flags:
        return (), (Entry("baseline", record, f"{engine.name}: {engine.search} trials, defaults are best"),)
    policy = kit.spec.policy
    level = kit.share
    question = Question("flags", f"flags/{engine.name}/{number}", "", "", level, policy.max_pairs)
    compared = kit.comparison(question, kit.noise(at), plain, Arm(number, plain.tree, found.flags))
    if isinstance(compared, Broken):
        return (), (
            Entry("baseline", record, f"{engine.name}: flags of the search failed: {compared.reason}"),
        )
    kept = kit.blobs.keep(compared)
    keeps = compared.verdict == "FASTER"
    text = f"{engine.name}: {' '.join(found.flags)}: {said(compared)}; {'kept' if keeps else 'defaults stay'}"
    entries = (
        Entry("baseline", record, f"{engine.name}: flag search of {engine.search} trials"),
        Entry("baseline", kept, text),
    )
    return (found.flags if keeps else ()), entries


def said(found: Comparison) -> str:
    """A comparison in a line."""
    return (
        f"{found.verdict} {found.mean:+.2%} [{found.low:+.2%}, {found.high:+.2%}], {found.n} pairs,"
        f" e {found.e_value:.3g} against {1 / found.level:.3g}"
    )
