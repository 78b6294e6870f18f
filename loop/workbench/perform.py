"""Does one step: reads its task, has the campaign's workbench do it, leaves a result that is whole or not there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from msgspec.structs import replace

from ingest.errors import PrloreError
from loop.campaign.durable import write_whole
from loop.campaign.errors import CampaignError
from loop.campaign.folder import Folder
from loop.campaign.steps import work_of
from loop.campaign.tasks import AnyResult, AnyTask, Failed
from loop.records import CampaignSpec, Digest, canonical

SIMULATED = "simulated"


class Workbench(Protocol):
    """Does tasks of one campaign."""

    def perform(self, task: AnyTask, spool: Path) -> AnyResult:
        """A task's result; files that only this step needs go into `spool`."""


def workbench_of(folder: Folder, spec: CampaignSpec) -> Workbench:
    """The workbench that a spec asks for."""
    if spec.target.name == SIMULATED:
        from loop.workbench.simulated_bench import SimulatedWorkbench

        return SimulatedWorkbench(folder, spec)
    from loop.workbench.engine_bench import EngineWorkbench

    return EngineWorkbench(folder, spec)


def perform_step(folder: Folder, key: str, bench: Workbench | Digest) -> None:
    """Do the step of a key; an error of the infrastructure is a result, want of space is not.

    Args:
        folder: of the campaign. Its database belongs to the driver and is not opened here.
        key: of the step.
        bench: the campaign's workbench, or the id of the spec that says which.
    """
    spool = folder.spool / key
    task = work_of((spool / "task.json").read_bytes())
    spec = folder.blobs().load(CampaignSpec, bench) if isinstance(bench, str) else None
    workbench = workbench_of(folder, spec) if spec else bench
    assert not isinstance(workbench, str)
    began = time.monotonic()
    try:
        result = workbench.perform(task, spool)
    except CampaignError:
        raise
    except PrloreError as exc:
        result = Failed(reason=type(exc).__name__, detail=str(exc))
    if not result.cost.seconds:
        result = replace(result, cost=replace(result.cost, seconds=time.monotonic() - began))
    write_whole(spool / "result.json", canonical(result), sync=folder.sync)
