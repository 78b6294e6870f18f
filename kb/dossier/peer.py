"""Markdown dossiers of others into `imported` cards: what they state, without what the gate would not let a card of ours say.

A document holds blocks `### PR #N - Title` with `- Field: text` lines, nested bullets of files, and a fenced diff. The
repository stands in the link. Templates, licence lines, imports and dangling hunk headers are left behind and counted;
a block that has nothing else is refused with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from ingest.paths import group_of
from ingest.records import FileStatus
from ingest.subjects import classify
from kb.cards import Card, CardFile, Claim, ClaimField, Coverage, Excerpt, State
from kb.diff_lines import line_kinds, line_worth
from kb.excerpts import MOST_LINES
from kb.families import Families
from kb.gate.check import check_card
from kb.gate.prose import is_template, unsafe

_BLOCK = re.compile(r"^### PR #(\d{1,7}) - (.+)$", re.MULTILINE)
_FIELD = re.compile(r"^- ([A-Z][A-Za-z/ ]{2,40}):[ \t]*(.*)$")
_LINK = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+)/pull/(\d{1,7})")
_STATE = re.compile(r"\b(merged|open|closed)\b(?:\s*/\s*(\d{4}-\d\d-\d\d))?")
_SCOPE = re.compile(r"(\d[\d,]*) files?, \+(\d[\d,]*)/-(\d[\d,]*)")
_FILE = re.compile(r"`([^`\s]+)` (added|modified|removed|deleted|renamed)(?: \+(\d+)/-(\d+))?")
_FENCE = re.compile(r"^```diff\n(.*?)^```\s*$", re.MULTILINE | re.DOTALL)
_DIFF_FILE = re.compile(r"diff -- (\S.*)$")
_HUNK = re.compile(r"@@ -\d+(?:,\d+)? \+\d+(?:,\d+)? @@")
_STATUS: dict[str, FileStatus] = {
    "removed": "deleted",
    "added": "added",
    "modified": "modified",
    "renamed": "renamed",
    "deleted": "deleted",
}
_CLAIMS: dict[str, ClaimField] = {
    "Motivation": "motivation", "Key implementation": "implementation", "Risk and verification": "risk",
    "Validation implications": "validation", "Risks": "risk",
}  # fmt: skip
_FEWEST_LETTERS = 20
_LONGEST = 1200
_EXCERPTS = 3


class DossierError(PrloreError):
    """A folder without dossiers."""


@dataclass(slots=True)
class Dossier:
    """Cards read from dossiers, blocks that were refused with the reason, and how often something was left behind."""

    cards: dict[str, Card] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    left: Counter[str] = field(default_factory=Counter)
    documents: int = 0


def read_dossiers(folder: Path, families: Families) -> Dossier:
    """All dossiers below a folder; of a pull request in several documents the fullest block counts.

    Raises:
        DossierError: there is no folder, or no block in any Markdown file below it.
    """
    if not folder.is_dir():
        raise DossierError(f"{folder} is no folder: name the one that holds the dossiers' Markdown files")
    found = Dossier()
    for path in sorted(folder.rglob("*.md")):
        if path.name.endswith((".zh.md", ".ja.md")) or not path.is_file():
            continue
        text = path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")
        blocks = list(_blocks(text))
        found.documents += bool(blocks)
        for number, title, body in blocks:
            _take(found, number, title, body)
    if not found.documents:
        raise DossierError(f"no dossier below {folder}: a dossier has blocks `### PR #N - Title`")
    _drop_shared(found)
    for card_id, card in found.cards.items():
        tags = families.tag(card.title, card.paths(), [])
        found.cards[card_id] = msgspec.structs.replace(card, families=tags)
    return found


def _drop_shared(found: Dossier) -> None:
    """Leave out sentences that stand on several cards: they speak of none of them."""
    counts = Counter((claim.field, claim.text) for card in found.cards.values() for claim in card.claims)
    for card_id, card in found.cards.items():
        own = tuple(c for c in card.claims if counts[c.field, c.text] == 1)
        found.left["shared sentence"] += len(card.claims) - len(own)
        found.cards[card_id] = msgspec.structs.replace(card, claims=own)


def _blocks(text: str) -> Iterator[tuple[int, str, str]]:
    heads = list(_BLOCK.finditer(text))
    for head, end in zip(heads, [*(h.start() for h in heads[1:]), len(text)], strict=False):
        body = re.split(r"^#{1,3} ", text[head.end() : end], maxsplit=1, flags=re.MULTILINE)[0]
        yield int(head[1]), " ".join(head[2].split()), body


def _take(found: Dossier, number: int, title: str, body: str) -> None:
    link = _LINK.search(body)
    if link is None or int(link[2]) != number:
        found.refused[f"#{number}"] = "its link names no pull request of this number"
        return
    card = _card(f"{link[1]}#{number}", title, body, found.left)
    defects = check_card(card)
    before = found.cards.get(card.id)
    if defects:
        if before is None:
            found.refused[card.id] = "; ".join(dict.fromkeys(f"{d.reason}: {d.what}" for d in defects))
    elif before is None or _fullness(card) > _fullness(before):
        found.cards[card.id] = card
        found.refused.pop(card.id, None)


def _fullness(card: Card) -> tuple[int, int, int]:
    return len(card.claims), len(card.excerpts), len(card.files)


def _card(card_id: str, title: str, body: str, left: Counter[str]) -> Card:
    fields = _fields(_FENCE.sub("", body))
    state, day = _state(fields.get("Status/date", "") or fields.get("State", ""))
    scope = _SCOPE.search(fields.get("Diff scope read", "") or fields.get("Diff coverage", ""))
    files, added, removed = (int(g.replace(",", "")) for g in scope.groups()) if scope else (0, 0, 0)
    named = _files(body)
    groups = frozenset(f.group for f in named)
    return Card(
        id=card_id,
        title=title,
        kind=classify(title, groups),
        status="imported",
        origin="dossier",
        state=state,
        merged_at=day,
        additions=added,
        deletions=removed,
        coverage=Coverage(state="not read", lines_total=added + removed, files_total=max(files, len(named))),
        claims=_claims(fields, title, left),
        files=named,
        excerpts=_excerpts(body, left),
        sources=(f"https://github.com/{card_id.replace('#', '/pull/')}",),
    )


def _fields(body: str) -> dict[str, str]:
    """First line of each field; nested bullets belong to none."""
    fields: dict[str, str] = {}
    for line in body.split("\n"):
        if match := _FIELD.match(line):
            fields.setdefault(match[1], " ".join(match[2].split()))
    return fields


def _state(text: str) -> tuple[State, str]:
    match = _STATE.search(text)
    if match is None:
        return "merged", ""
    states: dict[str, State] = {"merged": "merged", "open": "open", "closed": "closed"}
    return states[match[1]], (match[2] or "") if match[1] == "merged" else ""


def _files(body: str) -> tuple[CardFile, ...]:
    found: dict[str, CardFile] = {}
    for path, status, added, removed in _FILE.findall(body):
        counts = (int(added), int(removed)) if added else (None, None)
        found.setdefault(
            path,
            CardFile(
                path=path, group=group_of(path), status=_STATUS[status], added=counts[0], removed=counts[1]
            ),
        )
    return tuple(found.values())


def _claims(fields: dict[str, str], title: str, left: Counter[str]) -> tuple[Claim, ...]:
    claims = []
    for name, field_ in _CLAIMS.items():
        text = "".join(c for c in fields.get(name, "") if c.isprintable())[:_LONGEST]
        if sum(c.isalpha() for c in text) < _FEWEST_LETTERS:
            left["too short"] += bool(text)
        elif is_template(text, title):
            left[f"template {field_}"] += 1
        elif unsafe(text):
            left["unsafe text"] += 1
        else:
            claims.append(Claim(field=field_, text=text))
    return tuple(claims)


def _excerpts(body: str, left: Counter[str]) -> tuple[Excerpt, ...]:
    found: list[Excerpt] = []
    for block in _FENCE.findall(body):
        path, hunk, lines = "", "", []  # type: str, str, list[str]
        for line in [*block.split("\n"), "@@"]:
            if (match := _DIFF_FILE.match(line)) or line.startswith("@@"):
                found += _excerpt(path, hunk, lines, left)
                lines = []
                path = match[1].strip() if match else path
                header = _HUNK.match(line)
                hunk = header[0] if header else ""
            else:
                lines.append(line)
    return tuple(found[:_EXCERPTS])


def _excerpt(path: str, hunk: str, lines: list[str], left: Counter[str]) -> list[Excerpt]:
    kinds = line_kinds(path, lines)
    kept = [
        (line, kind)
        for line, kind in zip(lines, kinds, strict=True)
        if kind not in ("licence", "import", "mark", "long")
    ]
    while kept and not kept[-1][0].strip("+- \t"):
        kept.pop()
    if not kept:
        left["dangling hunk header" if hunk and not any(lines) else "licence or imports only"] += bool(
            hunk or any(lines)
        )
        return []
    if not any(kind == "code" and line_worth(line, kind) > 0 for line, kind in kept):
        left["licence or imports only"] += 1
        return []
    return [Excerpt(path=path, hunk=hunk, text="\n".join(line for line, _ in kept[:MOST_LINES]))]
