"""The workbench of real campaigns: engines, load generator, knowledge base, proposers and gates, bound together.

It is made anew in every step's process from the frozen spec, so that a step needs nothing but its task and the folder.
Knowledge base, proposers and gates are imported by the steps that use them: most steps measure, and wait for imports.
Of two servers that are compared only one runs at a time: the other is stopped where it is, so that it can neither
disturb the measurement nor burn CPU on its rival's account.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ingest.errors import PrloreError
from loop.campaign.folder import Folder
from loop.campaign.tasks import (
    AnyResult,
    AnyTask,
    Applied,
    ApplyTask,
    Arm,
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
from loop.engines.errors import EngineFailed
from loop.engines.registry import engine_named
from loop.engines.server import LiveServer
from loop.engines.space import space_of
from loop.load.generator import HttpBencher
from loop.protocols import GateContext, ProposalBudget, Server
from loop.records import (
    CampaignSpec,
    Comparison,
    Declined,
    EngineSpec,
    EvidenceBundle,
    GateResult,
    Launch,
    PatchProposal,
    ProfileDigest,
    RequestRow,
    Stage,
    TreeRef,
    Workload,
)
from loop.redaction import Redactor
from loop.trees.campaign import CampaignTrees
from loop.trees.store import DoesNotApply
from loop.workbench.measure import ArmName, run_cluster

if TYPE_CHECKING:
    from loop.retrieval.base import KnowledgeBase

_STAGES: tuple[Stage, ...] = ("prefill", "decode")


class OneAtATime(HttpBencher):
    """A bencher that stops every server but the one it loads.

    Attributes:
        servers: by address; whoever starts one adds it.
    """

    def __init__(self, tokenizer: Path, *, warmup: int = 0, log: Path | None = None) -> None:
        super().__init__(tokenizer, warmup=warmup, log=log)
        self.servers: dict[str, LiveServer] = {}

    def pause_all(self) -> None:
        """Stop every server where it is."""
        for server in self.servers.values():
            server.pause()

    def run(
        self, url: str, model: str, workload: Workload, seed: int, cpu_ns: Callable[[], int] | None = None
    ) -> tuple[RequestRow, ...]:
        """One arm, alone as far as we can see to it."""
        for address, server in self.servers.items():
            if address == url:
                server.resume()
            else:
                server.pause()
        return super().run(url, model, workload, seed, cpu_ns)


class EngineWorkbench:
    """Does tasks with real parts."""

    def __init__(self, folder: Folder, spec: CampaignSpec) -> None:
        self._folder = folder
        self._spec = spec
        self._redact = Redactor()
        self._blobs = folder.blobs(self._redact)
        self._trees = CampaignTrees(folder.git)
        self._does: dict[type, Callable[..., AnyResult]] = {
            PreflightTask: self._preflight,
            SearchTask: self._search,
            ClusterTask: self._cluster,
            ProfileTask: self._profile,
            RetrieveTask: self._retrieve,
            ProposeTask: self._propose,
            ApplyTask: self._apply,
            GateTask: self._gate,
        }

    def perform(self, task: AnyTask, spool: Path) -> AnyResult:
        """Do a task."""
        return self._does[type(task)](task, spool)

    @cached_property
    def _kb(self) -> KnowledgeBase:
        from loop.retrieval.base import KnowledgeBase

        return KnowledgeBase(self._spec.kb)

    def _engine(self, arm: Arm) -> EngineSpec:
        return self._spec.target if arm.rival < 0 else self._spec.competitors[arm.rival]

    def _launch(self, arm: Arm) -> Launch:
        """How an arm is started; its checkout is made when it is not there."""
        engine = self._engine(arm)
        tree = arm.tree
        if tree is None and engine.repository and engine.base:
            tree = self._trees.resolve(engine.repository, engine.base)
        return Launch(
            engine=engine.name,
            model=self._spec.model.path,
            source=str(self._checkout(tree)) if tree else None,
            tree=tree.tree if tree else "",
            python=engine.python,
            flags=(*engine.flags, *arm.flags),
            env=engine.env,
            device=engine.device,
        )

    def _checkout(self, tree: TreeRef) -> Path:
        """A folder with the tree's files; it appears whole or not at all."""
        place = self._folder.builds / tree.tree
        if place.is_dir():
            return place
        self._folder.builds.mkdir(exist_ok=True)
        half = self._folder.builds / f".{tree.tree}.{os.getpid()}"
        shutil.rmtree(half, ignore_errors=True)
        self._trees.checkout(tree, half)
        with contextlib.suppress(OSError):  # somebody else was quicker, with the same files
            half.rename(place)
        shutil.rmtree(half, ignore_errors=True)
        return place

    def _bencher(self, spool: Path) -> HttpBencher:
        return HttpBencher(Path(self._spec.model.path), warmup=1, log=spool / "load.log")

    # ---------------------------------------------------------------------------------------------- tasks

    def _preflight(self, task: PreflightTask, spool: Path) -> AnyResult:
        target = self._spec.target
        base = (
            self._trees.resolve(target.repository, target.base) if target.repository and target.base else None
        )
        missing = []
        for number in range(-1, len(self._spec.competitors)):
            arm = Arm(number, base if number < 0 else None)
            reason = engine_named(self._engine(arm).name).missing(self._launch(arm))
            if reason:
                missing.append(("target" if number < 0 else f"competitor {number}", reason))
        return Preflighted(missing=tuple(missing), base=base)

    def _search(self, task: SearchTask, spool: Path) -> AnyResult:
        from loop.fair.search import Terms, search_flags

        spec = self._engine(task.arm)
        engine, launch = engine_named(spec.name), self._launch(task.arm)
        fixed = tuple(word.split("=")[0] for word in spec.flags if word.startswith("-"))
        space = space_of(spec.name, spec.device, engine.options(launch), fixed)
        terms = Terms(
            self._spec.workloads,
            self._spec.sla,
            self._spec.policy.metric,
            spec.search,
            self._folder.seeds().number("search"),
        )
        found = search_flags(
            engine,
            launch,
            space,
            terms,
            self._bencher(spool),
            self._blobs,
            spool / "trials",
            engine.found(launch).version or "",
        )
        if found.missing:
            return Failed(reason="ENGINE_MISSING", detail=found.missing)
        winner = found.winner
        return Searched(
            flags=winner.flags if winner and winner.number else (), record=self._blobs.keep(found)
        )

    def _cluster(self, task: ClusterTask, spool: Path) -> AnyResult:
        arms = {"A": task.a, "B": task.b}
        bencher = OneAtATime(Path(self._spec.model.path), log=spool / "load.log")
        few = replace(self._spec.workloads[0], num_prompts=2, output_len=8, request_rate=None)

        def start(arm: ArmName, directory: Path) -> Server:
            chosen = arms[arm]
            launch = self._launch(chosen)
            bencher.pause_all()  # one that idles would slow the other's start
            server = engine_named(self._engine(chosen).name).start(launch, directory)
            bencher.servers[server.url] = server
            # what a first request costs belongs to no arm; warming within one would be counted as its CPU time
            bencher.run(server.url, launch.model, few, 0)
            return _of_its_tree(server, launch)

        return run_cluster(
            task,
            self._spec,
            start,
            bencher,
            self._blobs,
            self._folder.seeds(),
            spool,
            sync=self._folder.sync,
        )

    def _profile(self, task: ProfileTask, spool: Path) -> AnyResult:
        launch = self._launch(task.arm)
        engine = engine_named(launch.engine)
        found, notes = [], []
        for stage in _STAGES:
            # a server a stage: some engines end a profile only with their process
            server = engine.start(launch, spool / f"server-{stage}")
            try:
                seed = self._folder.seeds().number(f"profile/{stage}")
                traces = server.profile(stage, spool / stage, self._spec.workloads[0], seed)
                found.append(self._blobs.keep(engine.digest(traces, launch, stage, self._blobs)))
            except PrloreError as exc:
                notes.append(f"{stage}: {exc}")
            finally:
                server.stop()
        return Profiled(profiles=tuple(found), note="; ".join(notes))

    def _retrieve(self, task: RetrieveTask, spool: Path) -> AnyResult:
        symptom = self._blobs.load(Comparison, task.symptom) if task.symptom else None
        profiles = [self._blobs.load(ProfileDigest, digest) for digest in task.profiles]
        found = self._kb.retriever(self._trees).bundles(
            task.tree,
            profiles,
            symptom if symptom and symptom.kind == "gap" else None,
            self._spec.policy,
            widen=task.widened,
            without=frozenset(task.forbidden),
        )
        return Retrieved(
            bundles=tuple(self._blobs.keep(bundle) for bundle in found.bundles),
            thin=tuple((row.row_id, row.reason) for row in found.without),
        )

    def _propose(self, task: ProposeTask, spool: Path) -> AnyResult:
        from loop.proposers.handing_in import Desk
        from loop.proposers.registry import Surroundings, proposer_of, submitted

        if not task.bundle:
            return self._declined(Declined("human", "NO_EVIDENCE", "there is no evidence in this round"))
        bundle = self._blobs.load(EvidenceBundle, task.bundle)
        tried = tuple(self._blobs.load(PatchProposal, digest) for digest in task.tried)
        scratch = self._scratch(spool)
        around = Surroundings(
            spec=self._spec,
            desk=Desk(self._trees, self._blobs, self._redact),
            kb=lambda: self._kb,
            launch=self._launch(Arm(-1, task.tree, task.flags)),
            scratch=scratch,
            searched=task.flags,
            tried=tried,
        )
        if task.patch:
            proposer = submitted(around, self._blobs.get(task.patch), task.source)
        else:
            proposer = proposer_of(self._spec.proposers[task.proposer], around)
        made = proposer.propose(bundle, task.tree, ProposalBudget())
        if isinstance(made, Declined):
            return self._declined(made)
        return Proposed(cost=made.cost, proposal=self._blobs.keep(made))

    def _declined(self, made: Declined) -> AnyResult:
        return Proposed(cost=made.cost, declined=self._blobs.keep(made))

    def _apply(self, task: ApplyTask, spool: Path) -> AnyResult:
        proposal = self._blobs.load(PatchProposal, task.proposal)
        try:
            return Applied(tree=self._trees.apply(proposal.parent, self._blobs.get(proposal.diff)))
        except DoesNotApply as exc:
            failed = GateResult("apply", "fail", "DOES_NOT_APPLY", str(exc))
            return Applied(gate=self._blobs.keep(failed))

    def _gate(self, task: GateTask, spool: Path) -> AnyResult:
        from loop.gates.registry import gate_named

        symptom = self._blobs.load(Comparison, task.symptom) if task.symptom else None
        gap = symptom if symptom and symptom.kind == "gap" else None
        proposal = self._blobs.load(PatchProposal, task.proposal)
        flags = task.flags if proposal.flags is None else proposal.flags
        served = task.candidate is not None
        context = GateContext(
            # a campaign whose competitors are absent or slower looks for headroom, as one without competitors does
            spec=self._spec if gap else replace(self._spec, competitors=()),
            parent=task.parent,
            proposal=proposal,
            blobs=self._blobs,
            trees=self._trees,
            scratch=self._scratch(spool),
            bundle=self._blobs.load(EvidenceBundle, task.bundle) if task.bundle else None,
            profiles=tuple(self._blobs.load(ProfileDigest, digest) for digest in task.profiles),
            symptom=gap,
            candidate=task.candidate,
            tried=tuple(self._blobs.load(PatchProposal, digest) for digest in task.tried),
            incumbent=self._launch(Arm(-1, task.parent, task.flags)) if served else None,
            challenger=self._launch(Arm(-1, task.candidate, flags)) if served else None,
            engine=engine_named(self._spec.target.name),
            bencher=self._bencher(spool),
            measured=self._blobs.load(Comparison, task.measured) if task.measured else None,
        )
        gate = gate_named(task.gate, context.spec, lambda: self._kb.cards)
        result = gate.check(context)
        return Gated(cost=result.cost, gate=self._blobs.keep(result))

    def _scratch(self, spool: Path) -> Path:
        """An empty folder of this step."""
        scratch = spool / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        return scratch


def _of_its_tree(server: LiveServer, launch: Launch) -> LiveServer:
    """What runs has to be what was asked for: an editable install once put a patch into both arms, unseen."""
    found = server.identity().tree
    if launch.tree and found != launch.tree:
        server.stop()
        raise EngineFailed(f"the live server runs tree {found[:12]} and not {launch.tree[:12]}")
    return server
