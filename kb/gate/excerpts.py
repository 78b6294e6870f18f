"""Excerpts: byte for byte in the diff, 5 to 12 lines where there are so many, with code, or a reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ingest.records import Hunk
from kb.cards import Card, Excerpt
from kb.diff_lines import LineKind, line_kinds, line_worth
from kb.excerpt_choice import is_generated
from kb.excerpts import MOST_LINES, moved_lines
from kb.gate.defects import Finding
from kb.stored_diff import Diff, hunk_lines

_MOST_EXCERPTS = 3
_WITHOUT_LINES = (
    "binary only",
    "modes and names only",
    "unreadable",
    "empty",
    "long lines only",
    "punctuation only",
)
_KINDS_OF: dict[str, tuple[LineKind, ...]] = {
    "imports only": ("import", "blank"), "comments only": ("comment", "blank", "import"), "licence only": ("licence", "blank", "comment"),
}  # fmt: skip


def check_excerpts(card: Card, diff: Diff | None) -> Iterator[Finding]:
    """Defects of the excerpts, and of the reason that stands for them."""
    if card.origin == "dossier":
        yield from _imported(card)
        return
    if card.coverage.state == "not read" or (card.origin == "starter" and not card.excerpts):
        return  # people's own words about code that is not shipped
    for excerpt in card.excerpts:
        yield from _shape(excerpt)
        if diff is not None:
            yield from _place(excerpt, diff)
    texts = [(e.path, e.hunk, e.text) for e in card.excerpts]
    if len(set(texts)) < len(texts):
        yield "excerpt repeated", "the same excerpt stands twice"
    if len(card.excerpts) > _MOST_EXCERPTS:
        yield "excerpt length", f"{len(card.excerpts)} excerpts, at most {_MOST_EXCERPTS} are wanted"
    yield from _reason(card, diff)


def _imported(card: Card) -> Iterator[Finding]:
    """Excerpts of others are unproven, but they must show code all the same."""
    if not card.excerpts and card.without_code is None:
        yield "no excerpt", "no excerpt that shows code"
    for excerpt in card.excerpts:
        yield from (f for f in _shape(excerpt) if not (f[0] == "excerpt header" and not excerpt.hunk))
        if not says_something(excerpt, None):
            yield "excerpt says nothing", f"{excerpt.path}: licence, imports or comments only"


def _shape(excerpt: Excerpt) -> Iterator[Finding]:
    lines = excerpt.text.split("\n")
    if any(line.startswith("@@") for line in lines):
        yield "excerpt header", f"{excerpt.path}: a hunk header stands in the excerpt"
    if not excerpt.hunk:
        yield "excerpt header", f"{excerpt.path}: the excerpt names no hunk"
    if len(lines) > MOST_LINES:
        yield "excerpt length", f"{excerpt.path}: {len(lines)} lines, at most {MOST_LINES} are wanted"
    if not any(line[:1] in ("+", "-") for line in lines):
        yield "excerpt says nothing", f"{excerpt.path}: no changed line in the excerpt"


def _place(excerpt: Excerpt, diff: Diff) -> Iterator[Finding]:
    hunks = [h for f in diff.named(excerpt.path) for h in f.hunks]
    if not diff.named(excerpt.path):
        yield "excerpt not in diff", f"{excerpt.path}: no file of the change"
        return
    if locate(excerpt, hunks) is None:
        yield "excerpt not in diff", f"{excerpt.path} {excerpt.hunk}: these lines are not in the diff"


def locate(excerpt: Excerpt, hunks: Sequence[Hunk]) -> tuple[Hunk, int] | None:
    """The hunk of an excerpt and the place of its first line in it, counted from 0."""
    wanted = excerpt.text.split("\n")
    for hunk in hunks:
        if hunk.header != excerpt.hunk:
            continue
        lines = hunk_lines(hunk)
        places = [excerpt.at - 1] if excerpt.at else range(len(lines) - len(wanted) + 1)
        for place in places:
            if lines[place : place + len(wanted)] == wanted:
                return hunk, place
    return None


def says_something(excerpt: Excerpt, diff: Diff | None) -> bool:
    """Whether a line of code stands in an excerpt; with the diff, a docstring begun above it is known as one."""
    lines = excerpt.text.split("\n")
    found = locate(excerpt, [h for f in diff.named(excerpt.path) for h in f.hunks]) if diff else None
    whole, place = (hunk_lines(found[0]), found[1]) if found else (lines, 0)
    kinds = line_kinds(excerpt.path, whole)[place : place + len(lines)]
    return any(line_worth(line, kind) > 0 and kind == "code" for line, kind in zip(lines, kinds, strict=True))


def _reason(card: Card, diff: Diff | None) -> Iterator[Finding]:
    reason = card.without_code
    if reason is None:
        if not card.excerpts:
            yield "no excerpt", "no excerpt, and no reason why"
        for excerpt in card.excerpts:
            if not says_something(excerpt, diff):
                yield (
                    "excerpt says nothing",
                    f"{excerpt.path}: licence, imports or comments only, and the change has code",
                )
        return
    groups = {f.group for f in card.files}
    if (reason.reason == "docs only" and groups != {"docs"}) or (
        reason.reason == "config only" and not groups <= {"docs", "config"}
    ):
        yield "without code", f"{reason.reason!r} does not hold: it changes {', '.join(sorted(groups))}"
    if reason.reason == "generated only" and not all(is_generated(f.path) for f in card.files):
        yield "without code", "'generated only' does not hold: people write some of its files"
    if reason.reason not in _WITHOUT_LINES and not reason.line:
        yield "without code", f"{reason.reason!r} lacks the line that shows it"
    if diff is not None and reason.line and reason.line not in set(diff.lines()) and len(reason.line) < 400:
        yield "without code", f"the line that shows {reason.reason!r} is not in the diff"
    if diff is not None and reason.reason in _KINDS_OF and _has_code(diff):
        yield "without code", f"{reason.reason!r} does not hold: the diff has code"


def _has_code(diff: Diff) -> bool:
    """Whether lines of code were changed, beyond moves and formatting inside a file."""
    return any(
        kind == "code"
        for file in diff.files
        for hunk in file.hunks
        for kind in line_kinds(file.path, hunk_lines(hunk), moved_lines(file.hunks))
    )
