"""`review_patch`: what the knowledge base has against a patch, each finding with the precedents it rests on."""

from __future__ import annotations

from kb.commands.options import parse_date, parse_repo
from kb.critique import findings as nouns
from kb.critique.opening import from_bytes
from kb.critique.run import review_patch as review
from kb.mcp import shapes
from kb.mcp.foreign import cut, foreign, foreign_code
from kb.mcp.library import Shelf
from kb.reports.safe import one_line

LARGEST = 1_000_000  # characters of a patch
_QUOTE = 700
_FOCUS = 6
_LANES = 6


def review_patch(shelf: Shelf, patch: str, repo: str, as_of: str, most: int) -> shapes.ReviewPage:
    """The review of a patch.

    Raises:
        PrloreError: the text is no patch, or nothing says whose files these are.
    """
    raw = patch.encode("utf-8", "surrogatepass")
    opened = from_bytes(
        raw, "patch", shelf.store, shelf.families, parse_repo(repo), parse_date(as_of, "as_of")
    )
    found = review(shelf.store, opened, shelf.families, most)
    sweep = found.sweep
    return shapes.ReviewPage(
        repo=found.repo,
        cards_scanned=sweep.cards_scanned,
        threads_scanned=sweep.threads_scanned,
        cards_matched=sweep.cards,
        threads_matched=sweep.threads,
        findings=[_finding(f) for f in found.findings],
        truncated=found.left_out > 0,
        left_out=found.left_out,
        comprehension=[one_line(c) for c in found.comprehension],
        focus=[
            shapes.FocusSpot(
                path=one_line(s.place.path), start=s.place.start, line=s.place.line, share=round(s.share, 3),
                why=[one_line(w) for w in s.why],
            )
            for s in found.focus[:_FOCUS]
        ],
        recurring=[
            shapes.ConcernRow(
                concern=r.concern, threads=r.threads, addressed=r.addressed, blocked=r.blocked, fixes=r.fixes
            )
            for r in sweep.recurring
        ],
        questions=[one_line(q) for q in found.questions],
        gaps=[
            shapes.GapRow(what=one_line(g.what), lanes=[one_line(lane) for lane in g.lanes[:_LANES]]) for g in found.gaps
        ],
        residual=one_line(found.residual),
    )  # fmt: skip


def _finding(finding: nouns.Finding) -> shapes.ReviewFinding:
    place = finding.place
    return shapes.ReviewFinding(
        severity=finding.severity,
        concern=finding.concern,
        rule=finding.rule,
        path=one_line(place.path),
        side=place.side,
        start=place.start,
        line=place.line,
        hunk=one_line(place.hunk),
        failure=one_line(finding.failure),
        check=one_line(finding.check),
        standing=finding.standing,
        fingerprint=finding.fingerprint,
        pulls=[
            shapes.PullCited(
                id=p.id, relation=p.relation, merged_at=p.merged_at, path=one_line(p.path), hunk=one_line(p.hunk),
                sha256=p.sha256, untrusted_title=one_line(foreign(p.title)), untrusted_quote=cut(foreign_code(p.quote), _QUOTE)[0],
            )
            for p in finding.pulls
        ],
        threads=[
            shapes.ThreadCited(
                id=t.id, created_at=t.created_at, addressed=t.addressed, path=one_line(t.path), sha256=t.sha256,
                untrusted_quote=cut(foreign(t.quote), _QUOTE)[0],
            )
            for t in finding.threads
        ],
        symbol=one_line(place.symbol),
    )  # fmt: skip
