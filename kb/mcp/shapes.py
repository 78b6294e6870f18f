"""What the tools return: the output schemas that agents see. Strangers' text stands in fields named `untrusted_…` only.

pydantic, because the SDK makes the schemas from it; nothing of this is stored. Fields without a value are left out of
an answer, so that it stays small.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from kb.mcp.foreign import NOTICE

Untrusted = Annotated[str, Field(description=NOTICE)]
Cursor = Annotated[str, Field(description="Pass it as cursor to go on; empty at the end.")]
Truncated = Annotated[bool, Field(description="Whether something was left out: go on with next_cursor.")]
Part = Literal["overview", "files", "symbols", "diff"]


class Shape(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Lines(Shape):
    """Lines of a merged diff with their marks."""

    path: str
    hunk: str
    untrusted_diff: Untrusted
    truncated: bool = False


class LaterPull(Shape):
    """A later pull request that names this one; reverts and fixes say what became of the change."""

    id: str
    kind: Annotated[
        str, Field(description="reverts, fixes, relands, follows, extends, cherry-picks, counterpart")
    ]
    merged_at: str = ""
    untrusted_title: Untrusted = ""


class EvidenceHit(Shape):
    """A merged pull request that bears on the question."""

    rank: int
    id: Annotated[str, Field(description="owner/name#N, for get_card")]
    url: str
    untrusted_title: Untrusted
    merged_at: str
    kind: str
    status: Annotated[
        str, Field(description="who stands behind the prose: imported, extracted, reviewed, verified")
    ]
    score: float
    families: list[str] = []
    why: Annotated[dict[str, float], Field(description="signals that found it")] = {}
    untrusted_motivation: Untrusted = ""
    excerpts: list[Lines] = []
    later: list[LaterPull] = []


class EvidencePage(Shape):
    """Evidence for a question. Where `answered` is false nothing fits: the hits are near and no more."""

    question: str
    answered: bool
    confidence: Annotated[float, Field(description="0 to 1; below .5 the knowledge base declines")]
    hits: list[EvidenceHit]
    truncated: Truncated
    next_cursor: Cursor = ""
    missing: Annotated[list[str], Field(description="pull requests that were named and are not held")] = []
    unknown_words: Annotated[list[str], Field(description="words that no card holds")] = []


class Precedent(Shape):
    """A review thread: what maintainers said at this place, or of this, before."""

    id: Annotated[str, Field(description="for get_thread")]
    pull: Annotated[str, Field(description="owner/name#N, for get_card")]
    url: str
    kind: str
    created_at: str
    matched: Annotated[str, Field(description="what it shares: same symbol, same file, same folder, words")]
    comments: int
    addressed: Annotated[
        str, Field(description="whether the commented lines changed before the merge: yes, no, unknown")
    ]
    said_by: str
    role: str
    sha256: Annotated[str, Field(description="of the whole comment that is quoted")]
    untrusted_said: Untrusted
    path: str = ""
    line: int = 0
    symbol: str = ""
    addressed_by: str = ""
    trust: str = ""
    coverage: Annotated[float, Field(description="share of the question that it holds, 0 to 1")] = 0.0
    untrusted_hunk: Untrusted = ""
    truncated: bool = False


class PrecedentPage(Shape):
    """Review threads, best first. `threads_held` 0 means that no reviews were ever brought in."""

    answered: bool
    threads_held: int
    precedents: list[Precedent]
    truncated: Truncated
    next_cursor: Cursor = ""


class Prose(Shape):
    """A claim of a card; `anchors` are the places that prove it."""

    field: str
    untrusted_text: Untrusted
    anchors: list[str] = []


class File(Shape):
    """A changed file; lines are absent for a binary file."""

    path: str
    group: str
    status: str
    added: int | None = None
    removed: int | None = None
    old_path: str = ""


class Symbol(Shape):
    """A definition that the change touched."""

    name: str
    kind: str
    change: str
    place: str


class CardPage(Shape):
    """A dossier card, or one of its lists."""

    id: str
    url: str
    part: Part
    untrusted_title: Untrusted
    truncated: Truncated
    next_cursor: Cursor = ""
    kind: str = ""
    status: str = ""
    merged_at: str = ""
    additions: int = 0
    deletions: int = 0
    files_total: int = 0
    symbols_total: int = 0
    coverage: Annotated[str, Field(description="how much of the diff the card rests on")] = ""
    families: list[str] = []
    blast_radius: list[str] = []
    flags_added: list[str] = []
    flags_removed: list[str] = []
    env_added: list[str] = []
    env_removed: list[str] = []
    claims: list[Prose] = []
    numbers: list[str] = []
    checks: Annotated[
        list[str], Field(description="tests, benchmarks and commands that the change names")
    ] = []
    later: list[LaterPull] = []
    links: list[str] = []
    reviewers: list[str] = []
    threads: Annotated[list[str], Field(description="ids for get_thread")] = []
    excerpts: list[Lines] = []
    files: list[File] = []
    symbols: list[Symbol] = []
    diff: list[Lines] = []


class Comment(Shape):
    """One message of a thread."""

    author: str
    author_kind: str
    role: str
    created_at: str
    sha256: str
    untrusted_body: Untrusted
    state: str = ""
    hidden_text: Annotated[
        bool, Field(description="the original holds text that a reader of the page does not see")
    ] = False
    truncated: bool = False


class ThreadPage(Shape):
    """A review thread with its comments in order."""

    id: str
    pull: str
    url: str
    kind: str
    truncated: Truncated
    comments: list[Comment]
    next_cursor: Cursor = ""
    path: str = ""
    side: str = ""
    line: int = 0
    original_line: int = 0
    resolved: bool | None = None
    outdated: bool | None = None
    addressed: str = "unknown"
    addressed_by: str = ""
    trust: str = ""
    untrusted_hunk: Untrusted = ""


class FamilyRow(Shape):
    """A model family and its cards."""

    slug: str
    name: str
    cards: int


class FamilyPage(Shape):
    """Model families, most cards first; with a name, what is held of it."""

    families: list[FamilyRow]
    truncated: Truncated
    next_cursor: Cursor = ""
    by_engine: dict[str, int] = {}
    by_kind: dict[str, int] = {}
    hot_files: dict[str, int] = {}
    latest: list[LaterPull] = []


class RepositoryRow(Shape):
    """What is held of one repository."""

    repo: str
    cards: int
    first_merged: str
    last_merged: str
    problems: int


class StatusPage(Shape):
    """What the knowledge base holds and how fresh it is."""

    prlore: str
    cards: int
    chunks: int
    links: int
    descriptions: int
    threads: int
    by_status: dict[str, int]
    indexed: bool
    encoder: str
    ranking: Annotated[
        str, Field(description="tuned where all cards have the tuned model's vectors, else light")
    ]
    repositories: list[RepositoryRow]


class PullCited(Shape):
    """A merged pull request that a finding rests on; `relation` says what it did in the same place."""

    id: Annotated[str, Field(description="for get_card")]
    relation: str
    merged_at: str
    path: str
    hunk: str
    sha256: Annotated[str, Field(description="of the quoted lines")]
    untrusted_title: Untrusted
    untrusted_quote: Untrusted


class ThreadCited(Shape):
    """A review thread that a finding rests on."""

    id: Annotated[str, Field(description="for get_thread")]
    created_at: str
    addressed: str
    path: str
    sha256: Annotated[str, Field(description="of the whole comment that is quoted")]
    untrusted_quote: Untrusted


class ReviewFinding(Shape):
    """One concern about one place of the patch. `failure` and `check` are our words, with names from the patch in backticks."""

    severity: Annotated[str, Field(description="blocking, major, minor, nit")]
    concern: str
    rule: str
    path: str
    side: str
    start: int
    line: int
    hunk: str
    failure: str
    check: str
    standing: Annotated[str, Field(description="where it was checked: diff, checkout, or unverified")]
    fingerprint: Annotated[str, Field(description="stays the same when lines above it move")]
    pulls: list[PullCited] = []
    threads: list[ThreadCited] = []
    symbol: str = ""


class FocusSpot(Shape):
    """A hunk to look at first, largest share of the risk first."""

    path: str
    start: int
    line: int
    share: Annotated[
        float, Field(description="of the risk of the whole patch, 0 to 1, as learned from later fixes")
    ]
    why: list[str] = []


class ConcernRow(Shape):
    """A concern that keeps coming back in these files."""

    concern: str
    threads: int
    addressed: int
    blocked: int
    fixes: int


class GapRow(Shape):
    """Something that the patch lacks, with the lanes that past changes of this area used."""

    what: str
    lanes: list[str] = []


class ReviewPage(Shape):
    """What the knowledge base has against a patch. No finding is no approval: `residual` says what is left."""

    repo: str
    cards_scanned: int
    threads_scanned: int
    cards_matched: int
    threads_matched: int
    findings: list[ReviewFinding]
    truncated: Annotated[bool, Field(description="whether weaker findings were left out: raise max_findings")]
    left_out: int = 0
    comprehension: list[str] = []
    focus: list[FocusSpot] = []
    recurring: list[ConcernRow] = []
    questions: list[str] = []
    gaps: list[GapRow] = []
    residual: str = ""
