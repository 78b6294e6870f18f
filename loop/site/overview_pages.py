"""Pages over many cards: home, months, search."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from kb.references import engine_of
from kb.status import StoreStatus
from loop.site.card_pages import Made
from loop.site.corpus import Corpus, Head
from loop.site.pages import Site, render
from loop.site.places import family_page, month_page, root_of, short_id
from loop.site.plots import columns, legend, months_between

_LATEST = 20
_TOP_FAMILIES = 24


@dataclass(frozen=True, slots=True)
class CardLink:
    """A card in a list."""

    address: str
    name: str
    title: str
    day: str
    kind: str
    status: str


def card_links(corpus: Corpus, heads: Iterable[Head], page: str) -> list[CardLink]:
    """Cards as a page lists them."""
    root = root_of(page)
    return [CardLink(corpus.held.link(h.id, root), short_id(h.id), h.title, h.day, h.kind, h.status) for h in heads]  # fmt: skip


def by_month(heads: Iterable[Head]) -> dict[str, Counter[str]]:
    """Engine -> month -> cards of a known day, the engine with most cards first."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for head in heads:
        if head.month:
            found[head.engine][head.month] += 1
    return dict(sorted(found.items(), key=lambda item: -item[1].total()))


def time_line(series: Mapping[str, Mapping[str, int]], address: Mapping[str, str] | None = None) -> Markup:
    """The plot of cards by month, with its legend."""
    months = [m for counts in series.values() for m in counts]
    if not months:
        return Markup("")
    drawn = columns(months_between(min(months), max(months)), series, address)
    return legend(list(series)) + drawn


def home(corpus: Corpus, status: StoreStatus, site: Site) -> Made:
    """The first page: what is held, how fresh it is, where to begin."""
    page = "index.html"
    series = by_month(corpus.heads)
    largest = sorted(corpus.by_family.items(), key=lambda item: (-len(item[1]), item[0]))[:_TOP_FAMILIES]
    return Made(
        page,
        render(
            "home.html", page, site,
            status=status,
            engines=[(engine_of(r.repo), r) for r in status.repositories],
            kinds=Counter(h.kind for h in corpus.heads).most_common(),
            plot=time_line(series),
            families=[(corpus.family_names[slug], family_page(slug), len(cards)) for slug, cards in largest],
            family_count=len(corpus.by_family),
            latest=card_links(corpus, [h for h in corpus.heads if h.day][:_LATEST], page),
            refused=corpus.refused[:20],
        ),
    )  # fmt: skip


def search(corpus: Corpus, site: Site, index: str) -> Made:
    """The page that searches; `index` is the folder of its data."""
    page = "search.html"
    months = sorted({h.month for h in corpus.heads if h.month})
    return Made(page, render("search.html", page, site, index=index, first=months[:1], last=months[-1:]))


def months(corpus: Corpus, site: Site) -> Iterator[Made]:
    """A page an engine and month with all its cards, and the page that leads to them: every card without a script."""
    grouped: defaultdict[tuple[str, str], list[Head]] = defaultdict(list)
    for head in corpus.heads:
        grouped[head.repo, head.month].append(head)
    yield Made("months.html", render("months.html", "months.html", site, years=_years(grouped)))
    for (repo, month), heads in grouped.items():
        page = month_page(repo, month)
        kinds = Counter(h.kind for h in heads).most_common()
        cards = card_links(corpus, heads, page)
        title = f"{engine_of(repo)}, {month or 'day unknown'}"
        yield Made(page, render("month.html", page, site, heading=title, cards=cards, kinds=kinds))


def _years(grouped: Mapping[tuple[str, str], Sequence[Head]]) -> list[tuple[str, list[tuple[str, list[tuple[str, str, int]]]]]]:  # fmt: skip
    """Engine -> year -> (month, page, cards), the newest year first."""
    engines: defaultdict[str, defaultdict[str, list[tuple[str, str, int]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for (repo, month), heads in sorted(grouped.items()):
        engines[engine_of(repo)][month[:4] or "day unknown"].append(
            (month[5:] or "all", month_page(repo, month), len(heads))
        )
    return [(engine, sorted(years.items(), reverse=True)) for engine, years in engines.items()]
