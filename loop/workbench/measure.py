"""Pairs under one start of both servers: each block is on disk, whole, before the next begins."""

from __future__ import annotations

import resource
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

from ingest.errors import PrloreError
from loop.campaign.durable import write_whole
from loop.campaign.seeds import Seeds
from loop.campaign.steps import block_name
from loop.campaign.tasks import ClusterEnded, ClusterTask
from loop.protocols import Bencher, Blobs, Server
from loop.records import ArmRun, BenchBlock, CampaignSpec, Cost, Digest, HostState, Workload, canonical
from loop.stats.metrics import arm_metrics, encode_rows
from loop.stats.validity import invalid_reason
from loop.workbench.host import Reading, read_host, with_foreign

ArmName = Literal["A", "B"]


# starts the server of an arm, healthy when it returns
Starter = Callable[[ArmName, Path], Server]


def run_cluster(
    task: ClusterTask,
    spec: CampaignSpec,
    start: Starter,
    bencher: Bencher,
    blobs: Blobs,
    seeds: Seeds,
    spool: Path,
    *,
    host: Callable[[], Reading] = read_host,
    nonce: Callable[[], str] = secrets.token_hex,
    sync: bool = True,
) -> ClusterEnded:
    """Measure the pairs that are not there yet, until told to stop.

    A server that does not start or does not answer ends the cluster and is named; what was measured stays.
    """
    todo = [i for i in range(task.first, task.first + task.count) if not (spool / block_name(i)).exists()]
    began = host().at
    done = task.count - len(todo)
    broken: Literal["", "A", "B"] = ""
    reason = ""
    with ExitStack() as stack:
        servers: dict[ArmName, Server] = {}
        builds: dict[ArmName, Digest] = {}
        stopped = not todo or (spool / "stop").exists()
        for arm in () if stopped else _arms():
            try:
                server = start(arm, spool / f"server-{arm}")
                stack.callback(server.stop)
                build = server.build()
            except PrloreError as exc:
                broken, reason = arm, str(exc)
                break
            servers[arm], builds[arm] = server, blobs.put(canonical(build))
        for index in todo if len(servers) == 2 else ():
            if (spool / "stop").exists():
                break
            try:
                block = _Pair(task, spec, servers, builds, bencher, blobs, seeds, host).block(index, nonce())
            except _ArmBroken as exc:
                broken, reason = exc.arm, str(exc)
                break
            write_whole(spool / block_name(index), canonical(block), sync=sync)
            done += 1
    seconds = host().at - began
    device = seconds if spec.target.device != "cpu" else 0.0
    return ClusterEnded(Cost(seconds=seconds, device_s=device), done, broken, reason)


class _ArmBroken(PrloreError):
    """An arm could not be measured."""

    def __init__(self, arm: ArmName, said: str) -> None:
        super().__init__(said)
        self.arm = arm


class _Pair:
    """Measures single blocks."""

    def __init__(
        self,
        task: ClusterTask,
        spec: CampaignSpec,
        servers: dict[ArmName, Server],
        builds: dict[ArmName, Digest],
        bencher: Bencher,
        blobs: Blobs,
        seeds: Seeds,
        host: Callable[[], Reading],
    ) -> None:
        self._task = task
        self._spec = spec
        self._servers = servers
        self._builds = builds
        self._bencher = bencher
        self._blobs = blobs
        self._seeds = seeds
        self._host = host

    def block(self, index: int, nonce: str) -> BenchBlock:
        order = self._seeds.order(self._task.comparison, index)
        arms: tuple[ArmName, ...] = ("A", "B") if order == "AB" else ("B", "A")
        runs: list[ArmRun] = []
        for workload in self._spec.workloads:
            seed = self._seeds.prompts(self._task.comparison, index, workload.name, nonce)
            runs += [self._arm(arm, workload, seed) for arm in arms]
        states: list[tuple[HostState, HostState]] = [(run.before, run.after) for run in runs]
        reason = invalid_reason(states, self._spec.policy)
        return BenchBlock(
            campaign=self._spec.id,
            comparison=self._task.comparison,
            index=index,
            order=order,
            restart=self._task.restart,
            runs=tuple(sorted(runs, key=lambda run: (run.workload, run.arm))),
            valid=not reason,
            reason=reason,
            nonce=nonce,
        )

    def _arm(self, arm: ArmName, workload: Workload, seed: int) -> ArmRun:
        server = self._servers[arm]
        other = self._servers["B" if arm == "A" else "A"]
        other.pause()  # what isn't measured can't disturb
        try:
            return self._measured(arm, server, workload, seed)
        finally:
            other.resume()

    def _measured(self, arm: ArmName, server: Server, workload: Workload, seed: int) -> ArmRun:
        before, used, own = self._host(), self._cpu(arm), _own_cpu()
        try:
            rows = self._bencher.run(
                server.url, self._spec.model.name or self._spec.model.path, workload, seed
            )
        except PrloreError as exc:
            raise _ArmBroken(arm, str(exc)) from exc
        cpu = self._cpu(arm) - used
        after = with_foreign(self._host(), before, cpu + _own_cpu() - own)
        digest = self._blobs.put(encode_rows(rows))
        return ArmRun(
            arm=arm,
            workload=workload.name,
            build=self._builds[arm],
            server=f"{self._task.comparison}/{self._task.restart}/{arm}",
            rows=digest,
            metrics=arm_metrics(rows, cpu),
            before=before.state,
            after=after,
            cpu_s=cpu,
        )

    def _cpu(self, arm: ArmName) -> float:
        try:
            return self._servers[arm].cpu_seconds()
        except (PrloreError, OSError) as exc:
            raise _ArmBroken(arm, f"its process is gone: {exc}") from exc


def _arms() -> tuple[ArmName, ArmName]:
    return "A", "B"


def _own_cpu() -> float:
    """CPU seconds of this process and of children that ended."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in found)
