"""Whether a row is work for one kernel: large enough, of the device, of source that the tree has, and not a library's.

What is not eligible is no failure: it says which other proposer the row is for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ingest.paths import group_of, language_of
from loop.gates.evidence import ceiling_of, share_of
from loop.records import EvidenceBundle, Policy, ProfileDigest, ProfileRow

Kind = Literal["triton", "cuda"]
# products of vendors' libraries: their source is not in an engine's tree, and nobody edits it here
_LIBRARY = re.compile(
    r"cublas|cutlass_\d|^nvjet|cudnn|^ampere_|^sm\d+_xmma|ncclDevKernel|^cijk_|rocblas|^void at::native",
    re.IGNORECASE,
)
_TRITON = re.compile(rb"@triton\.jit|@triton\.autotune")
_GLOBAL = re.compile(rb"__global__")


@dataclass(frozen=True, slots=True)
class Eligible:
    """A kernel that may be worked on.

    Attributes:
        function: its name in the source, for `ncu --kernel-name`.
        path: source file in the tree.
        kind: how it is written.
        ceiling: what its row can give at most, as a fraction.
    """

    function: str
    path: str
    kind: Kind
    ceiling: float


@dataclass(frozen=True, slots=True)
class NotEligible:
    """Why a row is no kernel work; `reason` is a code in capitals."""

    reason: str
    detail: str


def eligible(
    bundle: EvidenceBundle, profile: ProfileDigest, source: bytes | None, policy: Policy
) -> Eligible | NotEligible:
    """Judge the bundle's row.

    Args:
        bundle: the evidence.
        profile: the one that it names.
        source: content of the place's file.
        policy: for the smallest gain.
    """
    row = next((r for r in profile.rows if r.row_id == bundle.row_id), None)
    path = bundle.location.rpartition(":")[0]
    if row is None or profile.id != bundle.profile:
        return NotEligible("NO_ROW", "the profile has no such row")
    if profile.clock != "gpu":
        return NotEligible("NOT_ON_DEVICE", "shares are of CPU time: work for the other proposers")
    if _LIBRARY.search(row.name):
        return NotEligible(
            "LIBRARY", f"{row.name[:80]} is a library's; choose another backend or shape by launch options"
        )
    if ceiling_of(share_of(row)) < max(policy.min_gain, policy.min_share):
        return NotEligible(
            "CANNOT_PAY", f"{share_of(row):.2%} of {bundle.stage} can't give {policy.min_gain:.0%}"
        )
    if source is None:
        return NotEligible("NO_SOURCE", f"{path} is not in the tree")
    kind = _kind(path, source)
    if kind is None:
        return NotEligible("NO_KERNEL", f"{path} defines no kernel: the row's launch is there, not its code")
    function = _function(row, source)
    if function is None:
        return NotEligible("OTHER_KERNEL", f"{path} does not define {row.name[:80]}")
    return Eligible(function, path, kind, ceiling_of(share_of(row)))


def _kind(path: str, source: bytes) -> Kind | None:
    language = language_of(path)
    if language == "python" and _TRITON.search(source):
        return "triton"
    if language == "cuda" and _GLOBAL.search(source) and group_of(path) in ("kernel", "runtime"):
        return "cuda"
    return None


def _function(row: ProfileRow, source: bytes) -> str | None:
    """The longest word of the row's name that the file defines as a function."""
    words = sorted(
        set(re.findall(r"[A-Za-z_]\w{3,}", row.name)) | {s.rpartition(".")[2] for s in row.symbols},
        key=lambda w: (-len(w), w),
    )
    text = source.decode("utf-8", "replace")
    defined = (
        w
        for w in words
        if re.search(
            rf"(?:\bdef\s+|\bvoid\s+(?:__launch_bounds__\([^)]*\)\s*)?){re.escape(w)}\s*[(<\[]", text
        )
    )
    return next(defined, None)
