"""From a row of a trace to cards of the knowledge base: the only place that knows both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from analysis.fuse import FuseRow
from analysis.kernel_table import KernelRow
from kb.evidence import Bottleneck
from kb.filters import Filter
from kb.references import repository_of
from kb.search import Searcher

_CARDS = 3


@dataclass(frozen=True)
class CardLine:
    """A card as a report names it."""

    id: str
    title: str
    url: str
    merged_at: str
    status: str


@dataclass(frozen=True)
class Evidence:
    """Cards for one row.

    Attributes:
        ref: the row's reference.
        question: what was asked.
        answered: whether the knowledge base thinks that any of the cards fits; when not, there are none.
        cards: best first.
    """

    ref: str
    question: str
    answered: bool
    cards: tuple[CardLine, ...]


def gather(
    searcher: Searcher, kernels: Sequence[KernelRow], fusions: Sequence[FuseRow], engine: str | None
) -> list[Evidence]:
    """Evidence for rows of a trace: a kernel by its name and source, a fusion by the pull requests of its paths."""
    repo = repository_of(engine) if engine else None
    where = Filter(repos=(repo,)) if repo else Filter()
    found: list[Evidence] = []
    known: dict[str, Evidence] = {}
    for kernel in kernels:
        question = bottleneck_of(kernel, engine).question()
        if question not in known:
            known[question] = _ask(searcher, kernel.ref, question, where)
        found.append(replace(known[question], ref=kernel.ref))
    for fusion in fusions:
        references = [pr for path in fusion.where for pr in path.prs]
        question = " ".join(references) or fusion.title
        found.append(_ask(searcher, fusion.ref, question, Filter()))
    return found


def bottleneck_of(row: KernelRow, engine: str | None) -> Bottleneck:
    """What a row of the kernel table asks: its kernel, the function that launched it, what it does and when."""
    place, _, function = (row.source or "").partition(" ")
    return Bottleneck(
        kernel=row.short,
        path=f"{place.rpartition(':')[0]}:{function}" if function else "",
        stage=row.stage.value,
        engine=engine or "",
        operation=row.family,
    )


def _ask(searcher: Searcher, ref: str, question: str, where: Filter) -> Evidence:
    answer = searcher.search(question, where, _CARDS)
    cards = tuple(
        CardLine(hit.card.id, hit.card.title, hit.card.url, hit.card.merged_at, hit.status)
        for hit in answer.hits
    )
    return Evidence(ref, question, answer.answered, cards if answer.answered else ())
