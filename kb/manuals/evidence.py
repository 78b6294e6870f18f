"""The cards of a family: which are about it, which only touch code it shares, and how much each weighs.

A pull request is about a family when its title names it or it changes a file of the family's own. What merely changes a
file that other families use too is counted and left out, so that shared files don't drown the family's own.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from kb.cards import Card, CardFile, decode_card
from kb.families import Families, Family, glob_pattern
from kb.filters import Filter
from kb.references import engine_of
from kb.store import Store

# what a kind of change is worth to someone who works on the family
_KIND = {"model": 1.3, "perf": 1.3, "feature": 1.15, "fix": 1.0, "revert": 0.9, "refactor": 0.7, "other": 0.8,
         "test": 0.4, "docs": 0.3, "build": 0.3, "ci": 0.2}  # fmt: skip
PROSE = ("reviewed", "verified")  # whose prose somebody wrote after reading the diff
_CODE = ("runtime", "kernel")
_SWEEP = 12  # code files outside the family from which on a change that does not name it is a sweep over all models


@dataclass(frozen=True)
class FamilyCard:
    """A card that is about a family.

    Attributes:
        card: the card.
        own: its changed files that are the family's own.
        named: whether the title names the family.
        weight: how much it tells about the family; only the order means something.
    """

    card: Card
    own: tuple[CardFile, ...]
    named: bool
    weight: float

    @property
    def number(self) -> int:
        """The pull request's number."""
        return self.card.number

    @property
    def ref(self) -> str:
        """`sglang#18856`."""
        return f"{engine_of(self.card.repo)}#{self.card.number}"

    @property
    def day(self) -> str:
        """Day of the merge, empty when unknown."""
        return self.card.merged_at[:10]

    @property
    def is_reviewed(self) -> bool:
        """Whether a person or a model wrote the card's prose."""
        return self.card.status in PROSE

    @property
    def own_code(self) -> tuple[CardFile, ...]:
        """The family's own files that run in the engine."""
        return tuple(f for f in self.own if f.group in _CODE)


@dataclass(frozen=True)
class Evidence:
    """All a store holds about families in one repository.

    Attributes:
        families: the entries of the family table.
        repo: `owner/name`.
        cards: cards about the families, oldest first.
        shared: how many more cards only touch code that they share.
        indexed: newest commit the store has read of the repository, empty when none.
        indexed_at: its time.
    """

    families: tuple[Family, ...]
    repo: str
    cards: tuple[FamilyCard, ...]
    shared: int
    indexed: str
    indexed_at: str

    @property
    def engine(self) -> str:
        """Short engine name."""
        return engine_of(self.repo)

    def by_weight(self) -> list[FamilyCard]:
        """The cards, heaviest first."""
        return sorted(self.cards, key=lambda c: (-c.weight, -c.number))

    def is_own(self, path: str) -> bool:
        """Whether a path is the families' own."""
        return is_own(self.families, path)


def gather(store: Store, table: Families, slugs: Sequence[str], repo: str) -> Evidence:
    """The cards about families in a repository."""
    rows = store.scan("cards", ["card"], Filter(repos=(repo,), families=tuple(slugs)))["card"].to_pylist()
    families = tuple(table.entry(s) for s in slugs)
    found: list[FamilyCard] = []
    shared = 0
    for row in rows:
        card = weigh(decode_card(row), families, table)
        if card is None:
            shared += 1
        else:
            found.append(card)
    found.sort(key=lambda c: (c.card.merged_at, c.number))
    commits = store.scan("commits", ["sha", "committed_at"], Filter(repos=(repo,))).to_pylist()
    last = max(commits, key=lambda r: r["committed_at"], default={"sha": "", "committed_at": ""})
    return Evidence(families, repo, tuple(found), shared, last["sha"], last["committed_at"])


def weigh(card: Card, families: Sequence[Family], table: Families) -> FamilyCard | None:
    """A card with its weight, None when it is not about the families."""
    slugs = {f.slug for f in families}
    own = tuple(
        f for f in card.files if is_own(families, f.path) or (f.old_path and is_own(families, f.old_path))
    )
    named = bool(slugs & set(table.mentioned(card.title))) or (
        not card.files and bool(slugs & set(card.families))
    )
    if not own and not named:
        return None
    lines = sum((f.added or 0) + (f.removed or 0) for f in own if f.group in _CODE)
    whole = sum((f.added or 0) + (f.removed or 0) for f in card.files if f.group in _CODE)
    share = lines / whole if whole else 0.0
    weight = math.log2(1 + lines) * (0.3 + 0.7 * share) + (3.0 if named else 0.0)
    weight += 0.5 * math.log2(
        1 + sum(s.change == "introduced" for s in card.symbols if is_own(families, s.path))
    )
    weight += 1.0 if card.facts.flags_added or card.facts.env_added else 0.0
    weight *= _KIND[card.kind]
    outside = sum(f.group in _CODE for f in card.files) - sum(f.group in _CODE for f in own)
    if outside >= _SWEEP and not named:
        weight *= _SWEEP / (_SWEEP + 2 * outside)
    return FamilyCard(card, own, named, weight + (4.0 if card.status in PROSE else 0.0))


def is_own(families: Sequence[Family], path: str) -> bool:
    """Whether a path meets the globs of a family's own files."""
    return _own_pattern(tuple(g for f in families for g in f.paths)).fullmatch(path.lower()) is not None


@cache
def _own_pattern(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{glob_pattern(g.lower())})" for g in globs) or r"(?!)")
