"""`tests`: the campaign's base tests run against the candidate's code, and against the parent's for comparison.

Every file that decides what a run says (tests, conftest, configuration) is put back as it was when the campaign began, so a
candidate's own edits of them count for nothing, and neither do those of candidates that were accepted before it. A test
that fails on the parent too is not the candidate's fault; a test that passed there has to pass.
"""

from __future__ import annotations

import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.errors import PrloreError
from loop.gates.results import failed, not_evaluated, passed
from loop.gates.test_choice import chosen_tests, is_for_tests
from loop.protocols import GateContext
from loop.records import Cost, Digest, GateResult, TreeRef
from loop.sandbox.bubblewrap import Walls, interpreter_folders
from loop.sandbox.environment import child_environment
from loop.sandbox.run import Command, Finished, Limits, run

_NO_TESTS_COLLECTED = 5
_USAGE = 4


@dataclass(frozen=True, slots=True)
class _Run:
    """What a test run said: names of tests that passed, and of those that did not."""

    passed: frozenset[str]
    other: frozenset[str]
    finished: Finished


class TestsGate:
    """Runs pytest in walls without network.

    Args:
        limits: of one run.
    """

    name = "tests"
    __test__ = False  # pytest takes classes of this name for tests

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits(seconds=900.0)

    def check(self, context: GateContext) -> GateResult:
        """Run the chosen tests on parent and candidate."""
        if context.proposal.flags is not None:
            return passed(self.name, "launch options change no code")
        if context.candidate is None:
            return not_evaluated(self.name, "NO_TREE", "there is no candidate tree")
        try:
            base = self._base(context)
            changed = [c.path for c in context.trees.changes(context.parent, context.candidate)]
            chosen = chosen_tests(context.trees.paths(base), changed, context.spec.tests)
            if not chosen:
                return passed(
                    self.name, "the base has no test for these files and the spec names none: nothing was run"
                )
            before = self._run(context, base, context.parent, chosen, "parent")
            if "No module named pytest" in before.finished.out:
                return not_evaluated(self.name, "NO_PYTEST", "the target's interpreter has no pytest")
            after = self._run(context, base, context.candidate, chosen, "candidate")
        except PrloreError as exc:
            return not_evaluated(self.name, "NOT_RUN", str(exc))
        return self._judge(context, chosen, before, after)

    def _judge(self, context: GateContext, chosen: Sequence[str], before: _Run, after: _Run) -> GateResult:
        shown: list[Digest] = [
            context.blobs.put(r.finished.out.encode("utf-8", "surrogatepass")) for r in (before, after)
        ]
        cost = Cost(seconds=before.finished.seconds + after.finished.seconds)
        if not before.passed:
            why = before.finished.stopped or f"status {before.finished.status}"
            if (
                before.finished.status in (_NO_TESTS_COLLECTED, _USAGE)
                or before.other
                or before.finished.stopped
            ):
                return not_evaluated(
                    self.name, "PARENT_FAILS", f"no chosen test passes on the parent ({why})", cost
                )
            return not_evaluated(self.name, "NOT_RUN", f"no test ran on the parent ({why})", cost)
        lost = sorted(before.passed - after.passed)
        if lost:
            reason = "TIMEOUT" if after.finished.stopped == "time" else "TESTS"
            return failed(
                self.name,
                reason,
                f"{len(lost)} tests that passed on the parent do not pass: {', '.join(lost[:3])}",
                shown,
                cost,
            )
        words = f"{len(before.passed)} tests of {len(chosen)} files, {before.finished.isolation}"
        return passed(self.name, words, shown, cost)

    def _base(self, context: GateContext) -> TreeRef:
        target = context.spec.target
        if target.repository is None or target.base is None:
            return context.parent
        return context.trees.resolve(target.repository, target.base)

    def _run(
        self, context: GateContext, base: TreeRef, tree: TreeRef, chosen: Sequence[str], word: str
    ) -> _Run:
        place = context.scratch / f"tests-{word}"
        source, home = place / "tree", place / "home"
        home.mkdir(parents=True)
        context.trees.checkout(tree, source)
        _put_back(context, base, tree, source)
        python = context.spec.target.python or sys.executable
        roots = [str(p) for p in (source / "python", source) if p.is_dir()]
        env = child_environment(home, {"PYTHONPATH": ":".join(roots)})
        report = home / "report.xml"
        argv = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-o", "addopts=", "--continue-on-collection-errors", f"--junitxml={report}",
                f"--rootdir={source}", *(str(source / path) for path in chosen)]  # fmt: skip
        walls = Walls(readable=(*interpreter_folders(python), source), writable=(home,))
        finished = run(Command(argv, source, env, walls, self._limits))
        return _Run(*_read(report), finished)


def _put_back(context: GateContext, base: TreeRef, tree: TreeRef, source: Path) -> None:
    """Files for tests as the base has them; those it lacks are taken away."""
    for change in context.trees.changes(base, tree):
        if is_for_tests(change.path):
            target = source / change.path
            target.unlink(missing_ok=True)
            content = context.trees.read(base, change.path)
            if content is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)


def _read(report: Path) -> tuple[frozenset[str], frozenset[str]]:
    """Tests that passed, and the others, of a report that the child wrote; one that can't be read says nothing passed."""
    try:
        if report.is_symlink() or report.stat().st_size > 32 << 20:
            return frozenset(), frozenset()
        root = ElementTree.fromstring(report.read_bytes())
    except (OSError, ElementTree.ParseError):
        return frozenset(), frozenset()
    good: set[str] = set()
    other: set[str] = set()
    for case in root.iter("testcase"):
        name = f"{case.get('classname', '')}::{case.get('name', '')}"
        bad = any(child.tag in ("failure", "error", "skipped") for child in case)
        (other if bad else good).add(name)
    return frozenset(good - other), frozenset(other)
