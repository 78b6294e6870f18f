"""Pages of model families: how often and where each changed, and its manual in every engine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kb.families import Families
from kb.family_views import touched
from kb.manuals.evidence import gather
from kb.manuals.manual import write_manual
from kb.references import ENGINES
from kb.reports.manuals import manual_markdown
from kb.store import Store
from kb.trees.held_cards import HeldCardTree
from loop.site.card_pages import Made
from loop.site.corpus import Corpus, Head
from loop.site.overview_pages import by_month, card_links, time_line
from loop.site.pages import Site, render
from loop.site.places import Held, family_page, manual_page
from loop.site.prose import DOCUMENT, prose_html

_HOT = 15
_LATEST = 60


@dataclass(frozen=True, slots=True)
class FamilyLine:
    """A family in the list of all."""

    name: str
    slug: str
    address: str
    engines: tuple[int, ...]
    cards: int
    last: str


def family_list(corpus: Corpus, site: Site) -> Made:
    """The page of all families that have a card."""
    engines = sorted({h.engine for h in corpus.heads}, key=lambda e: (e not in ENGINES, e))
    lines = []
    for slug, heads in corpus.by_family.items():
        counts = Counter(h.engine for h in heads)
        last = max((h.day for h in heads), default="")
        lines.append(
            FamilyLine(corpus.family_names[slug], slug, family_page(slug), tuple(counts[e] for e in engines), len(heads), last)
        )  # fmt: skip
    lines.sort(key=lambda f: (-f.cards, f.slug))
    return Made(
        "families.html", render("families.html", "families.html", site, families=lines, engines=engines)
    )


def family_pages(corpus: Corpus, site: Site, manuals: Mapping[str, Sequence[str]]) -> Iterator[Made]:
    """A page a family; `manuals` are the engines in which it has one."""
    for slug, heads in corpus.by_family.items():
        page = family_page(slug)
        family = corpus.families.entry(slug)
        yield Made(
            page,
            render(
                "family.html", page, site,
                family=family,
                engines=Counter(h.engine for h in heads).most_common(),
                kinds=Counter(h.kind for h in heads).most_common(),
                plot=time_line(by_month(heads)),
                hot=_hot_files(corpus, slug, heads),
                manuals=[(e, manual_page(slug, e).rpartition("/")[2]) for e in manuals.get(slug, ())],
                latest=card_links(corpus, heads[:_LATEST], page),
                cards=len(heads),
            ),
        )  # fmt: skip


def _hot_files(corpus: Corpus, slug: str, heads: Sequence[Head]) -> list[tuple[str, int, int]]:
    """(path, cards, share of the most in per cent) of the family's files that changed most."""
    own = corpus.path_families
    counts = Counter(p for h in heads for p in touched(h.path_text) if slug in own[p])
    top = counts.most_common(_HOT)
    return [(path, n, round(100 * n / top[0][1])) for path, n in top]


def manuals_wanted(corpus: Corpus, least: int) -> list[tuple[str, str]]:
    """(family, engine) where a family has at least so many cards."""
    return [
        (slug, engine)
        for slug, heads in corpus.by_family.items()
        for engine, count in Counter(h.engine for h in heads).items()
        if engine in ENGINES and count >= least
    ]


class ManualWriter:
    """Makes the pages of manuals; each engine's tree is made once."""

    def __init__(self, store: Store, site: Site, held: Held, table: Families) -> None:
        self._store = store
        self._site = site
        self._held = held
        self._table = table
        self._trees: dict[str, HeldCardTree] = {}

    def page(self, slug: str, engine: str) -> Made | None:
        """The manual of a family in an engine, None where no card is about it."""
        repo = ENGINES[engine]
        evidence = gather(self._store, self._table, [slug], repo)
        if not evidence.cards:
            return None
        if repo not in self._trees:
            self._trees[repo] = HeldCardTree(self._store, repo)
        text = manual_markdown(write_manual(self._store, evidence, self._trees[repo]))
        page = manual_page(slug, engine)
        family = self._table.entry(slug)
        body = prose_html(text, page, self._held.by_url, longest=DOCUMENT)
        return Made(
            page,
            render(
                "manual.html",
                page,
                self._site,
                family=family,
                engine=engine,
                body=body,
                back=family_page(slug).rpartition("/")[2],
            ),
        )
