"""What a load generator saw of two arms under the same prompts: answers of full length, of their own, and not in lumps.

These are the rows that times are computed from, so a candidate that behaves while it is asked one question at a time and
cuts corners under load is seen here. Only the generator's own counts are used.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from loop.gates.paired import sign_test
from loop.records import RequestRow, Workload

_SHORTER = 0.02
_UNLIKELY = 0.001
_FEWER_CHUNKS = 0.9


def outputs_problem(
    workload: Workload, incumbent: Sequence[RequestRow], candidate: Sequence[RequestRow]
) -> tuple[str, str] | None:
    """Why the candidate's rows are not those of the same work, None where they are.

    Args:
        workload: both arms' load.
        incumbent: its rows; prompts are the same by index.
        candidate: the other arm's rows.
    """
    ours = {row.index: row for row in incumbent if row.ok}
    theirs = {row.index: row for row in candidate}
    failed = [row for row in candidate if not row.ok and row.index in ours]
    if failed:
        return (
            "FAILED_REQUESTS",
            f"{len(failed)} requests that the incumbent served failed: {failed[0].error[:120]}",
        )
    both = [(ours[i], theirs[i]) for i in sorted(ours.keys() & theirs.keys())]
    if len(both) < len(ours):
        return "MISSING_REQUESTS", f"{len(ours) - len(both)} requests have no answer"
    return _lengths(workload, both) or _finishes(both) or _copies(both) or _lumps(both)


def _lengths(workload: Workload, both: Sequence[tuple[RequestRow, RequestRow]]) -> tuple[str, str] | None:
    ours, theirs = (sum(pair[side].output_tokens for pair in both) for side in (0, 1))
    if workload.ignore_eos:
        short = [b for _, b in both if b.output_tokens < workload.output_len * (1 - _SHORTER)]
        if short and theirs < ours * (1 - _SHORTER / 2):
            return (
                "SHORT",
                f"{len(short)} answers are shorter than the {workload.output_len} tokens asked for",
            )
        return None
    shorter = sum(b.output_tokens < a.output_tokens for a, b in both)
    longer = sum(b.output_tokens > a.output_tokens for a, b in both)
    if theirs < ours * (1 - _SHORTER) and sign_test(shorter, longer) < _UNLIKELY:
        return "SHORT", f"{shorter} answers are shorter, {longer} longer: {theirs} tokens for {ours}"
    return None


def _finishes(both: Sequence[tuple[RequestRow, RequestRow]]) -> tuple[str, str] | None:
    """Reasons for ending may move a little where sampling does; a reason of its own is the candidate's."""
    ours, theirs = (Counter(pair[side].finish for pair in both) for side in (0, 1))
    new = {reason for reason in theirs if reason not in ours}
    moved = sum((theirs - ours).values())
    if new and sum(theirs[r] for r in new) > 0.05 * len(both):
        return "FINISH", f"answers end with {', '.join(sorted(new))!r}, the incumbent's never do"
    if moved > max(2, 0.2 * len(both)):
        return "FINISH", f"{moved} of {len(both)} answers end for another reason"
    return None


def _copies(both: Sequence[tuple[RequestRow, RequestRow]]) -> tuple[str, str] | None:
    """The same text for prompts that had texts of their own."""
    ours, theirs = (len({pair[side].text for pair in both}) for side in (0, 1))
    if len(both) >= 4 and theirs < 0.9 * ours:
        return "COPIES", f"{theirs} different answers, the incumbent gave {ours}"
    return None


def _lumps(both: Sequence[tuple[RequestRow, RequestRow]]) -> tuple[str, str] | None:
    """Text held back and sent in lumps moves time from one metric to where none looks."""
    ours, theirs = (statistics.median(len(pair[side].chunk_ns) for pair in both) for side in (0, 1))
    if ours >= 4 and theirs < _FEWER_CHUNKS * ours:
        return "LUMPS", f"answers come in {theirs:g} chunks, the incumbent's in {ours:g}"
    return None
