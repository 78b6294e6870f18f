"""What a commit message says about pull requests: number, kind, tickets, links to others.

The number is read from the end of a squash subject, `Some title (#123)`, or from a merge subject,
`Merge pull request #123 from …` or `Merging PR #123`. `fix #123` names an issue and carries none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.records import CommitHead, FileGroup, Link, LinkKind, PrKind

# one "(#12)" at the end of a subject, with full-width brackets as people type them
_TRAILING = re.compile(r"[(（]#(\d{1,7})[)）]$")
_MERGE = re.compile(r"^(?:merge pull request|merging pr|merge pr)\s+#(\d{1,7})\b", re.IGNORECASE)
_NUMBER = re.compile(r"#(\d{1,7})\b")
# "[TRTLLM-123][feat] …", "[nvbugs/5234][fix] …", "[https://nvbugs/5234]", "[None][chore]"
_TICKET = re.compile(
    r"^(?:[A-Z][A-Z0-9]+-\d+|(?:https?://)?nvbugs?(?:pro)?(?:\.nvidia\.com)?/(?:bug/)?\d+|None)$",
    re.IGNORECASE,
)
_BRACKETS = re.compile(r"^\s*\[([^\][]{1,80})\]")
_CONVENTIONAL = re.compile(r"^\s*([A-Za-z]+)(?:\([^)]{0,60}\))?!?:\s")

_REF = r"(?:(?P<repo>[\w.-]+/[\w.-]+))?#(?P<number>\d{1,7})\b"
_TRAILER_REF = re.compile(
    r"^(?:this )?(reverts|relands|reapplies|cherry[- ]picks?)\s+(?:pr\s+)?" + _REF, re.I | re.M
)
_REVERT_COMMIT = re.compile(r"^this reverts commit ([0-9a-f]{7,40})\b", re.I | re.M)
_REAPPLY_COMMIT = re.compile(r"^this reapplies commit ([0-9a-f]{7,40})\b", re.I | re.M)
_PICKED = re.compile(r"^\(cherry picked from commit ([0-9a-f]{7,40})\)", re.I | re.M)
_FOLLOWS = re.compile(
    r"\bfollow[- ]?(?:up|on|ing)s?\b(?:\s{1,3}(?:pr|patch|fix|work|change|commit))?\s{0,3}(?:[:(]|to|of|for|from|on|after)?\s{0,3}(?:the\s{1,3})?(?:pr\s{1,3})?\(?"
    + _REF,
    re.I,
)

_TRAILER_KINDS: dict[str, LinkKind] = {"reverts": "reverts", "relands": "relands", "reapplies": "relands"}
_TRAILER_COMMITS: tuple[tuple[re.Pattern[str], LinkKind], ...] = (
    (_REVERT_COMMIT, "reverts"),
    (_REAPPLY_COMMIT, "relands"),
    (_PICKED, "cherry-picks"),
)

_KIND_WORDS: tuple[tuple[PrKind, str], ...] = (
    ("revert", r"revert"),
    ("ci", r"ci|ci/build|cicd|actions?|infra|workflow|nightly"),
    ("docs", r"docs?|documentation|readme|cookbook|blog"),
    ("perf", r"perf|performance|optim\w*|speedup|opt"),
    ("fix", r"fix|bug ?fix|hot ?fix|bug|fixes|fixed"),
    ("test", r"tests?|testing|ut|unit ?tests?"),
    ("build", r"build|deps?|release|docker|packaging|chore\(deps\)"),
    ("refactor", r"refactor\w*|cleanup|clean ?up|style|typing|lint|code ?health|chore|misc|minor|format"),
    ("model", r"models?|new model|model support"),
    ("feature", r"feat|feature|features|rfc|frontend|kernel|hardware|core|v1"),
)  # fmt: skip
_KIND_TAGS = tuple((kind, re.compile(rf"^(?:{words})$", re.I)) for kind, words in _KIND_WORDS)
_KIND_OPENINGS: tuple[tuple[PrKind, re.Pattern[str]], ...] = (
    ("fix", re.compile(r"\b(fix(?:e[sd])?|bug|hot-?fix|crash|resolve[sd]?|correct(?:s|ed)?)\b", re.I)),
    ("docs", re.compile(r"^(?:update|add|improve|fix)?\s*(?:the\s+)?(docs?|readme|documentation|cookbook)\b", re.I)),
    ("perf", re.compile(r"\b(perf\w*|optimi[sz]\w*|speed\s?-?up|accelerat\w*|faster|fus(?:e|es|ed|ing|ion)|"
                        r"reduc\w+ (?:overhead|latency|memory)|overlap\w*|tun(?:e|ed|ing))\b", re.I)),
    ("model", re.compile(r"^(?:add|support|enable|feat\S*|\[model\]).{0,40}\bmodels?\b", re.I)),
    ("refactor", re.compile(r"\b(refactor\w*|clean\s?-?up|remov(?:e|es|ed|ing)|renam\w+|mov(?:e|ed|ing)|simplif\w+|"
                            r"deprecat\w+|format|lint|typo)\b", re.I)),
    ("feature", re.compile(r"\b(add(?:s|ed)?|support(?:s|ed)?|enabl\w+|implement\w*|introduc\w+|allow|integrat\w+)\b", re.I)),
)  # fmt: skip
_GROUP_KIND: dict[FileGroup, PrKind] = {"docs": "docs", "test": "test", "ci": "ci", "build": "build"}


@dataclass(frozen=True, slots=True)
class Subject:
    """A parsed commit message.

    Attributes:
        number: the pull request's number, None for a commit that has none.
        title: the subject without the number.
        tickets: tracker references in leading brackets, `TRTLLM-123`.
    """

    number: int | None
    title: str
    tickets: tuple[str, ...]


def parse_subject(head: CommitHead) -> Subject:
    """Read the message of a commit."""
    subject = head.subject.strip()
    number, title, _ = _number(subject, head.body)
    tickets = tuple(tag for tag in _leading_tags(title) if _TICKET.match(tag) and tag.lower() != "none")
    return Subject(number, title, tickets)


def links_of(head: CommitHead) -> tuple[Link, ...]:
    """Relations that the message of a commit states.

    Targets in the same repository are `#N`, commits `commit:SHA`, changes named by their title alone `title:TITLE`.
    """
    number, title, earlier = _number(head.subject.strip(), head.body)
    links = [*_title_links(title, earlier), *_body_links(head.body)]
    links += [Link("follows", _target(m)) for text in (title, head.body) for m in _FOLLOWS.finditer(text)]
    return tuple(dict.fromkeys(link for link in links if link.target != f"#{number}"))


def _number(subject: str, body: str) -> tuple[int | None, str, tuple[int, ...]]:
    """Number, title without it, and numbers that stood before it at the subject's end."""
    if merge := _MERGE.match(subject):
        # GitHub puts the title of the pull request below the merge subject
        title = next((line.strip() for line in body.splitlines() if line.strip()), subject)
        return int(merge[1]), title, ()
    title, numbers = _peel_numbers(subject)
    if numbers:
        return numbers[-1], title or subject, tuple(numbers[:-1])
    return None, subject, ()


def _peel_numbers(text: str) -> tuple[str, list[int]]:
    """A text without the numbers at its end, `… (#12) (#34)`, and those numbers in order."""
    numbers: list[int] = []
    rest = text.rstrip()
    while match := _TRAILING.search(rest.rstrip(" .。…")[-12:]):
        numbers.insert(0, int(match[1]))
        rest = rest.rstrip(" .。…")[: -len(match[0])].rstrip()
    return (rest if numbers else text), numbers


def _leading_tags(title: str) -> list[str]:
    tags: list[str] = []
    rest = title
    while match := _BRACKETS.match(rest):
        tags.append(match[1].strip())
        rest = rest[match.end() :]
    return tags


_RELAND = re.compile(r"\b(?:re-?land(?:ed|ing)?|re-?appl(?:y|ies)|re-?revert)\b", re.I)
_REVERT = re.compile(r"(?:partial(?:ly)?\s+)?revert", re.I)
_REVERTED = re.compile(r"(?:partial(?:ly)?\s+)?revert(?:s|ed|ing)?:?\s+[\"“](.*)[\"”]$", re.I)
_QUOTED = re.compile(r"[\"“](.+)[\"”]")


def _title_links(title: str, earlier: tuple[int, ...]) -> list[Link]:
    """Relations that a title states by its first verb and the numbers in it, or the title it quotes."""
    plain = _untagged(title)
    before = [f"#{n}" for n in earlier]
    if _RELAND.search(title):
        return [Link("relands", target) for target in (*_relanded(title), *before)]
    if _REVERT.match(plain) or "[revert]" in title.lower():
        if before:
            return [Link("reverts", target) for target in before]
        return _reverted(plain)
    if re.search(r"cherry[- ]?pick|\bbackport\b", title, re.I):
        return [Link("cherry-picks", target) for target in (*_all_numbers(title), *before)]
    return [Link("cherry-picks", target) for target in before]


def _reverted(plain: str) -> list[Link]:
    """What a revert takes away, and what it brings back where it takes away a revert, layer by layer."""
    links: list[Link] = []
    kinds: tuple[LinkKind, LinkKind] = ("reverts", "relands")
    text = plain
    while quoted := _REVERTED.match(text):
        title, numbers = _peel_numbers(quoted[1].strip())
        links.append(Link(kinds[len(links) % 2], f"#{numbers[-1]}" if numbers else f"title:{title}"))
        text = title
    if links or re.search(r"[\"“]", plain):  # an opening quote alone: the title was cut off
        return links
    return [Link("reverts", target) for target in _all_numbers(plain)]


def _relanded(title: str) -> list[str]:
    """Targets of a reland: the quoted change, the numbers it names, or its own title without the word."""
    quoted = _QUOTED.search(title)
    if quoted:
        inner, numbers = _peel_numbers(quoted[1].strip())
        return [f"#{numbers[-1]}" if numbers else f"title:{inner}"]
    named = _all_numbers(title)
    if named:
        return named
    own = re.sub(r"[\[(]\s*re-?(?:land|apply)\w*\s*[\])]", "", title, flags=re.I).strip()
    return [f"title:{re.sub(r'^re-?(?:land|apply)[a-z]*[ :]*', '', _untagged(own), flags=re.I).strip()}"]


def _all_numbers(text: str) -> list[str]:
    return [f"#{n}" for n in _NUMBER.findall(text)]


def bare_title(title: str) -> str:
    """A title without its tags and in lower case, by which changes of the same title are found."""
    return _untagged(title).lower()


def _untagged(title: str) -> str:
    return re.sub(r"^(?:\s*\[[^\][]*\])*\s*", "", title)


def _body_links(body: str) -> list[Link]:
    """Relations in git's and GitHub's own words below the subject."""
    links = [
        Link(_TRAILER_KINDS.get(m[1].lower(), "cherry-picks"), _target(m))
        for m in _TRAILER_REF.finditer(body)
    ]
    for pattern, kind in _TRAILER_COMMITS:
        links += [Link(kind, f"commit:{m[1].lower()}") for m in pattern.finditer(body)]
    return links


def _target(match: re.Match[str]) -> str:
    return f"{match['repo'] or ''}#{match['number']}"


def classify(title: str, groups: frozenset[FileGroup]) -> PrKind:
    """The kind of change: files that are all of one sort decide first, then the title's tag, then its verbs."""
    if _REVERT.match(_untagged(title)):
        return "revert"
    if len(groups) == 1 and (kind := _GROUP_KIND.get(next(iter(groups)))):
        return kind
    tags = [part for tag in _leading_tags(title) for part in re.split(r"[/,|]", tag)]
    if conventional := _CONVENTIONAL.match(_untagged(title)):
        tags.insert(0, conventional[1])
    for kind, pattern in _KIND_TAGS:
        if kind not in ("feature", "ci", "docs", "test", "model") and any(
            pattern.match(t.strip()) for t in tags
        ):
            return kind
    for kind, pattern in _KIND_OPENINGS:
        if pattern.search(title):
            return kind
    for kind, pattern in _KIND_TAGS:
        if any(pattern.match(t.strip()) for t in tags):
            return kind
    return "other"
