"""A card as Markdown that people edit, and back.

Above `## Facts` stands the prose, escaped so that it is inert wherever it is shown. Below stands the whole card as
JSON. Reading compares each bullet with what the JSON would have been written as: equal ones keep every byte they had,
others are read anew. So nothing is lost on the way, and what people change is what they wrote.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import cast

import msgspec

from ingest.errors import PrloreError
from kb.cards import Anchor, AnchorSource, Card, Claim, ClaimField, Number, decode_card, encode_card
from kb.reports.safe import markdown_text, one_line, plain, prose_markdown

_SECTIONS: tuple[tuple[str, ClaimField], ...] = (
    ("Motivation", "motivation"), ("Key implementation", "implementation"), ("Validation", "validation"), ("Risks", "risk"),
)  # fmt: skip
_HELP = """A claim is a bullet of one line; names of code in backticks. Below it stand its anchors, a line each:

    - at `path/file.py:12-20`                 lines of the file after the change
    - at `path/file.py:12-20` before          lines of the file before the change
    - at message 0-40                         characters of the commit message; `description` and `thread ID` likewise

Hashes are made when the card is saved. What stands below "Facts" comes from the history: leave it as it is."""
_ESCAPED = re.compile(r"\\([\\`*_\[\]<>#|!~&:.])")
_ANCHOR = re.compile(
    r"at `(?P<path>[^`]+):(?P<first>\d+)(?:-(?P<last>\d+))?`(?P<old> before)?(?:: (?P<says>.*))?$"
)
_SPAN = re.compile(
    r"at (?P<source>message|description|thread)(?: (?P<thread>\S+))? (?P<first>\d+)-(?P<last>\d+)(?:: (?P<says>.*))?$"
)
_RADIUS = re.compile(r"reaches (.*)$")
_NUMBER = re.compile(r"(?P<value>\S+(?: to \S+)?) (?P<unit>[^:]+): (?P<workload>.*) \((?P<where>[^()]*)\)$")


class CardFileError(PrloreError):
    """A file that holds no card, or one that was edited so that it can't be read."""


def to_markdown(card: Card) -> str:
    """The card as a file."""
    lines = [f"# {card.id}: {markdown_text(card.title)}", "", card.url, "", "<!--", _HELP, "-->"]
    for title, field in _SECTIONS:
        lines += ["", f"## {title}", ""]
        for claim in card.claims:
            if claim.field == field:
                lines += _claim_lines(claim, card.anchors)
    lines += ["", "## Numbers", ""]
    for number in card.numbers:
        lines += _number_lines(number, card.anchors)
    lines += ["", "## Excerpts", ""]
    for excerpt in card.excerpts:
        fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", excerpt.text))])
        lines += [
            markdown_text(f"{excerpt.path} {excerpt.hunk}"),
            "",
            f"{fence}diff",
            plain(excerpt.text),
            fence,
            "",
        ]
    facts = json.dumps(json.loads(encode_card(card)), indent=1, ensure_ascii=True)
    return "\n".join([*lines, "## Facts", "", "```json", facts, "```", ""])


def _claim_lines(claim: Claim, anchors: Sequence[Anchor]) -> list[str]:
    lines = [f"- {prose_markdown(claim.text)}".rstrip()]
    if claim.radius:
        lines.append(f"  - reaches {markdown_text(', '.join(claim.radius))}".rstrip())
    return lines + [f"  - {_anchor_line(anchors[a])}" for a in claim.anchors if 0 <= a < len(anchors)]


def _number_lines(number: Number, anchors: Sequence[Anchor]) -> list[str]:
    text = f"{number.value} {number.unit}: {number.workload} ({number.where})"
    return [f"- {prose_markdown(text)}".rstrip()] + [
        f"  - {_anchor_line(anchors[a])}" for a in number.anchors if 0 <= a < len(anchors)
    ]


def _anchor_line(anchor: Anchor) -> str:
    says = f": {markdown_text(anchor.says)}" if anchor.says else ""
    first, last = anchor.lines
    if anchor.source != "diff":
        thread = f" {one_line(anchor.thread)}" if anchor.thread else ""
        return f"at {anchor.source}{thread} {anchor.span[0]}-{anchor.span[1]}{says}".rstrip()
    place = f"{one_line(anchor.path)}:{first}" + (f"-{last}" if last != first else "")
    return f"at `{place.replace('`', ' ')}`{' before' if anchor.side == 'old' else ''}{says}".rstrip()


def from_markdown(text: str) -> Card:
    """A card from its file.

    Raises:
        CardFileError: the facts are missing or broken, or a line of the prose can't be read; the message names it.
    """
    head, found, rest = text.replace("\r\n", "\n").partition("\n## Facts\n")
    block = re.match(r"\s*```json\n(.*)\n```\s*$", rest, re.DOTALL)
    if not found or block is None:
        raise CardFileError("no card: the facts below `## Facts` are missing; export the card anew")
    try:
        card = decode_card(block[1])
    except msgspec.DecodeError as exc:
        raise CardFileError(f"no card: the facts below `## Facts` can't be read, {exc}") from exc
    return _Reading(
        card, re.sub(r"<!--.*?-->", lambda m: "\n" * m[0].count("\n"), head, count=1, flags=re.DOTALL)
    ).card()


class _Reading:
    """Puts a card together from its prose as edited and its facts."""

    def __init__(self, card: Card, head: str) -> None:
        self._card = card
        self._anchors = list(card.anchors)
        self._blocks = dict(_sections(head))

    def card(self) -> Card:
        """The card."""
        claims: list[Claim] = []
        changed = False
        for title, field in _SECTIONS:
            known = [c for c in self._card.claims if c.field == field]
            left = [(_claim_lines(c, self._card.anchors), c) for c in known]
            for number, block in self._blocks.get(title, []):
                same = next((pair for pair in left if pair[0] == block), None)
                if same is not None:
                    left.remove(same)
                    claims.append(same[1])
                else:
                    claims.append(self._claim(field, number, block))
                    changed = True
            changed = changed or bool(left)
        numbers = []
        rest = [(_number_lines(n, self._card.anchors), n) for n in self._card.numbers]
        for number, block in self._blocks.get("Numbers", []):
            same_number = next((pair for pair in rest if pair[0] == block), None)
            if same_number is not None:
                rest.remove(same_number)
                numbers.append(same_number[1])
            else:
                numbers.append(self._number(number, block))
                changed = True
        if not changed and not rest and sorted(map(repr, claims)) == sorted(map(repr, self._card.claims)):
            return self._card
        return msgspec.structs.replace(
            self._card, claims=tuple(claims), numbers=tuple(numbers), anchors=tuple(self._anchors)
        )

    def _claim(self, field: ClaimField, number: int, block: Sequence[str]) -> Claim:
        radius: tuple[str, ...] = ()
        anchors = []
        for offset, line in enumerate(block[1:], start=1):
            said = line.strip().removeprefix("- ")
            if match := _RADIUS.match(said):
                radius = tuple(part.strip() for part in _unescaped(match[1]).split(",") if part.strip())
            else:
                anchors.append(self._place(number + offset, said))
        return Claim(
            field=field, text=_prose(block[0][2:]), anchors=tuple(dict.fromkeys(anchors)), radius=radius
        )

    def _number(self, number: int, block: Sequence[str]) -> Number:
        match = _NUMBER.match(_prose(block[0][2:]))
        if match is None:
            raise CardFileError(f"line {number}: a number reads `1.3 x: workload (where it is stated)`")
        anchors = [
            self._place(number + i, line.strip().removeprefix("- "))
            for i, line in enumerate(block[1:], start=1)
        ]
        return Number(**match.groupdict(), anchors=tuple(dict.fromkeys(anchors)))

    def _place(self, number: int, said: str) -> int:
        """The place of an anchor in the card's list; one that is new joins it, without a hash."""
        for place, anchor in enumerate(self._card.anchors):
            if _anchor_line(anchor) == said:
                return place
        if match := _ANCHOR.match(said):
            lines = (int(match["first"]), int(match["last"] or match["first"]))
            anchor = Anchor(
                path=match["path"],
                lines=lines,
                side="old" if match["old"] else "new",
                says=_unescaped(match["says"] or ""),
            )
        elif match := _SPAN.match(said):
            span = (int(match["first"]), int(match["last"]))
            source = cast(AnchorSource, match["source"])
            says = _unescaped(match["says"] or "")
            anchor = Anchor(source=source, thread=match["thread"] or "", span=span, says=says)
        else:
            raise CardFileError(
                f"line {number}: {said[:60]!r} is no anchor: write at `path:first-last`, or at message first-last"
            )
        if anchor not in self._anchors:
            self._anchors.append(anchor)
        return self._anchors.index(anchor)


def _sections(head: str) -> Iterator[tuple[str, list[tuple[int, list[str]]]]]:
    """Title and bullets, each with its line number and the lines indented below it.

    Raises:
        CardFileError: a section of prose holds something else than bullets.
    """
    known = {title for title, _ in _SECTIONS} | {"Numbers"}
    title = ""
    blocks: list[tuple[int, list[str]]] = []
    for number, line in enumerate(head.split("\n"), start=1):
        if match := re.match(r"## (.+?)\s*$", line):
            if title in known:
                yield title, blocks
            title, blocks = match[1], []
        elif title in known and line.strip():
            if line.startswith("- ") or line.rstrip() == "-":
                blocks.append((number, [line.rstrip()]))
            elif line.startswith("  ") and blocks:
                blocks[-1][1].append(line.rstrip())
            else:
                raise CardFileError(
                    f"line {number}: {line[:60]!r} is no bullet: a claim is one line that begins with `- `"
                )
    if title in known:
        yield title, blocks


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text)


def _prose(text: str) -> str:
    """Text behind escapes; code in backticks has none."""
    parts = re.split(r"((?<!\\)`[^`]+`)", text)
    return " ".join("".join(p if p[:1] == "`" and len(p) > 2 else _unescaped(p) for p in parts).split())
