"""Evidence for a bottleneck: cards that bear on a kernel or a place in the code, and what became of them.

A bottleneck is asked as a question to the same search that `prlore query` uses. To each card come the pull requests that
reverted, fixed or followed it, its review threads, and, from the other engines, changes to the same operation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from ingest.records import LinkKind
from kb.cards import Card, Excerpt, decode_card
from kb.filters import Filter
from kb.references import ENGINES, engine_of
from kb.search import Hit, Searcher
from kb.store import Store
from kb.threads.reader import ThreadIndex

_BROKE: tuple[LinkKind, ...] = ("reverts", "fixes")
_OTHERS = 3  # cards a foreign engine
_THREADS = 5  # a card
_QUOTED = 280  # characters of a thread's opening
# what every engine's trace holds in a kernel's name and what says nothing about a change
_GENERIC = re.compile(
    r"^(?:void|at|std|c10|cutlass|cublaslt|cub|thrust|native|kernel|device_kernel|elementwise_kernel|unsigned|int|float|bool|const)$"
    r"|^nvjet|^cijk|^ampere_|^sm\d+_xmma",
    re.IGNORECASE,
)
_STAGES = {"prefill": "prefill", "decode": "decode"}


class Bottleneck(msgspec.Struct, frozen=True, kw_only=True):
    """What takes the time.

    Attributes:
        kernel: name of a kernel as a profiler prints it.
        path: source file, with `:function` behind it where it is known.
        stage: prefill or decode; empty for either.
        family: slug or name of a model family.
        engine: sglang, vllm or trtllm, or `owner/name`; empty for all.
        operation: what the kernel does (attention, moe, norm, …).
    """

    kernel: str = ""
    path: str = ""
    stage: str = ""
    family: str = ""
    engine: str = ""
    operation: str = ""

    def question(self) -> str:
        """The question that is asked for it: the telling parts of the kernel's name, function and file, stage."""
        parts = [
            p for p in re.split(r"[^\w]+", self.kernel.split("(")[0]) if len(p) > 2 and not _GENERIC.search(p)
        ]
        file, _, function = self.path.partition(":")
        words = [*parts[-4:], function, file, self.operation.replace("_", " "), _STAGES.get(self.stage, "")]
        return " ".join(dict.fromkeys(filter(None, words)))


class ThreadLine(msgspec.Struct, frozen=True, kw_only=True):
    """A review thread of a card: where it stands, whether the lines it is on changed before the merge, what was said first."""

    id: str
    path: str
    addressed: str
    opening: str


class LaterPull(msgspec.Struct, frozen=True, kw_only=True):
    """A pull request that names a card: `kind` is how (reverts, fixes, follows, …)."""

    id: str
    kind: str
    title: str
    merged_at: str


class EvidenceCard(msgspec.Struct, frozen=True, kw_only=True):
    """A card that bears on the bottleneck."""

    id: str
    title: str
    url: str
    merged_at: str
    kind: str
    status: str
    families: tuple[str, ...]
    score: float
    why: dict[str, float]
    excerpts: tuple[Excerpt, ...]
    threads: tuple[ThreadLine, ...] = ()
    later: tuple[LaterPull, ...] = ()

    @property
    def broken(self) -> bool:
        """Whether a later pull request reverted or fixed it."""
        return any(p.kind in _BROKE for p in self.later)


class EvidenceBundle(msgspec.Struct, frozen=True, kw_only=True):
    """What the knowledge base holds on a bottleneck.

    Attributes:
        bottleneck: what was asked.
        question: as it was put to the search.
        answered: whether the best of the cards fit at all.
        confidence: how surely, 0..1.
        cards: of the engine, best first.
        elsewhere: changes to the same operation in the other engines.
    """

    bottleneck: Bottleneck
    question: str
    answered: bool
    confidence: float
    cards: tuple[EvidenceCard, ...]
    elsewhere: tuple[EvidenceCard, ...]


@dataclass(frozen=True, slots=True)
class _Repos:
    own: tuple[str, ...]
    other: tuple[str, ...]


def _repos(engine: str) -> _Repos:
    if not engine:
        return _Repos((), ())
    own = ENGINES.get(engine, engine)
    return _Repos((own,), tuple(r for r in ENGINES.values() if r != own))


def evidence_for(
    searcher: Searcher, store: Store, bottleneck: Bottleneck, families: tuple[str, ...] = (), limit: int = 5
) -> EvidenceBundle:
    """Gather evidence.

    Args:
        searcher: over the store.
        store: for links and threads.
        bottleneck: what takes the time; at least a kernel or a path.
        families: slugs that the cards must have, empty for any.
        limit: cards of the engine at most.
    """
    repos = _repos(bottleneck.engine)
    question = bottleneck.question()
    answer = searcher.search(question, Filter(repos=repos.own, families=families), limit)
    threads = ThreadIndex(store)
    cards = tuple(_card(store, threads, hit) for hit in answer.hits)
    elsewhere: list[EvidenceCard] = []
    for repo in repos.other:
        other = searcher.search(question, Filter(repos=(repo,)), _OTHERS)
        if other.answered:
            elsewhere += [_card(store, threads, hit) for hit in other.hits]
    return EvidenceBundle(
        bottleneck=bottleneck,
        question=question,
        answered=answer.answered,
        confidence=round(answer.confidence, 4),
        cards=cards,
        elsewhere=tuple(elsewhere),
    )


def _card(store: Store, threads: ThreadIndex, hit: Hit) -> EvidenceCard:
    card = hit.card
    return EvidenceCard(
        id=card.id,
        title=card.title,
        url=card.url,
        merged_at=card.merged_at,
        kind=card.kind,
        status=card.status,
        families=card.families,
        score=round(hit.score, 4),
        why={c.signal: round(c.worth, 4) for c in hit.why if c.worth},
        excerpts=hit.excerpts,
        threads=_threads(threads, card),
        later=_later(store, card),
    )


def _threads(threads: ThreadIndex, card: Card) -> tuple[ThreadLine, ...]:
    rows = threads.of_pull(card.id)[:_THREADS]
    whole = threads.read(rows)
    return tuple(
        ThreadLine(
            id=head.id,
            path=head.path,
            addressed=head.addressed,
            opening=" ".join(thread.comments[0].body.split())[:_QUOTED] if thread.comments else "",
        )
        for head, thread in zip(threads.heads(rows), whole, strict=True)
    )


def _later(store: Store, card: Card) -> tuple[LaterPull, ...]:
    links = store.links_to(card.id)
    kinds = {source: kind for kind, source in links}
    if not kinds:
        return ()
    rows = store.cards_by_id(list(kinds), ["id", "card"]).to_pylist()
    found = [(r["id"], decode_card(r["card"])) for r in rows]
    pulls = [LaterPull(id=i, kind=kinds[i], title=c.title, merged_at=c.merged_at) for i, c in found]
    return tuple(sorted(pulls, key=lambda p: (p.merged_at, p.id)))


def engine_name(card: EvidenceCard) -> str:
    """The short name of the engine that a card belongs to."""
    return engine_of(card.id.rpartition("#")[0])
