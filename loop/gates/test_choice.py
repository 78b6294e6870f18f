"""Which of the base's tests a change calls for: those named after a changed module, and those that import it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from ingest.paths import group_of
from loop.gates.paths import rule_on

_MOST = 12
_PLAIN = frozenset("init main utils util base config core common types model test tests conftest".split())


def chosen_tests(base_paths: Iterable[str], changed: Sequence[str], always: Sequence[str]) -> tuple[str, ...]:
    """Test files to run, the spec's own first.

    Args:
        base_paths: paths of the campaign's base tree.
        changed: paths that the candidate changes.
        always: test files that the spec names.
    """
    stems = {_stem(path) for path in changed if rule_on(path).place == "code"} - _PLAIN
    held = sorted(p for p in base_paths if _is_test(p))
    named = [p for p in held if any(re.search(rf"(?:^|_){re.escape(s)}(?:_|$)", _stem(p)) for s in stems)]
    return tuple(dict.fromkeys([*always, *named[:_MOST]]))


def is_for_tests(path: str) -> bool:
    """Whether a path decides what a test run says: tests, their helpers and their configuration."""
    return group_of(path) == "test" or rule_on(path).reason in ("TEST_HOOK", "STARTUP_HOOK")


def _is_test(path: str) -> bool:
    return bool(re.search(r"(?:^|/)(?:test_[^/]*|[^/]*_test)\.py$", path))


def _stem(path: str) -> str:
    return (
        path.rpartition("/")[2]
        .partition(".")[0]
        .removeprefix("test_")
        .removesuffix("_test")
        .strip("_")
        .lower()
    )
