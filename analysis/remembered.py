"""A trace's finished report beside its columns, so that the second question computes nothing.

A report is known by what made it: the trace, the capture traces, and the code and rules of this package. Whoever changes
a rule asks a new question.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import msgspec

from analysis.report import TraceReport, analyse
from analysis.steps import stage_of_file
from analysis.trace import Trace


def report_of(trace: Trace, captures: Sequence[Trace] = ()) -> TraceReport:
    """The report of a trace, out of its sidecar when it was made before by the same rules.

    Args:
        trace: the trace.
        captures: as in `analyse`.
    """
    # the same content under another name may be of another stage
    words = (_rules(), str(stage_of_file(trace.path)), *(capture.sha256 for capture in captures))
    path = trace.folder / f"report.{hashlib.sha256(' '.join(words).encode()).hexdigest()[:16]}.json"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=TraceReport)
        return msgspec.structs.replace(found, file=trace.path.name, rank=trace.rank)
    except (OSError, msgspec.MsgspecError):
        pass
    made = analyse(trace, captures)
    _keep(path, made)
    return made


def _keep(path: Path, report: TraceReport) -> None:
    """Write a report in one piece; a full disk costs the memory, not the answer."""
    part = path.with_suffix(f".{os.getpid()}")
    try:
        part.write_bytes(msgspec.json.encode(report))
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)


@cache
def _rules() -> str:
    """A hash of everything that decides what a report says."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted([*here.glob("*.py"), *here.glob("kineto/*.py"), *here.glob("rules/*.toml")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()
