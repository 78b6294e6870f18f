"""`search_evidence`: merged pull requests that bear on a question or a bottleneck."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.errors import PrloreError
from kb.commands.options import parse_date, parse_repo
from kb.evidence import Bottleneck
from kb.filters import Filter
from kb.mcp.foreign import cut, foreign, foreign_code
from kb.mcp.library import Shelf
from kb.mcp.paging import cursor_at, fingerprint, start_of
from kb.mcp.shapes import EvidenceHit, EvidencePage, Lines
from kb.reports.safe import one_line
from kb.search import Hit

FARTHEST = 100  # hits of a question that can be paged through
_JUDGED = 5  # hits that decide whether anything fits: never ask for fewer
_LINES = 1500  # characters of an excerpt
_MOTIVATION = 600
_LATER = 4
_SIGNALS = 6


class QuestionError(PrloreError):
    """Arguments that ask for nothing, or for what is not there."""


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a search."""

    question: str = ""
    kernel: str = ""
    source: str = ""
    stage: str = ""
    repo: str = ""
    family: str = ""
    path: str = ""
    symbol: str = ""
    kind: str = ""
    after: str = ""
    before: str = ""

    def text(self) -> str:
        """The question in words: what was asked, and the telling parts of the bottleneck's names.

        Raises:
            QuestionError: nothing is asked.
        """
        bottleneck = Bottleneck(kernel=self.kernel.strip(), path=self.source.strip(), stage=self.stage)
        named = bottleneck.question() if bottleneck.kernel or bottleneck.path else self.stage
        text = " ".join(t for t in (self.question.strip(), named) if t)
        if not text:
            raise QuestionError("nothing is asked: give a question, a kernel, or a source FILE[:FUNCTION]")
        return text


def search_evidence(shelf: Shelf, asked: Asked, limit: int, cursor: str) -> EvidencePage:
    """A page of hits.

    Raises:
        PrloreError: an argument can't be used.
    """
    text = asked.text()
    bound = fingerprint("evidence", asked, limit)
    start = start_of(cursor, bound)
    where = Filter(
        repos=(parse_repo(asked.repo),) if asked.repo else (),
        families=shelf.families.resolve(asked.family) if asked.family else (),
        kinds=(asked.kind,) if asked.kind else (),
        paths=(asked.path,) if asked.path else (),
        symbols=(asked.symbol,) if asked.symbol else (),
        after=parse_date(asked.after, "after"),
        before=parse_date(asked.before, "before"),
    )
    end = min(start + limit, FARTHEST)
    # one more than is shown says whether anything follows
    answer = shelf.searcher.search(text, where, max(end + 1, _JUDGED))
    more = len(answer.hits) > end
    return EvidencePage(
        question=answer.question.text,
        answered=answer.answered,
        confidence=round(answer.confidence, 3),
        hits=[_hit(shelf, hit) for hit in answer.hits[start:end]],
        truncated=more,
        next_cursor=cursor_at(end, bound) if more and end < FARTHEST else "",
        missing=list(answer.missing),
        unknown_words=[one_line(w) for w in answer.unknown_words[:12]],
    )


def _hit(shelf: Shelf, hit: Hit) -> EvidenceHit:
    card = hit.card
    why = sorted((c for c in hit.why if c.worth > 0), key=lambda c: -c.worth)
    motivation, _ = cut(one_line(foreign(card.motivation)), _MOTIVATION)
    return EvidenceHit(
        rank=hit.rank,
        id=card.id,
        url=card.url,
        untrusted_title=one_line(foreign(card.title)),
        merged_at=card.merged_at,
        kind=card.kind,
        status=card.status,
        score=round(hit.score, 3),
        families=list(card.families),
        why={c.signal: round(c.worth, 3) for c in why[:_SIGNALS]},
        untrusted_motivation=motivation,
        excerpts=[lines(e.path, e.hunk, e.text) for e in hit.excerpts[:1]],
        later=shelf.later(card.id, _LATER),
    )


def lines(path: str, hunk: str, text: str, most: int = _LINES) -> Lines:
    """Lines of a diff, cut to a budget."""
    shown, truncated = cut(foreign_code(text), most)
    return Lines(path=one_line(path), hunk=one_line(hunk), untrusted_diff=shown, truncated=truncated)
