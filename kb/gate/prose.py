"""Prose of a card: concrete, about this change, in nobody's template, and naming only what the diff has."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from kb.cards import Card, Claim
from kb.gate.defects import Defect, Finding
from kb.stored_diff import Diff
from kb.words import code_words, prose_words

_FEWEST_WORDS = {"motivation": 8, "implementation": 20}
_FEWEST_RISK_WORDS = 6
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORDS = re.compile(r"[A-Za-z0-9_`/.-]+")
_SHALLOW = frozenset(
    "bug fix bugfix fixes fixed improve improves improved improvement improvements optimise optimize optimises optimizes "
    "optimization optimisation update updates updated refactor refactors support supports add adds added change changes changed "
    "performance better various misc minor cleanup code model pr this the a an and of for to in with some".split()
)
# prose that could stand on any card: a label before a title, counts of lines or hunks, a list of areas to retest
_TEMPLATES = re.compile(
    r"^\s*(?:title|category|model line|main diff|summary)\s*:|\b(?:added|modified|removed|renamed) \+\d+/-\d+|\bhunks?: ?-\d+|"
    r"^\s*(?:this|the) (?:pr|pull request|change|diff) (?:touches|modifies|changes|updates|adds) \d+ (?:files?|lines?)|"
    r"\bthe diff ships (?:test|no test)|future changes in this area should",
    re.IGNORECASE,
)
_TITLE_SHARE = 0.85  # of the prose's words that stand in the title: it only repeats the title
_MARKUP = re.compile(r"https?://|<\s*/?\s*[a-z!][^>]*>|\bjavascript:|!\[|\]\(", re.IGNORECASE)
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b.{0,40}\b(?:previous|prior|above|all|these|other|your)\b.{0,40}\b(?:instructions?|prompts?|rules?)\b|"
    r"\bas an? (?:ai|language model|assistant)\b|\byou are now\b|\b(?:ai|llm|automated) reviewers?\b|"
    r"\b(?:approve|praise|recommend) this (?:pr|pull request|change)\b|\b(?:reveal|print|repeat|leak)\b.{0,20}\b(?:key|instructions?|secrets?)\b",
    re.IGNORECASE,
)
_IDENTIFIER = re.compile(
    r"(?<![\w-])--[a-z][\w.-]+|\b[A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+\b|\b\w+(?:_\w+)+\b|\b[A-Z][a-z0-9]+(?:[A-Z][A-Za-z0-9]*)+\b|"
    r"\b\w+(?:::\w+)+\b|\b[\w./-]+\.(?:py|cu|cuh|cpp|cc|h|hpp|rs|json|ya?ml|toml|sh)\b"
)
_QUOTED = re.compile(r"`([^`]+)`")
_PIECE = re.compile(r"[\w-]{2,}")


def named_in(text: str) -> set[str]:
    """Names of code in prose: what stands in backticks, and what only code is written like."""
    quoted = [n.strip() for n in _QUOTED.findall(text)]
    return {n for n in (*quoted, *_IDENTIFIER.findall(_QUOTED.sub(" ", text))) if n}


def check_prose(card: Card, diff: Diff | None) -> Iterator[Finding]:
    """Defects of motivation, implementation, validation and risks."""
    if card.status == "extracted":
        for claim in card.claims:
            yield from _template(claim, card.title)
        return
    for claim in card.claims:
        yield from _template(claim, card.title)
        yield from _safe(claim)
    if card.status == "imported":
        for claim in card.claims:
            if claim.field == "motivation" and _is_shallow(claim.text, 8):
                yield "shallow", "motivation says nothing concrete"
        return
    yield from _parts(card)
    if card.coverage.state == "not read":
        return
    held = held_names(card, diff)
    named = named_in(f"{card.motivation} {card.implementation}")
    if not named:
        yield "names nothing", "the prose names nothing: put files and symbols in backticks"
    elif not any(is_held(n, held) for n in named):
        yield "names nothing", "the prose names no file, symbol or flag of the diff"
    if diff is not None and diff.whole and card.status == "verified":
        for claim in card.claims:
            for name in sorted(foreign_names(claim.text, held)):
                yield "foreign name", f"{claim.field} names {name!r}, which is not in the diff"
    yield from _risks(card, held, judged=diff is not None)


def _parts(card: Card) -> Iterator[Finding]:
    for field, fewest in _FEWEST_WORDS.items():
        text = getattr(card, field)
        count = len(_WORDS.findall(text))
        if count < fewest:
            yield "too short", f"{field} has {count} words, at least {fewest} are wanted"
        elif _is_shallow(text, fewest):
            yield "shallow", f"{field} says nothing concrete"
    if not card.validation:
        yield "missing part", "no validation lane"
    if not card.risks:
        yield "missing part", "no risk"


def _is_shallow(text: str, fewest: int) -> bool:
    words = _WORDS.findall(text)
    return len([w for w in words if w.lower().strip("`.") not in _SHALLOW]) < fewest // 2


def _risks(card: Card, held: frozenset[str], *, judged: bool) -> Iterator[Finding]:
    about = [card.title, *card.blast_radius, *card.paths(), *(s.name for s in card.symbols)]
    about += [c.text for c in card.claims if c.field != "risk"]
    topics = {w for text in about for w in prose_words(text.replace("/", " "))}
    for claim in card.claims:
        if claim.field != "risk":
            continue
        words = prose_words(claim.text)
        if len(words) < _FEWEST_RISK_WORDS:
            yield (
                "too short",
                f"risk {claim.text[:40]!r} has {len(words)} words, at least {_FEWEST_RISK_WORDS} are wanted",
            )
        elif judged and not (
            any(len(w) > 3 and (w in held or w in topics) for w in words)
            or any(is_held(n, held) for n in named_in(claim.text))
        ):
            yield "shallow", f"risk {claim.text[:60]!r} names nothing of this change"


def restates(text: str, title: str) -> bool:
    """Whether a text says nothing that the title doesn't."""
    words = [w for w in prose_words(text) if len(w) > 2 and w not in ("the", "and", "for")]
    known = set(prose_words(title))
    return bool(words) and sum(w in known for w in words) >= _TITLE_SHARE * len(words)


def is_template(text: str, title: str) -> bool:
    """Whether prose is made of a title, counts, or labels."""
    return bool(_TEMPLATES.search(text)) or restates(text, title)


def _template(claim: Claim, title: str) -> Iterator[Finding]:
    if _TEMPLATES.search(claim.text):
        yield "template", f"{claim.field} is made from a template: {claim.text[:60]!r}"
    elif claim.field == "motivation" and restates(claim.text, title):
        yield "template", "motivation only repeats the title"


def _safe(claim: Claim) -> Iterator[Finding]:
    if not claim.text.isprintable() or claim.text != " ".join(claim.text.split()):
        yield "unsafe text", f"{claim.field} is not one line of printable text"
    elif match := unsafe(claim.text):
        yield "unsafe text", f"{claim.field} holds {match[:40]!r}"


def unsafe(text: str) -> str:
    """What in prose is an address, markup, or an order to a model; empty for nothing."""
    prose = _QUOTED.sub(lambda m: m[0] if "://" in m[0] else " ", text)
    match = _MARKUP.search(prose)
    return match[0] if match else orders(text)


def orders(text: str) -> str:
    """What in a text tells a model what to do; empty for nothing."""
    match = _ORDERS.search(" ".join(text.split()))
    return match[0] if match else ""


def held_names(card: Card, diff: Diff | None) -> frozenset[str]:
    """Parts of everything the change names, in lower case: paths, symbols, facts, and words of the diff's lines."""
    texts = [
        *card.paths(),
        *(s.name for s in card.symbols),
        *(s.path for s in card.symbols),
        card.title,
        card.message,
    ]
    facts = card.facts
    for group in (facts.flags_added, facts.flags_removed, facts.flags_used, facts.env_added, facts.env_removed,
                  facts.config_added, facts.config_removed, facts.commands):  # fmt: skip
        texts += group
    names = {p.lower() for t in texts for p in (t, *t.split("/"), *_PIECE.findall(t), *re.split(r"\.|::", t))}
    if diff is not None:
        for file in diff.files:
            for hunk in file.hunks:
                names.update(p.lower() for p in _PIECE.findall(f"{hunk.section}\n{hunk.text}"))
    names |= {n.lstrip("-") for n in names if n.startswith("--")}
    return frozenset(n for n in names if len(n) > 1)


def is_held(name: str, held: frozenset[str]) -> bool:
    """Whether any part of a name is one that the change has."""
    lowered = name.lower()
    parts = [p for p in re.split(r"[.:()/\s=\[\],]+", lowered) if len(p) > 2]
    return lowered in held or any(part in held for part in parts)


def foreign_names(text: str, held: frozenset[str]) -> set[str]:
    """Names of code in prose that the change has nowhere: one of their parts is unknown to it."""
    found = set()
    for name in named_in(text):
        parts = [p for p in _PIECE.findall(name.lower()) if not p.isdigit()]
        known = [p in held or p.strip("-") in held or set(code_words(p)) <= held for p in parts]
        if parts and not all(known):
            found.add(name)
    return found


def check_shared_sentences(cards: Sequence[Card]) -> list[Defect]:
    """Sentences that two cards share: the mark of a template."""
    seen: dict[str, list[str]] = defaultdict(list)
    for card in cards:
        for text in (card.motivation, card.implementation, *card.risks, *card.validation):
            for sentence in _SENTENCE.split(text):
                if len(sentence.split()) >= 5 and card.id not in seen[sentence]:
                    seen[sentence].append(card.id)
    return [
        Defect(ids[0], f"shares a sentence with {ids[1]}: {s[:60]!r}", "shared sentence")
        for s, ids in seen.items()
        if len(ids) > 1
    ]
