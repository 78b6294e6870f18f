"""What was written about a pull request outside its diff, as anchors see it, and what of it a card shows.

A thread's text is its comments, joined by blank lines; the anchor's span counts in it. Summaries are made when a card
is shown and never stored, so that words somebody had forgotten are gone from cards as well.
"""

from __future__ import annotations

import re

import msgspec

from ingest.github.records import Thread
from kb.cards import Anchor, Card, Claim, Review, ReviewPoint
from kb.extracts import span_sha
from kb.filters import one_of
from kb.gate.prose import is_template, unsafe
from kb.messages import sentences
from kb.store import Store
from kb.threads.reader import read_descriptions, read_thread

_MOST_POINTS = 5
_MOST_SENTENCES = 3
_HIDDEN = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)


class StoredDiscussion:
    """Descriptions and threads that `prlore ingest github` brought."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def description(self, card_id: str) -> str | None:
        """The pull request's description, None where it is not held."""
        found = read_descriptions(self._store, [card_id]).get(card_id)
        return found.body if found is not None and not found.gone else None

    def thread(self, card_id: str, thread: str) -> str | None:
        """The text of one review thread of this pull request, None where there is no such thread."""
        found = read_thread(self._store, thread)
        return thread_text(found) if found is not None and found.pull_id == card_id else None


def thread_text(thread: Thread) -> str:
    """The comments of a thread in order."""
    return "\n\n".join(c.body for c in thread.comments)


def discussed(store: Store, card: Card) -> Card:
    """The card with a summary of its review; an extracted one also with what its description says of why and how."""
    card = _with_description(store, card)
    if not store.has("threads"):
        return card
    rows = store.rows_where("threads", one_of("card_id", [card.id]), ["record", "addressed"]).to_pylist()
    threads = [(msgspec.json.decode(r["record"], type=Thread), r["addressed"]) for r in rows]
    if not threads:
        return card
    people = {
        c.author.login for t, _ in threads for c in t.comments if c.author.kind == "human" and c.author.login
    }
    anchors = list(card.anchors)
    points: list[ReviewPoint] = []
    # what the author acted on tells most, then what hangs on code
    threads.sort(key=lambda t: (t[1] != "yes", not t[0].anchor.path, t[0].created_at))
    for thread, _ in threads:
        point = _point(thread)
        if point is not None and len(points) < _MOST_POINTS:
            text, anchor = point
            points.append(ReviewPoint(text=text, anchors=(len(anchors),)))
            anchors.append(anchor)
    review = Review(
        threads=len(threads),
        comments=sum(len(t.comments) for t, _ in threads),
        reviewers=tuple(sorted(people)),
        points=tuple(points),
    )
    return msgspec.structs.replace(card, review=review, anchors=tuple(anchors))


def _point(thread: Thread) -> tuple[str, Anchor] | None:
    """The first sentence of the first comment by a person, word for word."""
    offset = 0
    for comment in thread.comments:
        if comment.author.kind == "human" and not comment.has_hidden_text:
            for said in sentences(comment.body):
                if not unsafe(said.text):
                    span = (offset + said.first, offset + said.last)
                    sha = span_sha(thread_text(thread), *span)
                    return said.text, Anchor(source="thread", thread=thread.id, span=span, sha256=sha)
        offset += len(comment.body) + 2
    return None


def _with_description(store: Store, card: Card) -> Card:
    if card.status != "extracted" or card.motivation:
        return card
    body = StoredDiscussion(store).description(card.id)
    if not body:
        return card
    # blanks in place of what the page hides, so that places stay true
    seen = _HIDDEN.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), body)
    said = [s for s in sentences(seen) if not unsafe(s.text) and not is_template(s.text, card.title)]
    claims, anchors = [], list(card.anchors)
    for s in [s for s in said if s.says_why][:_MOST_SENTENCES]:
        claims.append(Claim(field="motivation", text=s.text, anchors=(len(anchors),)))
        anchors.append(
            Anchor(source="description", span=(s.first, s.last), sha256=span_sha(body, s.first, s.last))
        )
    return msgspec.structs.replace(card, claims=(*claims, *card.claims), anchors=tuple(anchors))
