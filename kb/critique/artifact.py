"""A critique from a file that anybody may have written: only what can be looked up again comes out of it.

A job that reviews a fork's pull request has no secret and may be the fork's own. What it leaves is read by another job
that may write comments. So every finding is checked anew against this knowledge base and this diff, its words are held
to the rules for a model's words, severities are capped by what the rules give here, and everything else is made anew.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from kb.critique.drafts import Case
from kb.critique.findings import SEVERITIES, Finding, Refusal
from kb.critique.run import Critique, chosen_findings, critique_of
from kb.critique.verify import Verifier
from kb.gate.prose import unsafe

_LARGEST = 8 << 20
_MOST = 50


class ArtifactError(PrloreError):
    """A file that holds no critique."""


def read_artifact(path: Path) -> Critique:
    """A critique from its JSON.

    Raises:
        ArtifactError: it can't be read, is too large, or is none.
    """
    try:
        raw = path.read_bytes() if path.stat().st_size <= _LARGEST else b""
        return msgspec.json.decode(raw, type=Critique)
    except OSError as exc:
        raise ArtifactError(
            f"can't read {path}: {exc.strerror}; give the file of `prlore review --format json`"
        ) from exc
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ArtifactError(
            f"{path} holds no review ({exc}): give the file of `prlore review --format json`"
        ) from exc


def checked_artifact(case: Case, said: Critique, most: int) -> Critique:
    """The critique as it is made here, with those findings of a file that hold here as well."""
    own = critique_of(case, most)
    drafted = {f.fingerprint: f for f in chosen_findings(case)}
    verifier = Verifier(case.store, case.patch, case.history)
    kept, refused = verifier.check([f for f in said.findings[:_MOST] if not _spoiled(f)])
    held = [_capped(f, drafted.get(f.fingerprint)) for f in kept]
    held = [f for i, f in enumerate(held) if f.fingerprint not in {g.fingerprint for g in held[:i]}]
    spoiled = [
        Refusal(rule=f.rule, path=f.place.path, why="holds an address, markup or an order")
        for f in said.findings
        if _spoiled(f)
    ]
    return msgspec.structs.replace(own, findings=tuple(held[:most]), refused=(*refused, *spoiled), left_out=0)


def _spoiled(finding: Finding) -> bool:
    return bool(unsafe(finding.failure) or unsafe(finding.check))


def _capped(finding: Finding, drafted: Finding | None) -> Finding:
    """A finding with the severity that the rules give it here; minor at most where they don't draft it."""
    if drafted is not None:
        return msgspec.structs.replace(finding, severity=drafted.severity, score=drafted.score)
    least = max(SEVERITIES.index(finding.severity), SEVERITIES.index("minor"))
    return msgspec.structs.replace(finding, severity=SEVERITIES[least])
