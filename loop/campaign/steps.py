"""Steps that are done once: intent first, then work, then the result; what a kill left is adopted or ended.

After a kill the driver comes back to a step and finds one of four things: a result (it is taken), a living process
(it is waited for), a dead one (its leftovers are ended and it runs again, keeping the blocks it finished), or nothing.
"""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from loop.campaign import processes
from loop.campaign.database import Database, StepRow
from loop.campaign.durable import passed, write_whole
from loop.campaign.errors import Corrupt, DiskFull, StepFailed, full_disk_is_said
from loop.campaign.folder import Folder
from loop.campaign.processes import Identity
from loop.campaign.tasks import AnyResult, AnyTask, ClusterEnded, ClusterTask, Failed, Result, key_of
from loop.records import BenchBlock, Digest, canonical, decode

R = TypeVar("R", bound=Result)
OnBlock = Callable[[BenchBlock], bool]
_POLL_S = 0.02
_LIVES = 20  # of one step: more kills than that are no accident
_LINGER_S = 30.0
EXIT_DISK_FULL = 28


class _Killed(Exception):
    """A step's process ended by a signal, or nobody knows how, and left no result."""


class Runner(Protocol):
    """Starts the work of a step."""

    def start(self, key: str, intend: Callable[[Identity], None]) -> None:
        """Begin; `intend` is called with who will do it before anything is done."""

    def ended(self, who: Identity) -> int | None:
        """Exit status of a process that ended, None while it lives; -1 where nobody knows."""

    def part(self, who: Identity) -> None:
        """Its result is here: see it off."""


class Inline:
    """Work in the driver's own process: for simulated campaigns, which measure nothing that could be disturbed."""

    def __init__(self, work: Callable[[str], None]) -> None:
        self._work = work

    def start(self, key: str, intend: Callable[[Identity], None]) -> None:
        """Do it now."""
        intend(Identity(0, "", ""))
        self._work(key)

    def ended(self, who: Identity) -> int | None:
        """It has."""
        return -1

    def part(self, who: Identity) -> None:
        """There is nobody."""


class Children:
    """Every step in a process and session of its own."""

    def __init__(self, folder: Path, spec: Digest, extra: tuple[str, ...] = ()) -> None:
        self._folder = folder
        self._spec = spec
        self._extra = extra
        self._ours: dict[int, processes.Leashed] = {}

    def start(self, key: str, intend: Callable[[Identity], None]) -> None:
        """Start it on a leash, say so, let it loose."""
        extra = self._extra if key.startswith("propose-") else ()  # a credential is for its proposer alone
        child = processes.spawn(self._folder, key, self._spec, self._folder / "spool" / key / "log", extra)
        passed("child on leash")
        intend(child.identity)
        child.release()
        passed("child released")
        self._ours[child.identity.pid] = child

    def ended(self, who: Identity) -> int | None:
        """Of our own children we know the status."""
        ours = self._ours.get(who.pid)
        if ours is not None:
            return ours.process.poll()
        return None if processes.alive(who) else -1

    def part(self, who: Identity) -> None:
        """Wait for its end, which is near; one that hangs is killed."""
        ours = self._ours.pop(who.pid, None)
        if ours is not None:
            try:
                ours.process.wait(_LINGER_S)
            except subprocess.TimeoutExpired:
                ours.process.kill()
                ours.process.wait()


class Steps:
    """Does tasks once each."""

    def __init__(self, folder: Folder, database: Database, runner: Runner, policy: Digest) -> None:
        self._folder = folder
        self._database = database
        self._runner = runner
        self._policy = policy
        self._blobs = folder.blobs()

    def run(self, task: AnyTask, want: type[R]) -> R | Failed:
        """The result of a task, now or from before.

        Raises:
            StepFailed: its process ended without one.
            DiskFull: for want of space.
        """
        return self._result(task, want, None)

    def cluster(self, task: ClusterTask, have: int, on_block: OnBlock) -> ClusterEnded | Failed:
        """Run pairs; blocks reach `on_block` in order, from number `have` on, each counted before the next.

        When `on_block` says False the rest is called off.
        """
        return self._result(task, ClusterEnded, _Blocks(self, task, have, on_block))

    def call_off(self, task: ClusterTask) -> None:
        """End a server start of which no more is wanted; nothing where it has ended."""
        key = key_of(task, self._policy)
        step = self._database.step(key)
        if step is None or step.status == "done":
            return
        self.spool(key).mkdir(parents=True, exist_ok=True)
        (self.spool(key) / "stop").touch()
        self._result(task, ClusterEnded, None)

    def again(self, task: AnyTask) -> None:
        """Forget a failed result so that the task is tried anew."""
        self._database.forget_step(key_of(task, self._policy))

    def tidy(self) -> None:
        """Remove what finished steps left in the spool."""
        running = {step.key for step in self._database.steps() if step.status == "running"}
        for path in self._folder.spool.iterdir() if self._folder.spool.is_dir() else []:
            if path.name not in running:
                shutil.rmtree(path, ignore_errors=True)

    def end_all(self) -> None:
        """Kill whatever runs for this campaign (cancel)."""
        for step in self._database.steps():
            if step.status == "running":
                processes.end(_who(step), self._folder.path, step.key)

    # ------------------------------------------------------------------------------------------------ inside

    def _result(self, task: AnyTask, want: type[R], blocks: _Blocks | None) -> R | Failed:
        key = key_of(task, self._policy)
        step = self._database.step(key)
        if step is None or step.status != "done":
            step = self._do(key, task, step, blocks)
        elif blocks is not None:
            blocks.take_in(self.spool(key))
        raw = self._blobs.get(step.result)
        result = msgspec.json.decode(raw, type=AnyResult)
        if not isinstance(result, (want, Failed)):
            raise Corrupt(f"step {key} holds a {type(result).__name__}")
        return result

    def _do(self, key: str, task: AnyTask, step: StepRow | None, blocks: _Blocks | None) -> StepRow:
        """Work until there is a result; a process that somebody killed is replaced, which is nobody's failure."""
        lives = _LIVES
        while step is None or step.status != "done":
            try:
                with full_disk_is_said(self._folder.path):
                    self._work(key, task, step, blocks)
            except _Killed:
                lives -= 1
                if not lives:
                    raise StepFailed(f"the process of step {key} was killed {_LIVES} times") from None
            step = self._database.step(key)
        return step

    def spool(self, key: str) -> Path:
        """Folder of a step's work."""
        return self._folder.spool / key

    def _work(self, key: str, task: AnyTask, step: StepRow | None, blocks: _Blocks | None) -> None:
        spool = self.spool(key)
        who = _who(step) if step else None
        if not (spool / "result.json").exists() and (who is None or not processes.alive(who)):
            if who is not None:
                processes.end(who, self._folder.path, key)
            spool.mkdir(parents=True, exist_ok=True)
            (spool / "failure.json").unlink(missing_ok=True)
            raw = canonical(task)
            write_whole(spool / "task.json", raw, sync=self._folder.sync)
            digest = self._blobs.put(raw)
            found: list[Identity] = []

            def intend(identity: Identity) -> None:
                self._database.intend(key, digest, identity.pid, identity.started, identity.boot)
                found.append(identity)

            self._runner.start(key, intend)
            who = found[0]
        assert who is not None
        self._wait(key, spool, who, blocks)
        raw = (spool / "result.json").read_bytes()
        try:
            result = msgspec.json.decode(raw, type=AnyResult)
        except msgspec.DecodeError as exc:
            raise StepFailed(f"step {key} answered what can't be read: {exc}") from exc
        self._database.finish(key, self._blobs.put(raw), result.cost)
        self._runner.part(who)
        shutil.rmtree(spool, ignore_errors=True)

    def _wait(self, key: str, spool: Path, who: Identity, blocks: _Blocks | None) -> None:
        result = spool / "result.json"
        while True:
            there = result.exists()
            status = self._runner.ended(who)
            if blocks is not None:
                blocks.take_in(spool)
            if there:
                return
            if status is not None and not result.exists():
                if status < 0:
                    raise _Killed
                raise self._failure(key, spool, status)
            time.sleep(_POLL_S)

    def _failure(self, key: str, spool: Path, status: int) -> Exception:
        if status == EXIT_DISK_FULL:
            return DiskFull(
                f"no space left for the campaign in {self._folder.path}: free some, then"
                f" `prlore loop resume {self._folder.path}`"
            )
        log = spool / "log"
        last = log.read_text("utf-8", "replace").strip().splitlines()[-1:] if log.exists() else []
        said = f": {last[0][:200]}" if last else ""
        return StepFailed(f"step {key} ended with status {status} and no result{said}")

    def count(self, block: BenchBlock) -> None:
        """Keep a block and count it."""
        self._database.add_block(block.comparison, block.index, self._blobs.keep(block))


class _Blocks:
    """Takes finished blocks of a cluster in, each once and in order."""

    def __init__(self, steps: Steps, task: ClusterTask, have: int, on_block: OnBlock) -> None:
        self._steps = steps
        self._task = task
        self._next = max(have, task.first)
        self._on_block = on_block
        self._open = True

    def take_in(self, spool: Path) -> None:
        """Count what is there; write the word to stop when enough is known."""
        while self._open and self._next < self._task.first + self._task.count:
            path = spool / block_name(self._next)
            try:
                raw = path.read_bytes()
            except FileNotFoundError:
                return
            block = decode(BenchBlock, raw)
            if (block.comparison, block.index) != (self._task.comparison, self._next):
                raise Corrupt(f"{path.name} holds another block")
            self._steps.count(block)
            self._next += 1
            if not self._on_block(block):
                self._open = False
                (spool / "stop").touch()


def block_name(index: int) -> str:
    """File of a block in the spool of its step."""
    return f"block-{index:05d}.json"


def blocks_there(spool: Path, task: ClusterTask) -> Sequence[int]:
    """Numbers of the task's blocks that are finished."""
    return [i for i in range(task.first, task.first + task.count) if (spool / block_name(i)).exists()]


def _who(step: StepRow) -> Identity:
    return Identity(step.pid, step.started, step.boot)


def is_space(exc: OSError) -> bool:
    """Whether an error is want of space."""
    return exc.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def work_of(raw: bytes) -> AnyTask:
    """A task from its file."""
    task: AnyTask = msgspec.json.decode(raw, type=AnyTask)
    return task
