"""The agent proposer: a clone without history and without instructions for agents, one command, and the files it leaves.

The agent gets a home of its own, the one credential that its preset names, and no other variable of ours. The network is
shared with it, since its model has to be reached; where bubblewrap is missing, limits are all that stands around it, and the
proposal says so.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

from ingest.errors import PrloreError
from loop.gates.paths import rule_on
from loop.kernels.hint import KernelHints
from loop.proposers.agent.presets import Preset
from loop.proposers.agent.task import task_of
from loop.proposers.handing_in import Desk
from loop.protocols import ProposalBudget
from loop.records import Cost, Declined, EvidenceBundle, PatchProposal, TreeRef
from loop.sandbox.bubblewrap import Walls, interpreter_folders
from loop.sandbox.environment import child_environment
from loop.sandbox.run import Command, Finished, Limits, run
from loop.sandbox.templates import Program, find_program, with_program
from loop.trees.patches import changes
from loop.trees.store import Entry
from loop.trees.untrusted import clone, snapshot

_USD = re.compile(r'"total_cost_usd"\s*:\s*(\d+(?:\.\d+)?)')


class AgentProposer:
    """Runs one agent a proposal.

    Args:
        desk: where it is handed in.
        preset: how it is called.
        model: the model's name, for the preset's slot.
        scratch: an empty folder for its clone and home.
        environment: where its credential is taken from.
        kernels: what is known of kernels; None where there is no kernel work.
    """

    kind = "agent"

    def __init__(
        self,
        desk: Desk,
        preset: Preset,
        model: str,
        scratch: Path,
        environment: Mapping[str, str] = os.environ,
        kernels: KernelHints | None = None,
    ) -> None:
        self._desk, self._preset, self._model, self._scratch = desk, preset, model, scratch
        self._environment, self._kernels = environment, kernels

    def propose(
        self, bundle: EvidenceBundle, tree: TreeRef, budget: ProposalBudget
    ) -> PatchProposal | Declined:
        """What the agent leaves in its folder, without what no candidate may change."""
        store = self._desk.trees.store(tree.repository)
        shown = {path: None for path in self._desk.trees.paths(tree) if rule_on(path).reason == "AGENT_FILE"}
        given = store.with_entries(tree.tree, shown) if shown else tree.tree
        folder, home = self._scratch / "clone", self._scratch / "home"
        task = task_of(bundle, self._kernels.hint(bundle, tree).facts() if self._kernels else None)
        try:
            program = find_program(self._preset.template.argv[0])
            home.mkdir(parents=True)
            clone(store, given, folder)
            finished = self._run(program, folder, home, task, budget)
            left = snapshot(store, given, folder)
            patched: dict[str, Entry | None] = {
                c.path: Entry(c.new_mode, c.new_blob) if c.new_mode != "000000" else None
                for c in changes(store, given, left.tree)
            }
            after = store.with_entries(tree.tree, patched) if patched else tree.tree
        except PrloreError as exc:
            return self._desk.decline("agent", "NOT_RUN", str(exc))
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)
        prompts = (self._desk.keep_text(task), self._desk.keep_text(finished.out))
        spent = _USD.findall(finished.out)
        cost = Cost(seconds=finished.seconds, usd=float(spent[-1]) if spent else 0.0)
        if not patched:
            how = finished.stopped or f"status {finished.status}"
            return self._desk.decline("agent", "NO_CHANGE", f"{program.path} left nothing ({how})", cost)
        claim = f"left by {Path(program.path).name} ({finished.isolation})"
        if left.odd:
            claim += f"\nNot taken: {', '.join(left.odd[:10])}"
        source = f"{Path(program.path).name} {self._model}"
        return self._desk.patch(
            "agent", bundle, tree, after, claim, source=source, cost=cost, prompts=prompts
        )

    def _run(self, program: Program, folder: Path, home: Path, task: str, budget: ProposalBudget) -> Finished:
        file = home / "task.md"
        file.write_text(task, "utf-8")
        values = {"model": self._model, "task": file, "text": task}
        argv = with_program(self._preset.template.fill(values), program)
        keys = {name: self._environment[name] for name in self._preset.keys if name in self._environment}
        installed = Path(program.path).parent.parent
        readable = (installed,) if str(installed) not in ("/", "/usr") else ()
        script = _interpreter(Path(program.path))
        walls = Walls(readable=(*readable, *script), writable=(folder, home), network=True)
        env = child_environment(home, keys, self._environment)
        stdin = task.encode() if self._preset.stdin else b""
        return run(Command(argv, folder, env, walls, Limits(seconds=budget.seconds), stdin))


def _interpreter(program: Path) -> tuple[Path, ...]:
    """Folders of the interpreter that a script names in its first line."""
    with program.open("rb") as file:
        first = file.readline(512)
    if not first.startswith(b"#!/"):
        return ()
    path = first[2:].decode("utf-8", "replace").split()[0]
    return interpreter_folders(path) if Path(path).exists() and Path(path).name != "env" else ()
