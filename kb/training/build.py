"""The training set from a store: all cards as documents, the written questions with the cards that the ranking puts near them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kb.filters import Filter
from kb.search import Searcher
from kb.store import Store
from kb.texts import code_text
from kb.training.data import AskedQuestion, Document
from kb.training.questions import WrittenQuestion

_NEAR = 50


def documents_of(store: Store) -> list[Document]:
    """All cards as models read them, repository by repository and by number."""
    rows = store.scan("cards", ["id", "title", "path_text", "symbol_text", "diff_words"]).to_pylist()
    rows.sort(key=lambda r: (r["id"].rpartition("#")[0], int(r["id"].rpartition("#")[2])))
    return [
        Document(r["id"], r["title"], code_text(r["path_text"], r["symbol_text"], r["diff_words"]))
        for r in rows
    ]


def asked_of(
    searcher: Searcher,
    written: Sequence[WrittenQuestion],
    held: set[str],
    progress: Callable[[int, int], None],
) -> list[AskedQuestion]:
    """The questions whose cards the store holds, each with the best of the fused ranking but its answer.

    Args:
        searcher: over the store; its reranker should be off.
        written: the questions.
        held: ids of the cards that the store holds.
        progress: called with (questions done, questions to do).
    """
    wanted = [q for q in written if q.id in held]
    asked = []
    for number, question in enumerate(wanted, start=1):
        found = searcher.gather(question.query, Filter(repos=(question.repo,)))
        ranked = searcher.rank(found, _NEAR + 1)
        near = tuple(r.card_id for r in ranked if r.card_id != question.id)[:_NEAR]
        asked.append(AskedQuestion(found.question.english, question.id, near, question.held_out))
        progress(number, len(wanted))
    return asked
