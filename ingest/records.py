"""The nouns of ingestion: commits, changed files, hunks, symbols, pull requests.

Everything here is a frozen value read from a history. Line numbers are 1-based, ranges are inclusive,
text is decoded as UTF-8 with undecodable bytes replaced.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FileStatus = Literal["added", "deleted", "modified", "renamed", "copied", "type-changed"]
FileGroup = Literal["runtime", "kernel", "test", "benchmark", "docs", "ci", "build", "config"]
SymbolChange = Literal["introduced", "changed", "removed"]
SymbolSource = Literal["tree-sitter", "hunk-header", "none"]
DiffState = Literal["complete", "missing"]
LinkKind = Literal["reverts", "relands", "cherry-picks", "follows", "fixes", "extends", "counterpart"]
PrKind = Literal[
    "feature", "perf", "fix", "refactor", "model", "test", "docs", "ci", "build", "revert", "other"
]


@dataclass(frozen=True, slots=True)
class CommitHead:
    """One commit of the walk, before its diff is read.

    Attributes:
        sha: full object name.
        parents: full object names; the diff is taken against the first.
        committed_at: committer date, ISO 8601 with offset: the merge time of a squash merge.
        subject: first paragraph of the message on one line.
        body: the rest of the message.
    """

    sha: str
    parents: tuple[str, ...]
    committed_at: str
    subject: str
    body: str

    @property
    def is_merge(self) -> bool:
        """Whether the commit has more than one parent."""
        return len(self.parents) > 1


@dataclass(frozen=True, slots=True)
class Hunk:
    """One hunk of one file: ranges as in its header, `text` without the header line."""

    old_start: int
    old_lines: int
    new_start: int
    new_lines: int
    section: str
    text: str
    added: int
    removed: int

    @property
    def header(self) -> str:
        """The `@@` line without its section."""
        return f"@@ -{self.old_start},{self.old_lines} +{self.new_start},{self.new_lines} @@"


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition a pull request touched.

    Attributes:
        name: qualified name, parts joined with `.` (`::` stays inside C++ names as written).
        kind: class, function, method, kernel, struct, namespace, impl, trait, enum, module, macro.
        change: what happened to it.
        start: first line, on the new side, or on the old side when removed; 0 when only a hunk header told.
        end: last line, same side.
    """

    name: str
    kind: str
    change: SymbolChange
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class RawEntry:
    """One row of `git --raw --numstat -z`: the authority for paths, status, modes and counts.

    `added` and `removed` are None for binary files.
    """

    path: str
    old_path: str
    status: FileStatus
    old_mode: str
    new_mode: str
    old_blob: str
    new_blob: str
    added: int | None
    removed: int | None


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """A changed file with its hunks, symbols and place in the tree."""

    entry: RawEntry
    group: FileGroup
    hunks: tuple[Hunk, ...] = ()
    symbols: tuple[Symbol, ...] = ()
    symbol_source: SymbolSource = "none"

    @property
    def path(self) -> str:
        """Path on the new side (on the old side when deleted)."""
        return self.entry.path


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts drawn from a diff by rule.

    A name is `added` when added lines define or first mention it and no removed line does, and the
    reverse for `removed`; `flags_used` are command-line flags that tests, docs, CI or scripts pass, `commands`
    the engine's and the test runner's command lines they hold.
    """

    flags_added: tuple[str, ...] = ()
    flags_removed: tuple[str, ...] = ()
    flags_used: tuple[str, ...] = ()
    env_added: tuple[str, ...] = ()
    env_removed: tuple[str, ...] = ()
    config_added: tuple[str, ...] = ()
    config_removed: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """A relation to another pull request (`owner/name#N`) or, when no number is known, to a commit.

    A `counterpart` is another engine's pull request that the message or an added line of code names.
    """

    kind: LinkKind
    target: str


@dataclass(frozen=True, slots=True)
class PullRequest:
    """A merged pull request as its squash or merge commit shows it."""

    repo: str
    number: int
    title: str
    sha: str
    parent: str
    merged_at: str
    kind: PrKind
    tickets: tuple[str, ...]
    links: tuple[Link, ...]
    diff_state: DiffState
    files: tuple[ChangedFile, ...]
    blast_radius: tuple[str, ...]
    facts: Facts = field(default_factory=Facts)
    message: str = ""

    @property
    def id(self) -> str:
        """`owner/name#N`, unique across engines and forks."""
        return f"{self.repo}#{self.number}"

    @property
    def added(self) -> int:
        """Lines added, as numstat counts them (binary files count nothing)."""
        return sum(f.entry.added or 0 for f in self.files)

    @property
    def removed(self) -> int:
        """Lines removed, as numstat counts them."""
        return sum(f.entry.removed or 0 for f in self.files)
