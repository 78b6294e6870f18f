"""The report: who, what, why on one page; every number leads to the appendix and from there to its raw rows."""

from __future__ import annotations

import math

from loop.campaign.progress import End
from loop.records import Comparison
from loop.reports.story import Story, Told
from loop.reports.words import blob_link, code, command, gain, linked, percent, table, words

_SHOWN = 12  # candidates on the page; all are in the ledgers

_ENDS = {
    End.BEST: "no competitor is faster",
    End.TIED: "no competitor can be told to be faster",
    End.NO_ROW: "nothing in the profile is large enough to pay",
    End.BLOCKED: "something outside the campaign's power stands in the way",
    End.BUDGET: "a budget ran out",
    End.STALLED: "rounds brought nothing, though the research was widened",
    End.CANCELLED: "it was cancelled",
}


def final_report(story: Story) -> str:
    """The page."""
    spec, at = story.spec, story.at
    lines = [f"# {words(spec.name)}", "", _headline(story), ""]
    lines += [
        f"Target {words(spec.target.name)} {code(at.base.commit[:12]) if at.base else '(installed)'}, model"
        f" {words(spec.model.name or spec.model.path)}, {words(spec.hardware) or 'hardware not stated'}."
        f" Ended: **{at.end or at.state}**, {words(at.end_reason) or _ENDS.get(at.end, 'under way') if at.end else 'under way'}.",
        f"{at.round} rounds, {at.candidate} candidates, {len(at.accepted)} accepted;"
        f" {story.used.seconds / 60:.1f} minutes of measuring, {story.used.tokens} tokens, {story.used.usd:.2f} USD."
        " [Appendix](appendix.md), [manifest](manifest.md), [ledger](humanize/attempt-ledger.md).",
        "",
        "## Benchmark",
        "",
        *_benchmark(story),
        "",
        "## Accepted",
        "",
        *_accepted(story),
        "",
        "## Refused",
        "",
        *_refused(story),
        "",
        "## What is left",
        "",
        *_left(story),
        "",
    ]
    return "\n".join(lines)


def _headline(story: Story) -> str:
    at = story.at
    if at.confirm:
        found = story.comparisons[at.confirm]
        if found.verdict == "FASTER":
            return (
                f"**The target is {linked(found)} faster than at the start**, confirmed on fresh prompts and server"
                f" starts ({found.n} pairs, fixed beforehand)."
            )
        return (
            f"**Not confirmed**: {len(at.accepted)} changes were accepted, but the fresh confirmation says"
            f" {found.verdict} {linked(found)} ({found.n} pairs)."
        )
    if at.accepted:
        return "**Not confirmed**: changes were accepted, but the fresh confirmation could not be measured."
    return "**No change was accepted**; the target is what it was."


def _benchmark(story: Story) -> list[str]:
    """Fixed load, noise, gaps before and after."""
    loads = ", ".join(
        f"{words(w.name)} {w.input_len}/{w.output_len}, {w.num_prompts} prompts,"
        f" {f'concurrency {w.concurrency}' if w.concurrency else f'{w.request_rate:g} req/s'}"
        for w in story.spec.workloads
    )
    lines = [f"Load, fixed at the start: {loads}. Deciding metric: {story.spec.policy.metric}."]
    if story.at.noise:
        noise = story.comparisons[story.at.noise]
        lines.append(
            f"The same build against itself: {linked(noise)}, {noise.n} pairs, spread {noise.sigma:.2%} a pair."
        )
    rows = [
        (
            f"round {_round(story, found)}",
            words(story.side_name(found.b)),
            linked(found),
            found.verdict,
            str(found.n),
        )
        for found in story.of_kind("gap")
    ]
    if rows:
        lines += ["", *table(("When", "Competitor", "Faster than the target by", "Verdict", "Pairs"), rows)]
    winners = list(dict.fromkeys(command(build) for build in story.builds.values()))
    if winners:
        lines += ["", "Commands: [winning-commands.md](benchmark/winning-commands.md)."]
    return lines


def _round(story: Story, found: Comparison) -> str:
    return next((str(row.round) for row in story.rows if row.body == found.id), "?")


def _accepted(story: Story) -> list[str]:
    rows = []
    for told in story.accepted:
        found = told.comparisons[0]
        bundle = told.bundle
        where = (
            f"{bundle.stage} {code(bundle.row_id)} {bundle.share:.1%} at {code(bundle.location)}"
            if bundle
            else ""
        )
        profile = story.profiles.get(bundle.profile) if bundle else None
        if profile and profile.layers:
            where += f" ({blob_link(profile.layers, words='layers')})"
        cards = ", ".join(dict.fromkeys(words(card.card_id) for card in bundle.cards)) if bundle else ""
        rows.append(
            (
                str(told.number),
                f"{told.proposal.proposer} {words(told.proposal.source)}".strip(),
                linked(found),
                where,
                cards,
                _change(told),
            )
        )
    lines = table(("No.", "Proposal", "Gain when accepted", "Row", "Cards", "Change"), rows)
    if rows:
        lines += [
            "",
            "Gains of single verdicts were picked for being large; only the headline was measured afresh.",
        ]
    return lines


def _change(told: Told) -> str:
    if told.proposal.flags is not None:
        return code(" ".join(told.proposal.flags))
    return f"[{len(told.proposal.files)} files](patches/{told.number:03d}-accept.patch)"


def _refused(story: Story) -> list[str]:
    refused = [told for told in story.candidates if told.verdict is not None and not told.accepted]
    rows = []
    for told in refused[:_SHOWN]:
        last = told.gates[-1] if told.gates else None
        measured = linked(told.comparisons[0]) if told.comparisons else "not timed"
        why = told.verdict.reason if told.verdict else ""
        detail = last.detail if last and not told.comparisons else ""
        rows.append(
            (
                str(told.number),
                f"{told.proposal.proposer} {words(told.proposal.source)}".strip(),
                words(why),
                measured,
                words(detail[:120]),
            )
        )
    lines = table(("No.", "Proposal", "Reason", "Measured", "Detail"), rows)
    if len(refused) > _SHOWN:
        lines += ["", f"and {len(refused) - _SHOWN} more in the [ledger](humanize/attempt-ledger.md)."]
    return lines


def _left(story: Story) -> list[str]:
    """Where the target stands against the best observed."""
    last: dict[str, Comparison] = {story.side_name(found.b): found for found in story.of_kind("gap")}
    absent = [story.spec.competitors[i].name for i in story.at.absent]
    lines = []
    for name, found in last.items():
        word = {
            "FASTER": f"{words(name)} is still faster by {linked(found)}: the target does not match it.",
            "SLOWER": f"The target beats {words(name)}, which is {linked(found)} of it.",
            "TIED": f"The target matches {words(name)} within the threshold ({linked(found)}).",
            "UNDECIDED": f"Whether {words(name)} is faster could not be told: {linked(found)}.",
        }[found.verdict]
        stale = story.accepted and not story.at.gaps
        lines.append(word + (" (before the last accepted change)" if stale else ""))
    lines += [f"{words(name)} could not run here and was not replaced by anything." for name in absent]
    if not lines:
        lines.append("There was no competitor to hold the target against.")
    tops = [row for profile in story.profiles.values() for row in profile.rows[:1]]
    if tops:
        top = tops[-1]
        lines.append(
            f"The largest row of the last profile is {code(top.name)} with {top.share:.1%}:"
            f" removing it whole could pay {1 / max(1 - top.share, 1e-3) - 1:.1%}."
        )
    return [f"- {line}" for line in lines]


def appendix(story: Story) -> str:
    """Every comparison with its blocks, every block with its raw rows."""
    lines = [
        "# Appendix",
        "",
        "Log ratios are B over A; positive is better for B. Every digest is a stored file.",
        "",
    ]
    for found in story.comparisons.values():
        lines += _comparison(story, found)
    return "\n".join(lines)


def _comparison(story: Story, found: Comparison) -> list[str]:
    lines = [
        f"## {found.key.replace('/', '-')}",
        "",
        f"{found.kind}: {found.verdict} ({found.reason}), {gain(found)}, {found.n} pairs, spread {found.sigma:.2%}"
        f" a pair, e {found.e_value:.4g} against {1 / found.level:.4g}, threshold {percent(found.threshold)},"
        f" visible {percent(found.mde)}. A: {_build(story, found.a)}, B: {_build(story, found.b)}."
        f" Record {blob_link(found.id)}.",
        "",
    ]
    if found.side:
        rows = [
            (s.name, percent(s.mean), percent(s.lower), percent(-s.margin), "holds" if s.holds else "worse")
            for s in found.side
        ]
        lines += [*table(("Held metric", "Mean", "95 % bound", "Margin", ""), rows), ""]
    arms: list[tuple[str, ...]] = []
    for digest in found.blocks:
        block = story.blocks[digest]
        for run in block.runs:
            arms.append(
                (
                    blob_link(digest, words=str(block.index)),
                    block.order,
                    str(block.restart),
                    run.arm,
                    words(run.workload),
                    f"[{run.metrics.output_throughput:.2f}](../objects/{run.rows[:2]}/{run.rows[2:]})",
                    f"{run.metrics.p50_ttft_ms:.2f}",
                    f"{run.metrics.p50_tpot_ms:.3f}",
                    _cpu(run.metrics.cpu_seconds_per_token),
                    "" if block.valid else words(block.reason),
                )
            )
    head = (
        "Pair",
        "Order",
        "Start",
        "Arm",
        "Load",
        "tok/s",
        "TTFT p50 ms",
        "TPOT p50 ms",
        "CPU ms/token",
        "Invalid",
    )
    return [*lines, *table(head, arms), ""]


def _cpu(value: float | None) -> str:
    return f"{1e3 * value:.4f}" if value is not None and math.isfinite(value) else ""


def _build(story: Story, digest: str) -> str:
    return f"{words(story.side_name(digest))} {blob_link(digest)}" if digest in story.builds else "unknown"
