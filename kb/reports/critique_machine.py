"""A critique for machines: SARIF 2.1.0 for code scanning, rdjson for reviewdog. Both keep fingerprints and precedents.

SARIF knows lines of the new side only: a finding on removed lines is put at the first line of its hunk that is still there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

from kb.critique.findings import Finding, Severity
from kb.critique.run import Critique
from kb.reports.safe import one_line

_LEVELS: dict[Severity, str] = {"blocking": "error", "major": "warning", "minor": "note", "nit": "note"}
_RDJSON: dict[Severity, str] = {"blocking": "ERROR", "major": "WARNING", "minor": "INFO", "nit": "INFO"}
_RULES = {
    "undoes-fix": "Takes out lines that a past fix put in",
    "restores-reverted": "Puts lines back that a past change took out",
    "fixed-before": "Changes names that a past fix of this definition was about",
    "asked-before": "Reviewers asked about this code before",
    "untested-change": "Behaviour changes without a test where fixes came with tests",
    "claim-without-numbers": "Says it is faster without a figure",
    "flag-without-docs": "A flag that no page names",
    "shared-file": "A change for one model in code that all run through",
    "model": "Written by a model, checked against its precedents",
}
_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def critique_sarif(found: Critique) -> str:
    """One SARIF log with one run."""
    rules = sorted({f.rule for f in found.findings})
    driver = {
        "name": "prlore", "semanticVersion": version("prlore"), "informationUri": "https://pypi.org/project/prlore/",
        "rules": [{"id": r, "name": _camel(r), "shortDescription": {"text": _RULES[r]}} for r in rules],
    }  # fmt: skip
    run = {
        "tool": {"driver": driver}, "columnKind": "unicodeCodePoints",
        "results": [_result(f, rules.index(f.rule)) for f in found.findings],
    }  # fmt: skip
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=2, ensure_ascii=True)


def _camel(rule: str) -> str:
    return "".join(part.capitalize() for part in rule.split("-"))


def _result(f: Finding, index: int) -> dict[str, Any]:
    return {
        "ruleId": f.rule, "ruleIndex": index, "level": _LEVELS[f.severity],
        "message": {"text": _message(f)},
        "locations": [{"physicalLocation": _physical(f)}],
        "partialFingerprints": {"prloreFinding/v1": f.fingerprint},
        "relatedLocations": [
            {"id": n, "message": {"text": text}, "physicalLocation": {"artifactLocation": {"uri": url}}}
            for n, (text, url) in enumerate(_precedents(f), start=1)
        ],
        "properties": {"severity": f.severity, "concern": f.concern, "standing": f.standing, "side": f.place.side},
    }  # fmt: skip


def _physical(f: Finding) -> dict[str, Any]:
    first, last = new_lines(f)
    return {"artifactLocation": {"uri": quote(f.place.path)}, "region": {"startLine": first, "endLine": last}}


def new_lines(f: Finding) -> tuple[int, int]:
    """First and last line on the new side: of the place, or of the hunk's beginning for lines that are gone."""
    if f.place.side == "new":
        return f.place.start, f.place.line
    start = max(1, int(f.place.hunk.split("+", 1)[1].split(",", 1)[0]))
    return start, start


def _message(f: Finding) -> str:
    return one_line(f"{f.failure} {f.check}".replace("`", "'"))


def _precedents(f: Finding) -> Iterator[tuple[str, str]]:
    """Text and address of each precedent."""
    for pull in f.pulls:
        verb = "reverted" if pull.relation == "reverts" else "fixed"
        yield one_line(f"{pull.id} {verb} this place: {pull.title}"), pull.url
    for thread in f.threads:
        yield one_line(f"review thread of {thread.created_at[:10]}: {thread.quote}"), thread.url


def critique_rdjson(found: Critique) -> str:
    """Diagnostics as reviewdog's `-f=rdjson` reads them."""
    diagnostics = []
    for f in found.findings:
        first, last = new_lines(f)
        cited = next(_precedents(f))
        diagnostics.append(
            {
                "message": f"{f.severity} ({f.concern}): {_message(f)} Precedent: {cited[0]}",
                "location": {
                    "path": f.place.path,
                    "range": {"start": {"line": first}, "end": {"line": last}},
                },
                "severity": _RDJSON[f.severity],
                "code": {"value": f.rule, "url": cited[1]},
            }
        )
    return json.dumps(
        {"source": {"name": "prlore"}, "severity": "WARNING", "diagnostics": diagnostics}, indent=2
    )
