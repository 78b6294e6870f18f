"""The index that the browser searches: words to cards, cut into files so that a question loads a few of them.

    data/<version>/index.js    first word of each word file, repositories, kinds, families, months
    data/<version>/columns.js  two bytes a card: repository and kind for filters, and how many words it has
    data/<version>/w12.js      a range of the vocabulary in order, about 32 kB: words and their postings
    data/<version>/t3.js       titles, days, kinds and families of 64 cards, for the hits that are shown

Cards are numbered from the newest on, so that ties are broken by age and a range of months is a range of numbers. A
posting is a card and where in it the word stands: in title or number, in a name that the change introduced, in a path
or prose, in a name that it changed. Postings are varints of `gap * 4 + level`. The files are scripts that call one
function with data: unlike `fetch`, that works on pages opened from a folder. Pagefind, lunr and MiniSearch split words
as prose is split; ours are split by the store's own rule (kb/words.py), which finds `HiRadixCache` by `hi radix`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from array import array
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from kb.references import engine_of

WORD_FILE = 24_000  # bytes of postings and words from which on the next word file begins
TITLES = 64  # cards of a title file
_TOO_COMMON = 0.35  # words in a larger share of the cards tell nothing and weigh most
_COMMON_FROM = 500  # below that many cards every word is kept
_WORD = re.compile(r"[a-z0-9]{1,40}")
TITLE, INTRODUCED, PATH, CHANGED = 3, 2, 1, 0


class IndexedCard(NamedTuple):
    """What the index needs of a card. The words are those of the store's fields, joined by blanks."""

    repo: str
    number: int
    title: str
    day: str
    kind: str
    status: str
    families: tuple[str, ...]
    title_words: str
    introduced_words: str
    path_words: str
    description_words: str
    changed_words: str


@dataclass(frozen=True)
class BrowserIndex:
    """The files by name, their folder's name, and how many words and postings they hold."""

    version: str
    files: dict[str, str]
    words: int
    postings: int


def build_index(cards: Sequence[IndexedCard], families: Mapping[str, str]) -> BrowserIndex:
    """The index of some cards, newest first.

    Args:
        cards: the cards, at most 16 repositories and 16 kinds.
        families: slug -> name of the families that can be asked for.
    """
    postings = _postings(cards)
    repos = sorted({c.repo for c in cards})
    kinds = sorted({c.kind for c in cards})
    statuses = sorted({c.status for c in cards})
    files: dict[str, str] = {}
    firsts: list[str] = []
    for number, (first, words, blob) in enumerate(_word_files(postings)):
        firsts.append(first)
        files[f"w{number}.js"] = _script(f"w{number}", [words, base64.b64encode(blob).decode()])
    for number, start in enumerate(range(0, len(cards), TITLES)):
        rows = [
            [repos.index(c.repo), c.number, c.title, c.day, kinds.index(c.kind), statuses.index(c.status), " ".join(c.families)]
            for c in cards[start : start + TITLES]
        ]  # fmt: skip
        files[f"t{number}.js"] = _script(f"t{number}", rows)
    flags = bytes(min(repos.index(c.repo), 15) << 4 | min(kinds.index(c.kind), 15) for c in cards)
    lengths = _lengths(len(cards), postings)
    sizes = bytes(min(255, round(16 * math.log2(1 + n))) for n in lengths)
    files["columns.js"] = _script(
        "columns", [base64.b64encode(flags).decode(), base64.b64encode(sizes).decode()]
    )
    used = {f for c in cards for f in c.families}
    files["index.js"] = _script(
        "index",
        {
            "cards": len(cards), "titles": TITLES, "firsts": firsts, "kinds": kinds, "statuses": statuses,
            "repos": [[repo, engine_of(repo)] for repo in repos],
            "months": _months(cards), "length": round(sum(lengths) / max(len(cards), 1), 2),
            "families": [[slug, families.get(slug, slug)] for slug in sorted(used)],
        },
    )  # fmt: skip
    digest = hashlib.sha256("\0".join(files[name] for name in sorted(files)).encode()).hexdigest()
    return BrowserIndex(digest[:8], files, len(postings), sum(len(p) for p in postings.values()))


def _postings(cards: Sequence[IndexedCard]) -> dict[str, array[int]]:
    """Word -> `card * 4 + level` of all its cards, ascending; `family:slug` for the families."""
    found: defaultdict[str, array[int]] = defaultdict(lambda: array("I"))
    keep = _WORD.fullmatch
    for place, card in enumerate(cards):
        levels: dict[str, int] = {}
        for words, level in (
            (card.changed_words, CHANGED), (card.description_words, PATH), (card.path_words, PATH),
            (card.introduced_words, INTRODUCED), (card.title_words, TITLE), (str(card.number), TITLE),
        ):  # fmt: skip
            for word in words.split():
                levels[word] = level
        for word, level in levels.items():
            if keep(word):
                found[word].append(place << 2 | level)
        for family in card.families:
            found[f"family:{family}"].append(place << 2)
    most = len(cards) * _TOO_COMMON if len(cards) >= _COMMON_FROM else len(cards)
    return {w: p for w, p in found.items() if len(p) <= most or w.startswith("family:")}


def _lengths(cards: int, postings: Mapping[str, array[int]]) -> list[int]:
    """How many different words each card has."""
    found = [0] * cards
    for word in postings.values():
        for posting in word:
            found[posting >> 2] += 1
    return found


def _word_files(postings: Mapping[str, array[int]]) -> Iterator[tuple[str, str, bytes]]:
    """(first word, words joined by blanks, postings): for each word how many, then the varints."""
    words: list[str] = []
    blob = bytearray()
    size = 0
    for word in sorted(postings):
        if words and size + len(blob) >= WORD_FILE:
            yield words[0], " ".join(words), bytes(blob)
            words, blob, size = [], bytearray(), 0
        words.append(word)
        size += len(word) + 1
        _varint(blob, len(postings[word]))
        last = 0
        for posting in postings[word]:
            card = posting >> 2
            _varint(blob, card - last << 2 | posting & 3)
            last = card
    if words:
        yield words[0], " ".join(words), bytes(blob)


def _varint(blob: bytearray, number: int) -> None:
    while number > 127:
        blob.append(number & 127 | 128)
        number >>= 7
    blob.append(number)


def _months(cards: Sequence[IndexedCard]) -> list[list[Any]]:
    """Each month with the first of its cards; cards of unknown day come last, under an empty month."""
    found: list[list[Any]] = []
    place = 0
    for month, group in groupby(cards, key=lambda c: c.day[:7]):
        found.append([month, place])
        place += sum(1 for _ in group)
    return found


def _script(name: str, data: Any) -> str:
    """Data as a script. JSON is JavaScript; `<` is written so that no parser of pages could take it for a tag."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    return (
        f'prlore("{name}",{text})\n'.replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )
