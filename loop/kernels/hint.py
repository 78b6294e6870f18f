"""What a proposer is told about a kernel: its function, the shapes it meets, and the one edit that its counters call for.

Counters come from files that the spec names, or are taken here where Nsight Compute and a GPU are at hand: the harness runs the
incumbent's own code behind walls, one launch is looked at, nothing is timed. Where neither is possible the hint has no edit and
says why; a proposer works without it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from analysis.errors import AnalysisError
from ingest.errors import PrloreError
from loop.kernels.eligibility import Eligible, NotEligible, eligible
from loop.kernels.harness import Harness, harness_for
from loop.kernels.next_edit import NextEdit, next_edit
from loop.kernels.shapes import shapes_of
from loop.protocols import Blobs, Trees
from loop.records import CampaignSpec, EvidenceBundle, Launch, ProfileDigest, TreeRef, decode
from loop.sandbox.bubblewrap import Walls, interpreter_folders
from loop.sandbox.environment import child_environment
from loop.sandbox.run import Command, Limits, run
from loop.sandbox.templates import TemplateError, find_program

_SECONDS = 300.0


@dataclass(frozen=True)
class Hint:
    """Facts about a kernel.

    Attributes:
        kernel: None where the row is no kernel work; `without` says why, or why there is no edit.
        edit: exactly one, None without counters.
    """

    kernel: Eligible | None = None
    edit: NextEdit | None = None
    shapes: tuple[dict[str, Any], ...] = ()
    harness: str = ""
    without: str = ""

    def facts(self) -> dict[str, Any]:
        """For a prompt; empty where there is nothing to say."""
        if self.kernel is None:
            return {}
        found: dict[str, Any] = {
            "kernel": self.kernel.function,
            "written in": self.kernel.kind,
            "shapes": self.shapes,
        }
        if self.edit is not None:
            found["the one next edit"] = self.edit.edit
            found["because"] = self.edit.why
        return found


@dataclass(frozen=True)
class KernelHints:
    """Makes hints for one campaign.

    Attributes:
        launch: the incumbent's, with its checkout.
        counters: reports or tables of Nsight Compute that the spec names; `baseline` the same before the last edit.
    """

    spec: CampaignSpec
    trees: Trees
    blobs: Blobs
    launch: Launch
    scratch: Path
    counters: Sequence[Path] = field(default=())
    baseline: Sequence[Path] = field(default=())

    def hint(self, bundle: EvidenceBundle, tree: TreeRef) -> Hint:
        """The hint for a piece of evidence."""
        try:
            profile = decode(ProfileDigest, self.blobs.get(bundle.profile))
        except (PrloreError, msgspec.DecodeError):
            return Hint(without="the profile is not at hand")
        source = self.trees.read(tree, bundle.location.rpartition(":")[0])
        kernel = eligible(bundle, profile, source, self.spec.policy)
        if isinstance(kernel, NotEligible):
            return Hint(without=f"{kernel.reason}: {kernel.detail}")
        try:
            shapes = shapes_of(
                Path(self.launch.model), self.spec.workloads, bundle.stage, self.spec.model.precision
            )
        except PrloreError as exc:
            return Hint(kernel, without=str(exc))
        harness = harness_for(kernel, source or b"", shapes)
        listed = tuple(asdict(s) for s in shapes)
        try:
            files = self.counters or self._taken(harness)
            edit = next_edit(files, self.baseline, re.escape(kernel.function))
        except (PrloreError, AnalysisError) as exc:
            return Hint(kernel, None, listed, harness.text if harness else "", str(exc))
        return Hint(kernel, edit, listed, harness.text if harness else "")

    def _taken(self, harness: Harness | None) -> list[Path]:
        """Counters of one launch, taken here.

        Raises:
            PrloreError: there is no GPU, no Nsight Compute, no harness, or it failed.
        """
        if (
            self.launch.device != "cuda"
            or self.launch.source is None
            or self.launch.python is None
            or harness is None
        ):
            raise TemplateError(
                "no counters: this needs a GPU, a checkout with its interpreter, and a kernel that Python launches"
            )
        place = self.scratch / "harness"
        place.mkdir(parents=True, exist_ok=True)
        (place / "harness.py").write_text(harness.text, "utf-8")
        ncu = find_program("ncu")
        argv = [ncu.path, *harness.command[1:-2], self.launch.python, str(place / "harness.py")]
        roots = [str(p) for p in (Path(self.launch.source, "python"), Path(self.launch.source)) if p.is_dir()]
        walls = Walls(
            readable=(*interpreter_folders(self.launch.python), Path(ncu.path).parent, Path(self.launch.source)),
            writable=(place,), gpu=True,
        )  # fmt: skip
        env = child_environment(place, {"PYTHONPATH": ":".join(roots)})
        limits = Limits(seconds=_SECONDS, file=1 << 30)
        done = run(Command(argv, place, env, walls, limits))
        report = place / "counters.csv"
        if not done.ok or not report.is_file():
            last = done.out.strip().splitlines()
            raise TemplateError(f"no counters: {last[-1][:200] if last else f'status {done.status}'}")
        return [report]
