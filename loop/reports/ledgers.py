"""Views of the ledger under the names that the public skills give their files."""

from __future__ import annotations

import datetime

import msgspec

from loop.reports.story import Story
from loop.reports.words import blob_link, code, linked, table, words


class LineageRow(msgspec.Struct, frozen=True):
    """A line of lineage.jsonl: what a candidate came from and what came of it."""

    candidate: int
    round: int
    proposer: str
    source: str
    parent_commit: str
    commit: str
    diff: str
    evidence: str
    cards: tuple[str, ...]
    decision: str
    reason: str
    comparisons: tuple[str, ...]


def attempts(story: Story) -> str:
    """Every candidate, in order, with every gate."""
    rows = []
    for told in story.candidates:
        gates = "; ".join(
            f"{gate.gate} {gate.outcome}{f' {gate.reason}' if gate.reason else ''}" for gate in told.gates
        )
        rows.append(
            (
                str(told.number),
                str(told.round),
                f"{told.proposal.proposer} {words(told.proposal.source)}".strip(),
                code(", ".join(told.proposal.files[:4]) or " ".join(told.proposal.flags or ())),
                told.verdict.decision if told.verdict else "under way",
                words(told.verdict.reason if told.verdict else ""),
                words(gates),
                ", ".join(linked(found, "../") for found in told.comparisons),
            )
        )
    head = ("No.", "Round", "Proposal", "Touches", "Decision", "Reason", "Gates", "Measured")
    return "\n".join(["# Attempt ledger", "", *table(head, rows), ""])


def optimizations(story: Story) -> str:
    """Accepted changes only."""
    rows = [
        (
            str(told.number),
            f"{told.proposal.proposer} {words(told.proposal.source)}".strip(),
            linked(told.comparisons[0], "../"),
            code(told.bundle.location) if told.bundle else "",
            f"[patch](../patches/{told.number:03d}-accept.patch)"
            if told.proposal.flags is None
            else code(" ".join(told.proposal.flags)),
        )
        for told in story.accepted
    ]
    return "\n".join(
        ["# Optimization ledger", "", *table(("No.", "Proposal", "Gain", "Place", "Change"), rows), ""]
    )


def source_ideas(story: Story) -> str:
    """Rows and cards that were looked at, so that none is read twice; and what proposers declined."""
    rows = [
        (
            blob_link(digest, "../../"),
            bundle.stage,
            code(bundle.row_id),
            f"{bundle.share:.1%}",
            code(bundle.location),
            f"{bundle.ceiling:.1%}",
            ", ".join(dict.fromkeys(words(card.card_id) for card in bundle.cards)),
            code("; ".join(card.quote for card in bundle.cards)[:160]),
        )
        for digest, bundle in story.bundles.items()
    ]
    declined = [
        (str(row.round), answer.proposer, words(answer.reason), words(answer.detail[:200]))
        for row, answer in story.declined
    ]
    head = ("Evidence", "Stage", "Row", "Share", "Place", "Can pay", "Cards", "Quoted")
    return "\n".join(
        [
            "# Source idea ledger",
            "",
            *table(head, rows),
            "",
            "## Declined",
            "",
            *table(("Round", "Proposer", "Reason", "Detail"), declined),
            "",
        ]
    )


def lineage(story: Story) -> str:
    """lineage.jsonl."""
    lines = []
    for told in story.candidates:
        proposal, verdict = told.proposal, told.verdict
        row = LineageRow(
            candidate=told.number,
            round=told.round,
            proposer=proposal.proposer,
            source=proposal.source,
            parent_commit=proposal.parent.commit,
            commit=verdict.tree.commit if verdict and verdict.tree else "",
            diff=proposal.diff,
            evidence=proposal.evidence,
            cards=tuple(card.card_id for card in told.bundle.cards) if told.bundle else (),
            decision=verdict.decision if verdict else "",
            reason=verdict.reason if verdict else "",
            comparisons=tuple(found.id for found in told.comparisons),
        )
        lines.append(msgspec.json.encode(row).decode() + "\n")
    return "".join(lines)


def checkpoint(story: Story) -> str:
    """Where the campaign stands, for whoever takes over."""
    at = story.at
    rows = [
        (
            str(row.seq),
            datetime.datetime.fromtimestamp(story.times[row.seq], datetime.UTC).strftime("%Y-%m-%d %H:%M:%S"),
            str(row.round),
            str(row.candidate),
            row.kind,
            row.state,
            words(row.text),
        )
        for row in story.rows
    ]
    return "\n".join(
        [
            "# Checkpoint",
            "",
            f"State {at.state}, round {at.round}, {at.candidate} candidates, {len(at.accepted)} accepted,"
            f" {at.weak} weak rounds in a row, research widened {at.widened} times.",
            f"Incumbent: commit {code(at.best.commit) if at.best else '(installed)'}, flags"
            f" {code(' '.join(at.flags)) or 'none beyond the spec'}.",
            "",
            *table(("Row", "UTC", "Round", "Candidate", "Kind", "State", "What"), rows),
            "",
        ]
    )
