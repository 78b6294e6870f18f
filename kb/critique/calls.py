"""Calls and definitions of a patch, from whole files where their text is known and from its hunks where not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from ingest.calls import Call, SourceFacts, source_facts
from ingest.paths import language_of
from kb.critique.patch import Patch, PatchFile, PatchHunk

# calls that say nothing of a path through an engine
_DULL = re.compile(
    r"^(?:print|len|range|isinstance|issubclass|getattr|setattr|hasattr|super|int|str|float|bool|list|dict|set|tuple|type|zip|map|enumerate|min|max|"
    r"sum|any|all|sorted|repr|abs|next|iter|format|join|append|extend|update|get|pop|items|keys|values|split|strip|replace|startswith|endswith|"
    r"info|warning|warn|error|debug|info_once|warning_once|log|add|remove|copy|deepcopy|field|dataclass|cast|lower|upper|encode|decode|"
    r"shape|size|dim|numel|view|reshape|to|cuda|cpu|item|tolist|contiguous|clone|unsqueeze|squeeze|transpose|expand|empty|zeros|ones|full|tensor|"
    r"ValueError|RuntimeError|NotImplementedError|AssertionError|TypeError|KeyError|Exception|assert_|add_argument|round|open|"
    r"push_back|emplace_back|static_cast|reinterpret_cast|make_tuple|data_ptr|Some|Ok|Err|unwrap|clone|into|as_str|to_string|vec|format|println|id|"
    r"sizeof|constexpr|load|store|arange|program_id|cdiv|where|cat|stack|split|chunk|flatten|permute|index_select|masked_fill|fill_|copy_|zero_|"
    r"__init__|register_buffer|Parameter|device|dtype|is_tensor|no_grad|element_size|stride|nelement|title|group|match|search|sub|findall|compile)$"
)

_LIBRARY = re.compile(
    r"^(?:np|numpy|math|os|sys|re|json|time|logging|logger|torchvision|F|nn|std|torch(?!\.(?:ops|distributed|cuda)))(?:\.|::)|\.(?:prod|sum|mean|cumsum|any|all)$"
)


@dataclass(frozen=True, slots=True)
class Edge:
    """A call in the patched code. `is_new` is whether its line is added, `is_gone` whether it is taken away."""

    path: str
    caller: str
    callee: str
    name: str
    is_new: bool = False
    is_gone: bool = False


@dataclass(frozen=True, slots=True)
class FileFlow:
    """Calls of one file on its new side and the ones that were taken away; `whole` is whether the whole file was read."""

    path: str
    edges: tuple[Edge, ...]
    definitions: tuple[str, ...]
    changed: tuple[str, ...]
    whole: bool


def file_flow(file: PatchFile) -> FileFlow | None:
    """The calls of a file, None where it is in no language that is read."""
    language = language_of(file.path)
    if language is None or file.group in ("docs", "ci", "build", "config") or not file.hunks:
        return None
    changed = tuple(dict.fromkeys(s for h in file.hunks for s in h.symbols))
    edges: list[Edge] = []
    definitions: list[str] = []
    if file.source is not None:
        facts = source_facts(language, file.source)
        added = {r.new - 1 for h in file.hunks for r in h.lines if r.mark == "+"}
        edges += [Edge(file.path, c.caller, c.callee, c.name, c.row in added) for c in facts.calls]
        definitions += [d.name for d in facts.definitions]
        gone = [e for h in file.hunks for e in _piece(language, h, "-", changed) if e.is_gone]
    else:
        pieces = [e for h in file.hunks for e in _piece(language, h, "+", changed)]
        edges += pieces
        definitions += changed
        gone = [e for h in file.hunks for e in _piece(language, h, "-", changed) if e.is_gone]
    held = {(e.caller, e.callee) for e in edges}
    before = {(e.caller, e.callee) for e in gone}
    # a call that stood there before with other arguments is not new
    edges = [replace(e, is_new=False) if e.is_new and (e.caller, e.callee) in before else e for e in edges]
    edges += [e for e in gone if (e.caller, e.callee) not in held]
    telling = [
        e for e in edges if not _DULL.match(e.name) and not _LIBRARY.match(e.callee) and len(e.name) > 2
    ]
    return FileFlow(file.path, tuple(telling), tuple(definitions), changed, file.source is not None)


def _piece(language: str, hunk: PatchHunk, mark: str, changed: tuple[str, ...]) -> Iterator[Edge]:
    """Calls of one side of a hunk."""
    rows = [r for r in hunk.lines if r.mark in (mark, " ")]
    facts = _facts(language, "\n".join(r.text for r in rows))
    for call in facts.calls:
        row = rows[min(call.row, len(rows) - 1)]
        caller = _full(call, hunk, changed)
        yield Edge(hunk.path, caller, call.callee, call.name, row.mark == "+", row.mark == "-")


@lru_cache(maxsize=256)
def _facts(language: str, text: str) -> SourceFacts:
    return source_facts(language, text.encode("utf-8", "replace"))


def _full(call: Call, hunk: PatchHunk, changed: tuple[str, ...]) -> str:
    """The caller's qualified name: a piece of a file shows less of it than the file."""
    last = call.caller.split(".")[-1]
    if call.caller:
        fitting = [c for c in changed if c == call.caller or c.endswith(f".{call.caller}")]
        fitting = fitting or [c for c in changed if c.split(".")[-1] == last]
        return fitting[0] if fitting else call.caller
    return hunk.symbol


def flows(patch: Patch) -> list[FileFlow]:
    """The calls of all files of a patch, tests left aside."""
    made = (file_flow(f) for f in patch.files if f.group != "test")
    return [f for f in made if f is not None]
