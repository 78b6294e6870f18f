"""A family manual as Markdown and as JSON."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from kb.manuals.evidence import FamilyCard
from kb.manuals.manual import Elsewhere, Manual
from kb.manuals.places import FileNow
from kb.manuals.themes import Group, theme_of
from kb.reports.safe import inline_code, markdown_text, prose_markdown
from kb.reports.where import fate_text

_A_THEME = 6  # pull requests shown of a theme
_FAINT = 1.0  # weight below which a pull request is counted, not shown
_STATED = 280  # characters of a sentence taken from the message
_PROSE_CARDS = 14  # cards whose prose is shown whole


def manual_markdown(manual: Manual, a_theme: int = _A_THEME) -> str:
    """The manual as Markdown.

    Args:
        manual: the manual.
        a_theme: how many pull requests a theme shows.
    """
    parts = (
        _head(manual), _timeline(manual), _places(manual), _groups(manual, a_theme), _capture(manual), _lanes(manual),
        _risks(manual), _questions(manual), _elsewhere(manual),
    )  # fmt: skip
    return "\n".join(line for part in parts for line in part) + "\n"


def pr_link(item: FamilyCard) -> str:
    """`[sglang#18856](https://…)`."""
    return f"[{item.ref}]({item.card.url})"


def _head(manual: Manual) -> Iterator[str]:
    evidence = manual.evidence
    reviewed = sum(c.is_reviewed for c in evidence.cards)
    days = [c.day for c in evidence.cards if c.day]
    yield f"# {markdown_text(manual.name)} in {evidence.engine}"
    yield ""
    yield f"- Evidence: {len(evidence.cards)} pull requests about the family ({reviewed} with reviewed prose), merged {min(days, default='?')} to {max(days, default='?')}; {evidence.shared} more touch only code it shares"
    indexed = (
        f"{evidence.repo} at {evidence.indexed[:12]} ({evidence.indexed_at[:10]})"
        if evidence.indexed
        else "embedded cards only, no history was read"
    )
    yield f"- Indexed: {indexed}"
    yield f"- Paths and symbols: {markdown_text(manual.places.tree)}"
    if evidence.indexed and manual.places.revision and manual.places.revision != evidence.indexed:
        yield "- The tree is not the indexed commit: newer or older than the pull requests below"
    classes = [c for f in evidence.families for c in f.classes]
    if classes:
        yield f"- Architectures: {', '.join(inline_code(c) for c in classes[:12])}"
    kinds = sorted(
        {c.card.kind for c in evidence.cards},
        key=lambda k: (-sum(c.card.kind == k for c in evidence.cards), k),
    )
    yield "- Kinds: " + ", ".join(f"{k} {sum(c.card.kind == k for c in evidence.cards)}" for k in kinds)


def _timeline(manual: Manual) -> Iterator[str]:
    yield from ("", "## Timeline", "")
    for item in manual.timeline:
        yield f"- {item.day} {pr_link(item)} {markdown_text(item.card.title)} ({item.card.kind})"


def _places(manual: Manual) -> Iterator[str]:
    places = manual.places
    yield from ("", "## Source paths and symbols now", "")
    if not places.runtime:
        yield "No file of the family's own is in this tree."
    for file in places.runtime[:24]:
        yield _file(file)
        if file.symbols:
            yield "  - " + ", ".join(
                inline_code(f"{s.name}:{s.line}" if s.line else s.name) for s in file.symbols
            )
    if len(places.runtime) > 24:
        yield f"- and {len(places.runtime) - 24} more"
    if places.others:
        yield "- besides: " + ", ".join(f"{n} {g} files" for g, n in places.others)
    if places.gone:
        yield from ("", "No longer there:", "")
        for gone in places.gone:
            yield f"- {markdown_text(fate_text(gone.path, gone.fate))}; {gone.changes} pull requests, last {gone.last}"
        if places.more_gone:
            yield f"- and {places.more_gone} more"
    if manual.named:
        yield from ("", "Named in the text of this manual, and not in this tree:", "")
        for gone in manual.named:
            yield f"- {markdown_text(fate_text(gone.path, gone.fate))} (named for {gone.last})"


def _file(file: FileNow) -> str:
    was = f", was {', '.join(inline_code(w) for w in file.was[:3])}" if file.was else ""
    count = (
        f"{file.changes} pull requests, last {file.last}" if file.changes else "no pull request of the store"
    )
    return f"- {inline_code(file.path)} ({count}{was})"


def _groups(manual: Manual, a_theme: int) -> Iterator[str]:
    yield from ("", "## Pull requests by theme")
    whole = {c.card.id for c in [c for c in manual.evidence.by_weight() if c.is_reviewed][:_PROSE_CARDS]}
    passing: list[FamilyCard] = []
    for found in manual.groups:
        shown = [c for c in found.cards if c.weight >= _FAINT or c.is_reviewed][:a_theme]
        shown += [c for c in found.cards if c.card.id in whole and c not in shown]
        if not shown:
            passing += found.cards
            continue
        yield from ("", f"### {found.name} ({len(found.cards)})", "")
        for item in shown:
            yield from card_lines(item, whole=item.card.id in whole)
        left = len(found.cards) - len(shown)
        if left:
            yield f"- and {left} more"
        if found.also:
            yield "- told elsewhere as well: " + ", ".join(
                f"{pr_link(c)} {markdown_text(c.card.title)}" for c in found.also
            )
    if passing:
        refs = ", ".join(c.ref for c in passing[:12]) + (
            f" and {len(passing) - 12} more" if len(passing) > 12 else ""
        )
        yield from ("", f"In passing, with little of the family's own code: {refs}")


def card_lines(item: FamilyCard, *, whole: bool) -> Iterator[str]:
    """One pull request: its prose when it has some, else what the diff introduced, changed and switched."""
    card = item.card
    status = f"{card.status}, " if item.is_reviewed else ""
    size = f"+{card.additions} -{card.deletions}, {card.coverage.files_total} files"
    yield f"- {pr_link(item)} {item.day} **{markdown_text(card.title)}** ({card.kind}, {status}{size})"
    if item.is_reviewed and whole:
        yield f"  - {prose_markdown(card.motivation)}"
        yield f"  - {prose_markdown(card.implementation)}"
        for number in card.numbers[:4]:
            yield f"  - {prose_markdown(f'{number.value} {number.unit}: {number.workload} ({number.where})')}"
    elif item.is_reviewed:
        yield f"  - {prose_markdown(_first_sentences(card.implementation, 2))}"
    else:
        facts = facts_line(item)
        if facts:
            yield f"  - {facts}"
        if card.status == "extracted" and card.motivation:
            yield f"  - stated in it: {prose_markdown(_first_sentences(card.motivation, 1)[:_STATED])}"


def facts_line(item: FamilyCard) -> str:
    """What a diff says by itself: own files, symbols introduced, changed and removed, switches, tests."""
    card, own = item.card, {f.path for f in item.own}
    parts = []
    files = [f for f in item.own_code if f.path.rpartition("/")[2] != "__init__.py"]
    if files:
        parts.append(
            "in "
            + ", ".join(inline_code(f.path.rpartition("/")[2]) for f in files[:3])
            + (f" and {len(files) - 3} more" if len(files) > 3 else "")
        )
    for change, verb in (("introduced", "adds"), ("changed", "changes"), ("removed", "removes")):
        names: list[str] = [s.name for s in card.symbols if s.change == change and s.path in own]
        names = names or [
            s.name for s in card.symbols if s.change == change and item.named and change == "introduced"
        ]
        distinct = list(dict.fromkeys(names))
        top = [n for n in distinct if "." not in n] or distinct
        if top and (change == "introduced" or len(parts) < 3):
            parts.append(
                f"{verb} {', '.join(inline_code(n) for n in top[:4])}"
                + (f" and {len(top) - 4} more" if len(top) > 4 else "")
            )
    for switches, what in ((card.facts.flags_added, "flag"), (card.facts.env_added, "variable")):
        if switches and (item.named or len(switches) <= 3):
            parts.append(f"new {what} {', '.join(inline_code(n) for n in switches[:3])}")
    tests = [f.path for f in card.files if f.group == "test"]
    if tests:
        parts.append("tested in " + ", ".join(inline_code(t.rpartition("/")[2]) for t in tests[:2]))
    return "; ".join(parts)


def _first_sentences(text: str, count: int) -> str:
    return " ".join(re.split(r"(?<=[.!?])\s+(?=[A-Z`])", text)[:count])


def _capture(manual: Manual) -> Iterator[str]:
    signals = manual.signals
    yield from ("", "## What to capture when debugging", "")
    if signals.handed:
        yield "Data that the diffs hand between files:"
        yield ""
    for handed in signals.handed:
        left = (
            ""
            if handed.left is None
            else "; no longer in the tree"
            if not handed.left
            else f"; {handed.left} times in the tree"
        )
        files = ", ".join(_where(manual, f) for f in handed.files)
        yield f"- {inline_code(handed.name)}: {files} ({', '.join(handed.refs)}{left})"
    if signals.stops:
        yield from ("", "Checks that stop a run, with their messages:", "")
        for stop in signals.stops:
            yield f"- {inline_code(stop.message)} in {_where(manual, stop.path)} ({stop.ref})"
    if signals.switches:
        yield from ("", "Flags and variables that came or went with the family:", "")
        for switch in signals.switches:
            left = "" if switch.left is None else "; no longer in the tree" if not switch.left else ""
            yield f"- {inline_code(switch.name)} {switch.change} by {', '.join(switch.refs)}{left}"


def _where(manual: Manual, path: str) -> str:
    """File and folder, `models/moss_vl.py`, and whether the tree still has it."""
    short = inline_code("/".join(path.split("/")[-2:]))
    return short + (" (not in this tree)" if path in manual.absent else "")


def _lanes(manual: Manual) -> Iterator[str]:
    checks, tests = manual.checks, manual.places.tests
    yield from ("", "## Validation lanes", "")
    for said in checks.lanes:
        yield f"- {prose_markdown(said.text)} ({said.ref})"
    if tests:
        yield from ("", "The family's own tests in this tree:", "")
        yield from (_file(t) for t in tests)
    if checks.flags:
        yield from ("", "Flags that its tests and recipes pass:", "")
        yield from (f"- {inline_code(f.name)}: {f.uses} pull requests, last {f.ref}" for f in checks.flags)
    if not (checks.lanes or tests or checks.flags):
        yield "No card states a check, and the tree has no test of the family's own."


def _risks(manual: Manual) -> Iterator[str]:
    checks = manual.checks
    yield from ("", "## Risks", "")
    for said in checks.risks:
        yield f"- {prose_markdown(said.text)} ({said.ref})"
    if checks.chains:
        yield from ("", "Undone, done again or repaired:", "")
        for chain in checks.chains:
            yield f"- {chain.day} {chain.ref} {chain.kind} {markdown_text(chain.target)}: {markdown_text(chain.title)}"
    if checks.shared:
        areas = ", ".join(f"{a} {n}" for a, n in checks.shared)
        yield from ("", f"Shared code that changes for the family touched (pull requests): {areas}")


def _questions(manual: Manual) -> Iterator[str]:
    yield from ("", "## Open questions", "")
    if not manual.checks.questions:
        yield "The cards leave none open: no revert without a return, no vanished path, no untested large change."
    yield from (f"- {prose_markdown(q)}" for q in manual.checks.questions)


def _elsewhere(manual: Manual) -> Iterator[str]:
    yield from ("", "## The same family in other engines")
    if any(o.cards for o in manual.elsewhere):
        yield from (
            "",
            "Paths and names below are of those engines as merged; they were not looked up in a tree.",
        )
    for other in manual.elsewhere:
        yield from ("", f"### {other.engine}", "")
        if not other.cards:
            yield f"- no card of {other.engine} is about the family"
            continue
        plural = "s" if other.cards > 1 else ""
        yield f"- {other.cards} pull request{plural}" + (
            f", {other.first} to {other.last}" if other.first else ""
        )
        yield from _other(other)


def _other(other: Elsewhere) -> Iterator[str]:
    for found in other.only:
        top = "; ".join(f"{pr_link(c)} {markdown_text(c.card.title)}" for c in found.cards[:2])
        yield f"- only there: {found.name} ({len(found.cards)}): {top}"
    if other.names:
        yield "- only there: " + ", ".join(f"{inline_code(n)} ({ref})" for n, ref in other.names)
    for item in other.reviewed:
        yield f"- {pr_link(item)} {item.day} **{markdown_text(item.card.title)}**: {prose_markdown(_first_sentences(item.card.implementation, 2))}"


def history_lines(cards: Sequence[FamilyCard]) -> Iterator[str]:
    """Every pull request about the family on one line, newest first."""
    for item in sorted(cards, key=lambda c: (c.card.merged_at, c.number), reverse=True):
        facts = facts_line(item)
        yield (
            f"- {item.day or '?'} {pr_link(item)} {markdown_text(item.card.title)} ({item.card.kind}; {theme_of(item)})"
            + (f": {facts}" if facts and item.weight >= _FAINT else "")
        )


def manual_json(manual: Manual) -> dict[str, Any]:
    """The manual as one object; cards stand as their references, with title, day, kind and weight."""
    evidence = manual.evidence
    return {
        "families": [f.slug for f in evidence.families],
        "name": manual.name,
        "engine": evidence.engine,
        "indexed": {"commit": evidence.indexed, "at": evidence.indexed_at},
        "tree": {"says": manual.places.tree, "revision": manual.places.revision},
        "cards": len(evidence.cards),
        "shared": evidence.shared,
        "timeline": [_brief(c) for c in manual.timeline],
        "paths": msgspec.to_builtins(manual.places),
        "themes": [_group(g) for g in manual.groups],
        "capture": msgspec.to_builtins(manual.signals),
        "checks": msgspec.to_builtins(manual.checks),
        "elsewhere": [
            {
                "engine": o.engine, "cards": o.cards, "first": o.first, "last": o.last,
                "only_themes": [_group(g) for g in o.only], "only_names": [{"name": n, "ref": r} for n, r in o.names],
                "reviewed": [_brief(c) for c in o.reviewed],
            }
            for o in manual.elsewhere
        ],
    }  # fmt: skip


def _group(found: Group) -> dict[str, Any]:
    return {"name": found.name, "pull_requests": [_brief(c) for c in found.cards]}


def _brief(item: FamilyCard) -> dict[str, Any]:
    card = item.card
    return {
        "id": card.id, "url": card.url, "title": card.title, "day": item.day, "kind": card.kind, "status": card.status,
        "weight": round(item.weight, 2), "own_files": [f.path for f in item.own], "motivation": card.motivation,
        "implementation": card.implementation,
    }  # fmt: skip
