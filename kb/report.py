"""Typed results as text, Markdown and JSON. Foreign text is made safe for a terminal here and nowhere else."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from kb.build import Report
from kb.cards import Anchor, Card
from kb.evaluate import ClassScore, Evaluation, full_id
from kb.family_views import FamilyCount, FamilyView, UnmatchedFile
from kb.references import engine_of
from kb.search import Answer, Hit
from kb.status import ListedCommit, StoreStatus

_SHOWN = 10


def plain(text: str) -> str:
    """Text that can't control a terminal: control and format characters (escapes, bidi marks) become blanks."""
    return "".join(c if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co") else " " for c in text)


def one_line(text: str) -> str:
    """Plain text on one line."""
    return " ".join(plain(text).split())


def build_json(report: Report) -> dict[str, Any]:
    """A run's report."""
    return {
        "repo": report.repo,
        "walked": report.walked,
        "known": report.known,
        "cards": report.cards,
        "without_number": report.unnumbered,
        "duplicates": [
            {"number": d.number, "sha": d.sha, "kept": d.kept, "subject": d.subject} for d in report.duplicates
        ],
        "problems": [{"number": p.number, "sha": p.sha, "what": p.what} for p in report.problems],
        "out_of_sequence": report.out_of_sequence,
        "files": report.files,
        "files_by_hunk_header": report.fallbacks,
        "discarded_rows": report.discarded,
        "retagged": report.retagged,
    }


def build_text(report: Report, uri: str) -> str:
    """A run's report for people."""
    new = report.cards + report.unnumbered + len(report.duplicates)
    lines = [
        f"{report.repo}: {report.walked} commits, {report.known} known before, {new} new: "
        f"{report.cards} pull requests, {len(report.duplicates)} with a number seen before, "
        f"{report.unnumbered} without a number"
    ]
    if report.discarded:
        lines.append(f"removed {report.discarded} rows that an interrupted run had left")
    if report.fallbacks:
        lines.append(f"{report.fallbacks} of {report.files} files did not parse where they changed; hunk headers named their symbols")
    if report.retagged:
        lines.append(f"data/families.yaml has changed: {report.retagged} cards tagged anew")
    for title, items in (
        ("numbers seen before (the first merged is kept)", [f"#{d.number} {d.sha[:10]} {d.subject}" for d in report.duplicates]),
        ("problems", [f"#{p.number} {p.sha[:10]} {p.what}" for p in report.problems]),
    ):
        if items:
            lines.append(f"{title}:")
            lines += [f"  {one_line(item)}" for item in items[:_SHOWN]]
            if len(items) > _SHOWN:
                lines.append(f"  and {len(items) - _SHOWN} more; `prlore status --list` has all")
    if report.out_of_sequence and report.cards:
        count = len(report.out_of_sequence)
        lines.append(f"{count} numbers stand far out of sequence, most likely a fork's own: {', '.join(f'#{n}' for n in report.out_of_sequence[:_SHOWN])}")
    lines.append(f"knowledge base: {uri}")
    return "\n".join(lines)


# answers -----------------------------------------------------------------------------------------------


def answer_json(answer: Answer, elapsed_ms: float) -> dict[str, Any]:
    """The contract of `query --json`."""
    return {
        "query": answer.question.text,
        "answered": answer.answered,
        "confidence": round(answer.confidence, 4),
        "elapsed_ms": round(elapsed_ms, 1),
        "hits": [
            {
                "rank": hit.rank,
                "id": hit.card.id,
                "repo": hit.card.repo,
                "number": hit.card.number,
                "title": hit.card.title,
                "url": hit.card.url,
                "merged_at": hit.card.merged_at,
                "families": list(hit.card.families),
                "kind": hit.card.kind,
                "status": hit.card.status,
                "score": round(hit.score, 4),
                "why": [{"signal": c.signal, "value": round(c.value, 4)} for c in hit.why if c.worth],
                "excerpts": [{"path": e.path, "hunk": e.hunk, "text": e.text} for e in hit.excerpts],
                "anchors": [
                    {"path": a.path, "lines": list(a.lines), "side": a.side, "hunk": a.hunk, "says": a.says}
                    for a in hit.anchors
                ],
            }
            for hit in answer.hits
        ],
        "missing": list(answer.missing),
        "unknown_words": list(answer.unknown_words),
    }


def answer_text(answer: Answer, *, explain: bool = False) -> str:
    """An answer for people; declining comes first, so that nobody reads what is near as what fits."""
    lines: list[str] = []
    for name in answer.missing:
        lines.append(f"{name} is not in the knowledge base.")
    if not answer.answered:
        lines.append(f"Nothing here answers this (confidence {answer.confidence:.2f}).")
        if answer.unknown_words:
            lines.append(f"Words no card holds: {', '.join(one_line(w) for w in answer.unknown_words[:8])}.")
        if answer.hits and not answer.question.only_references:
            lines.append("Nearest, but judged not to fit:")
            lines += [f"  {_heading(hit)}" for hit in answer.hits[:3]]
        return "\n".join(lines)
    for hit in answer.hits:
        card = hit.card
        lines.append(f"{hit.rank:>2}. {_heading(hit)}")
        about = [card.kind, f"+{card.additions} -{card.deletions} in {card.coverage.files_total} files"]
        if card.families:
            about.append(_few(card.families, 5))
        lines.append(f"    {card.url}  [{card.status}; {'; '.join(about)}]")
        shown = [c for c in hit.why if c.worth] if explain else [c for c in hit.why if c.worth][:4]
        if explain:
            lines += [f"    {c.signal:<14} {c.value:6.3f}  adds {c.worth:6.3f}" for c in shown]
        else:
            lines.append("    why: " + ", ".join(f"{c.signal} {c.value:.2f}" for c in shown))
        if card.motivation:
            lines.append(f"    {one_line(card.motivation)}")
        if hit.excerpts:
            excerpt = hit.excerpts[0]
            lines.append(f"    {one_line(excerpt.path)} {one_line(excerpt.hunk)}")
            lines += [f"      {plain(line)}" for line in excerpt.text.split("\n")]
        elif hit.anchors:
            lines += [f"    see {anchor_place(a)}: {one_line(a.says)}" for a in hit.anchors[:2]]
        lines.append("")
    return "\n".join(lines).rstrip()


def _heading(hit: Hit) -> str:
    return f"{hit.card.id}  {hit.card.merged_at[:10] or 'date unknown'}  {one_line(hit.card.title)}"


def _few(items: Sequence[str], most: int) -> str:
    return ", ".join(items[:most]) + (f" and {len(items) - most} more" if len(items) > most else "")


# cards -------------------------------------------------------------------------------------------------


def anchor_place(anchor: Anchor) -> str:
    """Where an anchor points: path and lines."""
    first, last = anchor.lines
    return f"{one_line(anchor.path)}:{first}" + (f"-{last}" if last != first else "") + (" (before the change)" if anchor.side == "old" else "")


def markdown_text(text: str) -> str:
    """Foreign text as inert Markdown on one line: no HTML, links, images, code, emphasis, headings or tables."""
    return re.sub(r"([\\`*_\[\]<>#|!~&])", r"\\\1", one_line(text))


def _code(text: str) -> str:
    """Foreign text as inline code; a fence longer than any run of backticks in it."""
    content = one_line(text)
    fence = "`" * (max((len(m) for m in re.findall(r"`+", content)), default=0) + 1)
    pad = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{pad}{content}{pad}{fence}"


def card_markdown(card: Card, linked_from: Sequence[tuple[str, str]] = ()) -> str:
    """A card as Markdown.

    Args:
        card: the card.
        linked_from: (kind, id) of pull requests that point to this one.
    """
    origin = "written by people, no diff shipped" if card.origin == "starter" else f"commit {card.sha[:12]}"
    lines = [
        f"# {card.id}: {markdown_text(card.title)}",
        "",
        f"- Link: {card.url}",
        f"- State: merged {card.merged_at or '(date unknown)'}, {card.kind}, card {card.status} ({origin})",
        f"- Size: +{card.additions} -{card.deletions} in {card.coverage.files_total} files",
        f"- Diff coverage: {_coverage(card)}",
    ]
    if card.families:
        lines.append(f"- Families: {', '.join(card.families)}")
    if card.tickets:
        lines.append(f"- Tickets: {', '.join(markdown_text(t) for t in card.tickets)}")
    if card.blast_radius:
        lines.append(f"- Shared code touched: {', '.join(card.blast_radius)}")
    for link in card.links:
        lines.append(f"- {link.kind} {markdown_text(link.target)}")
    for kind, other in linked_from:
        lines.append(f"- {other} {kind} this")
    for title, text in (("Motivation", card.motivation), ("Key implementation", card.implementation)):
        if text:
            lines += ["", f"## {title}", "", plain(text).strip()]
    for title, items in (("Validation", card.validation), ("Risks", card.risks)):
        if items:
            lines += ["", f"## {title}", "", *(f"- {one_line(i)}" for i in items)]
    if card.numbers:
        lines += ["", "## Numbers", ""]
        lines += [f"- {one_line(' '.join(filter(None, (n.value, n.unit))))}: {one_line(n.workload)} ({one_line(n.where)})" for n in card.numbers]
    if card.excerpts:
        lines += ["", "## Excerpts"]
        for excerpt in card.excerpts:
            fence = "`" * max(3, *(len(m) + 1 for m in re.findall(r"`+", excerpt.text)), 3)
            lines += ["", f"{_code(excerpt.path)} {_code(excerpt.hunk)}", "", f"{fence}diff", plain(excerpt.text), fence]
    if card.anchors:
        lines += ["", "## Where to look", ""]
        lines += [f"- {_code(anchor_place(a))}: {one_line(a.says)}" for a in card.anchors]
    lines += _names_markdown(card)
    lines += ["", f"## Files ({len(card.files)})", ""]
    for group in dict.fromkeys(f.group for f in card.files):
        lines.append(f"- {group}")
        for file in (f for f in card.files if f.group == group):
            counts = "binary" if file.added is None else f"+{file.added} -{file.removed}"
            was = f", was {_code(file.old_path)}" if file.old_path else ""
            note = ", symbols from hunk headers" if file.symbol_source == "hunk-header" else ""
            lines.append(f"  - {_code(file.path)} {file.status} {counts}{was}{note}")
    if card.sources:
        lines += ["", "## Sources", "", *(f"- <{s}>" for s in card.sources if re.fullmatch(r"https://[\w./#?=&%:+~-]+", s))]
    return "\n".join(lines)


def _coverage(card: Card) -> str:
    cover = card.coverage
    if cover.state == "missing":
        return "the diff could not be read: objects are missing from the clone"
    if cover.state == "not read":
        return "the diff was not read; the card rests on the sources below"
    note = ", truncated: the rest is data or generated" if cover.truncated else ""
    return f"all {cover.lines_total} changed lines read, {cover.lines_indexed} indexed{note}"


def _names_markdown(card: Card) -> list[str]:
    lines: list[str] = []
    for change in ("introduced", "changed", "removed"):
        names = [s for s in card.symbols if s.change == change]
        if names:
            lines += ["", f"## Symbols {change} ({len(names)})", ""]
            lines += [f"- {_code(s.name)} {s.kind}, lines {s.start} to {s.end}" for s in names[:60]]
            if len(names) > 60:
                lines.append(f"- and {len(names) - 60} more")
    facts = card.facts
    named = (
        ("Server flags added", facts.flags_added), ("Server flags removed", facts.flags_removed),
        ("Flags that tests and docs pass", facts.flags_used), ("Environment variables added", facts.env_added),
        ("Environment variables removed", facts.env_removed), ("Config keys added", facts.config_added),
        ("Config keys removed", facts.config_removed),
    )  # fmt: skip
    rows = [f"- {title}: {', '.join(_code(i) for i in items)}" for title, items in named if items]
    return ["", "## Flags, variables, keys", "", *rows] if rows else []


# families and status -----------------------------------------------------------------------------------


def families_text(counts: Sequence[FamilyCount]) -> str:
    """Families that have cards, and how many have none."""
    held = [c for c in counts if c.cards]
    width = max((len(c.slug) for c in held), default=0)
    lines = [f"{c.slug:<{width}}  {c.cards:>6}  {c.name}" for c in held]
    return "\n".join([*lines, f"{len(held)} families with cards, {len(counts) - len(held)} without"])


def family_json(view: FamilyView) -> dict[str, Any]:
    """One family or group."""
    return {
        "families": [
            {"slug": f.slug, "name": f.name, "group": f.group, "aliases": list(f.aliases), "paths": list(f.paths),
             "shared": list(f.shared), "classes": list(f.classes)}
            for f in view.entries
        ],
        "cards": view.cards,
        "by_engine": dict(view.by_engine),
        "by_kind": dict(view.by_kind),
        "hot_files": [{"path": p, "cards": n} for p, n in view.hot_files],
        "latest": [{"id": i, "day": d, "title": t} for i, d, t in view.latest],
    }  # fmt: skip


def family_text(view: FamilyView) -> str:
    """One family or group for people."""
    lines = [", ".join(f"{f.name} ({f.slug})" for f in view.entries[:6]) + (f" and {len(view.entries) - 6} more" if len(view.entries) > 6 else "")]
    lines.append(f"{view.cards} cards: " + ", ".join(f"{e} {n}" for e, n in view.by_engine))
    if view.by_kind:
        lines.append("kinds: " + ", ".join(f"{k} {n}" for k, n in view.by_kind))
    if view.hot_files:
        lines += ["files touched most:", *(f"  {n:>5}  {one_line(p)}" for p, n in view.hot_files)]
    if view.latest:
        lines += ["latest:", *(f"  {d or 'unknown   '}  {i}  {one_line(t)}" for i, d, t in view.latest)]
    return "\n".join(lines)


def unmatched_text(files: Sequence[UnmatchedFile]) -> str:
    """Model files of no family."""
    lines = [f"{f.cards:>5}  {engine_of(f.repo)}  {one_line(f.path)}" for f in files]
    return "\n".join([*lines, f"{len(files)} model files no family covers; an entry in data/families.yaml mends each"])


def status_json(status: StoreStatus) -> dict[str, Any]:
    """A store's state."""
    return {**dataclasses.asdict(status), "by_status": dict(status.by_status)}


def status_text(status: StoreStatus) -> str:
    """A store's state for people."""
    lines = [
        f"knowledge base: {status.uri} (schema {status.schema}, {status.created_by}, encoder {status.encoder})",
        f"{status.cards} cards ({', '.join(f'{n} {s}' for s, n in status.by_status)}), {status.chunks} chunks, "
        f"{status.links} links, {status.words} words, "
        + ("search indexes complete" if status.indexed else "search indexes incomplete: run the ingest again"),
    ]
    for r in status.repositories:
        starter = f" ({r.starter_cards} embedded)" if r.starter_cards else ""
        span = f"{r.first_merged[:10]} to {r.last_merged[:10]}" if r.first_merged else "no dates"
        lines.append(
            f"{r.repo}: {r.cards} cards{starter}, {span}; {r.commits} commits walked, {r.duplicates} numbers seen before, "
            f"{r.without_number} without a number, {r.problems} with problems"
        )
    return "\n".join(lines)


def commits_text(rows: Sequence[ListedCommit]) -> str:
    """Commits of the ledger, one a line."""
    return "\n".join(
        f"{r.repo}{'#' + str(r.number) if r.number is not None else ''} {r.sha[:12]} {one_line(r.subject)}"
        + (f" [{one_line(r.problem)}]" if r.problem else "")
        for r in rows
    )


# evaluation --------------------------------------------------------------------------------------------


def _class_json(score: ClassScore) -> dict[str, Any]:
    return {
        "n": score.n,
        "recall@5": round(score.recall5, 4),
        "recall@10": round(score.recall10, 4),
        "mrr@10": round(score.mrr10, 4),
        "ndcg@10": round(score.ndcg10, 4),
    }


def evaluation_json(found: Evaluation, *, per_query: bool = False) -> dict[str, Any]:
    """The contract of `eval retrieval --json`."""
    macro = _class_json(found.macro)
    result: dict[str, Any] = {
        "macro": macro,
        "classes": {name: _class_json(s) for name, s in found.classes.items()},
        "none": {"auroc": found.auroc, "answered_at_95": found.answered_at_95},
        "latency_ms": {"p50": round(found.p50_ms, 2), "p95": round(found.p95_ms, 2)},
    }
    if per_query:
        result["queries"] = [
            {"id": o.query.id, "class": o.query.cls, "ranking": list(o.ranking[:10]), "confidence": round(o.confidence, 4),
             "latency_ms": round(o.latency_ms, 2)}
            for o in found.outcomes
        ]  # fmt: skip
    return result


def evaluation_text(found: Evaluation, *, per_query: bool = False) -> str:
    """Scores as a table."""
    lines = [f"{'class':<12}{'n':>5}{'R@5':>8}{'R@10':>8}{'MRR@10':>8}{'nDCG@10':>9}"]
    for name, s in [*found.classes.items(), ("macro", found.macro)]:
        lines.append(f"{name:<12}{s.n:>5}{s.recall5:>8.3f}{s.recall10:>8.3f}{s.mrr10:>8.3f}{s.ndcg10:>9.3f}")
    if found.auroc is not None and found.answered_at_95 is not None:
        lines.append(f"none: AUROC {found.auroc:.3f}, answered when 95% of the others are kept {found.answered_at_95:.1%}")
    lines.append(f"latency: p50 {found.p50_ms:.1f} ms, p95 {found.p95_ms:.1f} ms")
    if per_query:
        for o in found.outcomes:
            wanted = {full_id(i) for i in o.query.relevant}
            places = [r for r, i in enumerate(o.ranking, start=1) if i in wanted]
            lines.append(f"{o.query.id}  {o.latency_ms:6.1f} ms  confidence {o.confidence:.2f}  found at {places}  {one_line(o.query.query)[:80]}")
    return "\n".join(lines)
