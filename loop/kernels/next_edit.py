"""Counters of a kernel, digested into exactly one next edit, as facts that a proposer is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.counters.digest import Digest, digest
from analysis.counters.read import read_counters
from analysis.counters.rules import read_rules


@dataclass(frozen=True, slots=True)
class NextEdit:
    """One edit, and what it rests on.

    Attributes:
        rule: of `analysis/rules/counters.toml`.
        edit, why, source: the rule's words with this kernel's numbers.
        kernel: name as the report has it; `bound` memory, compute, latency or unknown.
        faster: percent of the baseline's duration, None without one.
    """

    rule: str
    edit: str
    why: str
    source: str
    kernel: str
    bound: str
    faster: float | None


def next_edit(
    candidate: Sequence[Path], baseline: Sequence[Path] = (), kernel: str | None = None
) -> NextEdit:
    """The one edit that counters call for.

    Args:
        candidate: reports or tables of Nsight Compute.
        baseline: the same before the last edit.
        kernel: a regular expression for its name.

    Raises:
        AnalysisError: a file can't be read, or holds no such kernel.
    """
    rules = read_rules()
    found: Digest = digest(
        read_counters(candidate, rules), read_counters(baseline, rules) if baseline else [], rules, kernel
    )
    first = found.kernels[0]
    edit = found.edit
    return NextEdit(
        edit.rule, edit.text, edit.why, edit.source, first.candidate.name, first.bound, first.faster
    )
