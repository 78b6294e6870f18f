"""The workbench of simulated campaigns: every task of the driver, with known gains instead of engines."""

from __future__ import annotations

from pathlib import Path

from loop.campaign.folder import Folder
from loop.campaign.tasks import (
    AnyResult,
    AnyTask,
    Applied,
    ApplyTask,
    ClusterTask,
    Failed,
    Gated,
    GateTask,
    Preflighted,
    PreflightTask,
    Profiled,
    ProfileTask,
    Proposed,
    ProposeTask,
    Retrieved,
    RetrieveTask,
    Searched,
    SearchTask,
)
from loop.gates.regression import RegressionGate
from loop.protocols import GateContext, Server
from loop.records import (
    CampaignSpec,
    CardQuote,
    Comparison,
    Declined,
    EvidenceBundle,
    GateResult,
    PatchProposal,
    ProfileDigest,
    ProfileRow,
)
from loop.trees.campaign import CampaignTrees
from loop.workbench.measure import ArmName, run_cluster
from loop.workbench.simulated import (
    Noise,
    SimulatedBencher,
    SimulatedServer,
    gain_of,
    simulated_host,
    simulated_launch,
    simulated_tree,
)

_SHARE = 0.3  # of the one row that simulated profiles have


class SimulatedWorkbench:
    """Reads its noise and its candidates' gains from the options of the spec's `scripted` proposer.

    Options: `gains` (log gains in order, comma-separated), `run`, `start`, `drift` (standard deviations).
    """

    def __init__(self, folder: Folder, spec: CampaignSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._blobs = folder.blobs()
        self._seeds = folder.seeds()
        options = dict(option for proposer in spec.proposers for option in proposer.options)
        self._gains = [float(gain) for gain in options.get("gains", "").split(",") if gain]
        self._noise = Noise(*(float(options.get(k, getattr(Noise, k))) for k in ("run", "start", "drift")))

    def perform(self, task: AnyTask, spool: Path) -> AnyResult:
        """Do a task."""
        match task:
            case PreflightTask():
                return Preflighted(base=simulated_tree(0.0, "base"))
            case SearchTask():
                return Searched()
            case ClusterTask():
                return self._cluster(task, spool)
            case ProfileTask():
                return self._profile(task)
            case RetrieveTask():
                return self._retrieve(task)
            case ProposeTask():
                return self._propose(task)
            case ApplyTask():
                return self._apply(task)
            case GateTask():
                return Gated(gate=self._blobs.keep(self._gate(task)))
        return Failed(reason="NO_SUCH_TASK", detail=str(task))

    def _cluster(self, task: ClusterTask, spool: Path) -> AnyResult:
        arms = {"A": task.a, "B": task.b}

        def start(arm: ArmName, directory: Path) -> Server:
            launch = simulated_launch(arms[arm])
            name = f"{task.comparison}-{task.restart}-{arm}".replace("/", "-")
            return SimulatedServer(f"sim://{name}/{launch.tree}", launch)

        # a comparison takes about a dozen pairs: where on the drift's axis the candidate of this number is measured
        number = "".join(c for c in task.comparison.split("/")[0] if c.isdigit())
        have = len(
            [
                1
                for i in range(task.first, task.first + task.count)
                if (spool / f"block-{i:05d}.json").exists()
            ]
        )
        bencher = SimulatedBencher(
            self._seeds, self._noise, task.comparison, task.first + have, 12.0 * int(number or 0)
        )
        return run_cluster(
            task,
            self._spec,
            start,
            bencher,
            self._blobs,
            self._seeds,
            spool,
            host=simulated_host,
            nonce=str,  # none: a simulated block that is measured again must come out the same
            sync=self._folder.sync,
        )

    def _gate(self, task: GateTask) -> GateResult:
        """Gates that only read the measurement are the real ones; simulated code has nothing for the others."""
        if task.gate != "regression":
            return GateResult(task.gate, "pass")
        context = GateContext(
            spec=self._spec,
            parent=task.parent,
            proposal=self._blobs.load(PatchProposal, task.proposal),
            blobs=self._blobs,
            trees=CampaignTrees(self._folder.git),
            scratch=self._folder.spool,
            measured=self._blobs.load(Comparison, task.measured),
        )
        return RegressionGate().check(context)

    def _profile(self, task: ProfileTask) -> AnyResult:
        tree = task.arm.tree.tree if task.arm.tree else ""
        row = ProfileRow(
            "decode/kernel/1", "simulated", "gemm", _SHARE, 1, ("engine.py:1",), ("step",), _SHARE
        )
        profile = ProfileDigest(tree, "simulated", "decode", self._blobs.put(b"simulated trace"), (row,))
        return Profiled(profiles=(self._blobs.keep(profile),))

    def _retrieve(self, task: RetrieveTask) -> AnyResult:
        quote = self._blobs.put(b"simulated quote")
        bundle = EvidenceBundle(
            symptom=task.symptom,
            metric=self._spec.policy.metric,
            gap=0.0,
            stage="decode",
            profile=task.profiles[0],
            row_id="decode/kernel/1",
            share=_SHARE,
            location="engine.py:1",
            tree=task.tree.tree,
            cards=(CardQuote("simulated#1", "engine.py", "simulated quote", quote),),
            expected="a known gain",
            ceiling=1 / (1 - _SHARE) - 1,
        )
        return Retrieved(bundles=(self._blobs.keep(bundle),))

    def _propose(self, task: ProposeTask) -> AnyResult:
        number = len(task.tried)
        if number >= len(self._gains):
            return Proposed(declined=self._blobs.keep(Declined("scripted", "NO_MORE", exhausted=True)))
        diff = self._blobs.put(f"{self._gains[number]!r} {number}".encode())
        proposal = PatchProposal(
            "scripted",
            "1",
            task.tree,
            diff,
            ("engine.py",),
            "a known gain",
            task.bundle,
            source=f"candidate {number + 1}",
        )
        return Proposed(proposal=self._blobs.keep(proposal))

    def _apply(self, task: ApplyTask) -> AnyResult:
        proposal = self._blobs.load(PatchProposal, task.proposal)
        text = self._blobs.get(proposal.diff).decode()
        gain = gain_of(proposal.parent.tree) + float(text.split()[0])
        return Applied(tree=simulated_tree(gain, f"{proposal.parent.commit} {text}"))
