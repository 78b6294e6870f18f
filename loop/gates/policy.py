"""The patch policy: judged on the tree that comes of the patch, and on the patch against the paths it says it changes.

The tree is the authority, since what a diff's headers say and what git makes of them can differ. The patch is applied here
in an index and nothing of it is run.
"""

from __future__ import annotations

import msgspec

from ingest.errors import PrloreError
from loop.gates.paths import rule_on, shadows
from loop.gates.results import failed, not_evaluated, passed
from loop.gates.suspicions import Suspicion, suspicions
from loop.protocols import GateContext, Trees
from loop.records import GateResult, TreeRef
from loop.trees.patches import Change
from loop.trees.store import EXECUTABLE, FILE, SUBMODULE, SYMLINK, DoesNotApply

MOST_FILES = 40
MOST_LINES = 2000  # of code, added and removed; tuned configurations and tests don't count
_ABSENT = "000000"
_LONGEST_PATH = 240


class Breach(msgspec.Struct, frozen=True):
    """One thing a patch may not do."""

    reason: str
    path: str
    what: str


class PolicyGate:
    """`policy`: only regular text files of code and its companions, and nothing that reaches beyond them."""

    name = "policy"

    def check(self, context: GateContext) -> GateResult:
        """Judge the proposal's patch against its parent; launch options have none."""
        if context.proposal.flags is not None:
            if context.proposal.diff or context.proposal.files:
                return failed(self.name, "BOTH", "a proposal is a patch or launch options, not both")
            return passed(self.name, "launch options change no file")
        try:
            diff = context.blobs.get(context.proposal.diff)
            candidate = context.trees.apply(context.parent, diff)
        except DoesNotApply as exc:
            return failed(self.name, "DOES_NOT_APPLY", str(exc))
        except PrloreError as exc:
            return not_evaluated(self.name, "NO_PATCH", str(exc))
        changed = context.trees.changes(context.parent, candidate)
        said = frozenset(context.proposal.files)
        breaches = breaches_of(context.trees, context.parent, candidate, changed)
        breaches += [
            Breach("UNDECLARED", c.path, "changed, and not among the files of the proposal")
            for c in changed
            if c.path not in said
        ]
        found = suspicions_of(context.trees, context.parent, candidate, changed)
        breaches += [Breach(s.reason, "", s.code) for s in found if s.weight == "refuse"]
        shown = [context.blobs.put(msgspec.json.encode([breaches, found]))]
        if breaches:
            first = breaches[0]
            return failed(self.name, first.reason, f"{first.path}: {first.what}".removeprefix(": "), shown)
        flags = sorted({s.reason for s in found})
        return passed(
            self.name, f"{len(changed)} files" + (f"; to look at: {', '.join(flags)}" if flags else ""), shown
        )


def breaches_of(
    trees: Trees, parent: TreeRef, candidate: TreeRef, changed: tuple[Change, ...]
) -> list[Breach]:
    """What a change of trees does that it may not, the gravest kinds first."""
    if not changed:
        return [Breach("EMPTY", "", "the patch changes nothing")]
    found = [b for c in changed for b in _of_entry(c)]
    if found:
        return found
    found += _of_names(trees, candidate, changed)
    if len(changed) > MOST_FILES:
        found.append(Breach("TOO_MANY_FILES", "", f"{len(changed)} files, at most {MOST_FILES}"))
    lines = 0
    for change in changed:
        old = trees.read(parent, change.path) if change.old_mode != _ABSENT else b""
        new = trees.read(candidate, change.path) if change.new_mode != _ABSENT else b""
        if any(_is_binary(side or b"") for side in (old, new)):
            found.append(Breach("BINARY", change.path, "binary content can't be reviewed"))
        elif rule_on(change.path).place == "code" and not change.path.endswith((".json", ".csv")):
            lines += _changed_lines(old or b"", new or b"")
        if change.path.lower().endswith((".cmake", "cmakelists.txt")):
            found += _of_build(change.path, old or b"", new or b"")
    if lines > MOST_LINES:
        found.append(Breach("TOO_MANY_LINES", "", f"{lines} changed lines of code, at most {MOST_LINES}"))
    if not found and not any(rule_on(c.path).place == "code" for c in changed):
        found.append(Breach("NO_CODE", changed[0].path, "no file of the patch can change a measurement"))
    return found


def _of_entry(change: Change) -> list[Breach]:
    """What mode and path alone tell."""
    if change.new_mode == SYMLINK:
        return [Breach("SYMLINK", change.path, "a symbolic link can lead out of the tree")]
    if SUBMODULE in (change.new_mode, change.old_mode):
        return [Breach("SUBMODULE", change.path, "a submodule is another repository")]
    if change.new_mode not in (FILE, EXECUTABLE, _ABSENT):
        return [Breach("MODE", change.path, f"mode {change.new_mode}")]
    if len(change.path.encode("utf-8", "surrogateescape")) > _LONGEST_PATH:
        return [Breach("PATH", change.path[:80], "a path of over 240 bytes")]
    ruling = rule_on(change.path)
    if ruling.place in ("forbidden", "outside"):
        return [Breach(ruling.reason, change.path, f"not a candidate's to change ({ruling.place})")]
    return []


def _of_names(trees: Trees, candidate: TreeRef, changed: tuple[Change, ...]) -> list[Breach]:
    """Names that are taken for other files: by import, or where case does not count."""
    new = [c.path for c in changed if c.kind == "added"]
    if not new:
        return []
    held = frozenset(trees.paths(candidate))
    folded: dict[str, int] = {}
    for path in held:
        folded[path.casefold()] = folded.get(path.casefold(), 0) + 1
    found = [
        Breach("SHADOWS", p, "takes the name of another library's module") for p in new if shadows(p, held)
    ]
    return found + [
        Breach("PATH", p, "differs from another file by case only") for p in new if folded[p.casefold()] > 1
    ]


def _of_build(path: str, old: bytes, new: bytes) -> list[Breach]:
    """A build list that fetches or runs something it did not before."""
    words = (
        b"GIT_TAG",
        b"GIT_REPOSITORY",
        b"FetchContent_Declare",
        b"ExternalProject",
        b"DOWNLOAD",
        b"execute_process",
        b"add_custom_command",
    )
    before = set(old.split(b"\n"))
    bad = [line for line in new.split(b"\n") if line not in before and any(w in line for w in words)]
    return [Breach("DEPENDENCY", path, bad[0].decode("utf-8", "replace").strip()[:120])] if bad else []


def _is_binary(content: bytes) -> bool:
    if b"\0" in content[: 1 << 16]:
        return True
    try:
        content.decode()
    except UnicodeDecodeError:
        return True
    return False


def _changed_lines(old: bytes, new: bytes) -> int:
    """Lines that one side has and the other has not, as multisets: never more than a diff counts."""
    counts: dict[bytes, int] = {}
    for sign, side in ((1, new), (-1, old)):
        for line in side.split(b"\n"):
            counts[line] = counts.get(line, 0) + sign
    return sum(abs(n) for n in counts.values())


def suspicions_of(
    trees: Trees, parent: TreeRef, candidate: TreeRef, changed: tuple[Change, ...]
) -> list[Suspicion]:
    """Suspicious constructs that a change of trees brings into Python code; tests are judged by where they run."""
    paths = [c.path for c in changed if c.path.endswith((".py", ".pyi")) and rule_on(c.path).place == "code"]
    before = {p: trees.read(parent, p) for p in paths}
    after = {p: trees.read(candidate, p) for p in paths}
    return suspicions(before, after)
