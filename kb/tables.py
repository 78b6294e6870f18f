"""The tables of a store: their columns, what each column means, and which of them are searched."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

STORE_SCHEMA = "2"

CARDS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # owner/name#N
        pa.field("repo", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("title", pa.string(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field(
            "merged_at", pa.string(), nullable=False
        ),  # ISO 8601 in UTC, so that text order is time order
        pa.field("families", pa.list_(pa.string()), nullable=False),
        pa.field(
            "path_text", pa.string(), nullable=False
        ),  # `+added`, `~changed`, `-deleted or old`, one a line
        pa.field(
            "symbol_text", pa.string(), nullable=False
        ),  # symbols, flags, variables, keys: `+new`, `~changed`, `-gone`, one a line
        pa.field("title_words", pa.string(), nullable=False),
        pa.field("path_words", pa.string(), nullable=False),
        pa.field("introduced_words", pa.string(), nullable=False),
        pa.field("changed_words", pa.string(), nullable=False),
        pa.field("diff_words", pa.string(), nullable=False),
        pa.field(
            "description_words", pa.string(), nullable=False
        ),  # our prose on reviewed cards, and the pull request's description
        pa.field("review_words", pa.string(), nullable=False),  # of its review threads, without bots
        pa.field("card", pa.string(), nullable=False),  # the whole card as JSON
        pa.field("batch", pa.int64(), nullable=False),
    ]
)
CARD_FIELDS = (
    "title_words", "path_words", "introduced_words", "changed_words", "diff_words", "description_words", "review_words",
)  # fmt: skip

CHUNKS = pa.schema(
    [
        pa.field("card_id", pa.string(), nullable=False),
        pa.field("repo", pa.string(), nullable=False),
        pa.field("ordinal", pa.int32(), nullable=False),  # 0-based place in the pull request's diff
        pa.field("path", pa.string(), nullable=False),
        pa.field("hunk", pa.string(), nullable=False),  # header and section of the hunk the piece begins in
        pa.field("text", pa.string(), nullable=False),
        pa.field("words", pa.string(), nullable=False),
        pa.field("batch", pa.int64(), nullable=False),
    ]
)
CHUNK_FIELD = "words"

LINKS = pa.schema(
    [
        pa.field("repo", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),  # owner/name#N
        pa.field("kind", pa.string(), nullable=False),
        pa.field("target", pa.string(), nullable=False),  # owner/name#N or commit:SHA
        pa.field("batch", pa.int64(), nullable=False),
    ]
)

# The ledger: one row a commit that was walked. A batch counts once its rows stand here.
COMMITS = pa.schema(
    [
        pa.field("repo", pa.string(), nullable=False),
        pa.field("sha", pa.string(), nullable=False),
        pa.field("number", pa.int32()),
        pa.field("outcome", pa.string(), nullable=False),  # card, duplicate, no-number
        pa.field("committed_at", pa.string(), nullable=False),
        pa.field("subject", pa.string(), nullable=False),
        pa.field("problem", pa.string(), nullable=False),
        pa.field("batch", pa.int64(), nullable=False),
    ]
)


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What became of one commit."""

    sha: str
    number: int | None
    outcome: str
    committed_at: str
    batch: int


# The words of the card fields, a row a field: blobs that kb/postings.py writes and reads. Field "" names the cards.
POSTINGS = pa.schema(
    [
        pa.field("field", pa.string(), nullable=False),
        *(
            pa.field(n, pa.large_binary(), nullable=False)
            for n in ("words", "starts", "cards", "counts", "lengths")
        ),
    ]
)

# Pull requests as GitHub describes them; one that has no card yet is here as well.
PULLS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # owner/name#N
        pa.field("repo", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("state", pa.string(), nullable=False),  # open, closed, merged
        pa.field("trust", pa.string(), nullable=False),  # synced, imported
        pa.field("updated_at", pa.string(), nullable=False),
        pa.field("threads", pa.int32(), nullable=False),
        pa.field("approvals", pa.int32(), nullable=False),  # by people, each one's last word
        pa.field("changes_requested", pa.int32(), nullable=False),
        pa.field(
            "authors", pa.list_(pa.string()), nullable=False
        ),  # lower case, of the description and threads
        pa.field("description_words", pa.string(), nullable=False),
        pa.field("review_words", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),  # the whole description as JSON
    ]
)

# Review threads. The narrow columns are what a sweep over all of them reads.
THREADS = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),  # owner/name#N/r123, /v123, /conversation
        pa.field("card_id", pa.string(), nullable=False),  # owner/name#N
        pa.field("repo", pa.string(), nullable=False),
        pa.field("number", pa.int32(), nullable=False),
        pa.field("kind", pa.string(), nullable=False),  # inline, file, conversation, review
        pa.field("path", pa.string(), nullable=False),  # empty but for inline and file
        pa.field("line", pa.int32()),  # in the merged diff's numbering where it was found there
        pa.field("hunk", pa.string(), nullable=False),  # header of the merged hunk that holds the lines
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("families", pa.list_(pa.string()), nullable=False),
        pa.field("addressed", pa.string(), nullable=False),  # yes, no, unknown
        pa.field("addressed_by", pa.string(), nullable=False),  # lines changed, suggestion taken, file gone
        pa.field("resolved", pa.bool_()),
        pa.field("outdated", pa.bool_()),
        pa.field("comments", pa.int32(), nullable=False),
        pa.field("humans", pa.int32(), nullable=False),  # comments by people
        pa.field("suggestions", pa.int32(), nullable=False),
        pa.field("authors", pa.list_(pa.string()), nullable=False),  # lower case
        pa.field("trust", pa.string(), nullable=False),  # synced, imported
        pa.field("created_at", pa.string(), nullable=False),
        pa.field("updated_at", pa.string(), nullable=False),
        pa.field("words", pa.string(), nullable=False),
        pa.field("record", pa.string(), nullable=False),  # the whole thread as JSON
    ]
)
THREAD_FIELD = "words"

META = pa.schema(
    [pa.field("key", pa.string(), nullable=False), pa.field("value", pa.string(), nullable=False)]
)


VECTORS = "vectors"  # of the encoder that the store was made with


def vectors_name(encoder: str) -> str:
    """The table of another encoder's vectors; the encoder's name may be a path."""
    return VECTORS + "_" + "".join(c if c.isalnum() else "_" for c in encoder)[-60:]


def is_vectors(name: str) -> bool:
    """Whether a table holds vectors."""
    return name == VECTORS or name.startswith(VECTORS + "_")


def vectors_schema(dimensions: int) -> pa.Schema:
    """The table of card vectors; rows are of unit length."""
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("repo", pa.string(), nullable=False),
            pa.field("batch", pa.int64(), nullable=False),
            pa.field("vector", pa.list_(pa.float16(), dimensions), nullable=False),
        ]
    )


# Who writes to a store on object storage: one row, see kb/writer_lease.py.
WRITERS = "writers"
WRITER = pa.schema(
    [
        pa.field("epoch", pa.int64(), nullable=False),
        pa.field("holder", pa.string(), nullable=False),
        pa.field("until", pa.float64(), nullable=False),
    ]
)

SCHEMAS = {
    "cards": CARDS, "chunks": CHUNKS, "links": LINKS, "commits": COMMITS, "postings": POSTINGS, "pulls": PULLS,
    "threads": THREADS, "meta": META,
}  # fmt: skip
ROW_TABLES = ("chunks", "links", "cards")  # beside the vectors; in writing order, the ledger follows them
