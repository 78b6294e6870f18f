"""A server that runs: who it is, what it used, what its profiler saw, and its end."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from loop.engines import procfs
from loop.engines.errors import CannotProfile, EngineFailed
from loop.engines.http import post_json
from loop.engines.probe import ask
from loop.engines.sources_hash import tree_hash
from loop.load.generator import LoadRun, generate, served_name
from loop.load.spec import LoadSpec
from loop.records import EngineBuild, Launch, RuntimeIdentity, Stage, Workload

if TYPE_CHECKING:
    from loop.engines.base import Command, PythonEngine
    from loop.engines.process import Family

_TRACE_S = 180.0  # writing a bounded trace takes seconds; with stacks on a slow disk a minute
_SETTLED_S = 1.0
_DECODED = 48  # tokens a request makes while it is profiled
_INHERITED = ("PYTHONPATH", "PYTHONNOUSERSITE")


class LiveServer:
    """`Server` of a campaign.

    Attributes:
        family: the processes.
        directory: logs and traces of this start.
        name: what the server calls its model.
    """

    def __init__(
        self,
        engine: PythonEngine,
        launch: Launch,
        command: Command,
        family: Family,
        url: str,
        directory: Path,
    ) -> None:
        self._engine, self._launch, self._command = engine, launch, command
        self.family, self._url, self.directory = family, url, directory
        self._identity: RuntimeIdentity | None = None

    @property
    def pid(self) -> int:
        """Leader of the group: the supervisor, whose end is everybody's."""
        return self.family.supervisor_pid

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`."""
        return self._url

    def warm(self) -> None:
        """Ask for one token: a server that answers is ready, one that is only listening is not.

        Raises:
            EngineFailed: it refuses.
        """
        name = served_name(self._url, self._launch.model)
        body = {"model": name, "prompt": "a b c", "max_tokens": 1, "temperature": 0, "stream": True}
        post_json(f"{self._url}/v1/completions", body, timeout_s=self._engine.ready_s)

    def build(self) -> EngineBuild:
        """What runs."""
        found = self._engine.found(self._launch)
        return EngineBuild(
            engine=self._engine.name,
            launch=self._launch,
            argv=_without_place(self._command.argv),
            identity=self.identity(),
            environment=found.environment,
            help=self._command.help,
            rejected_flags=tuple(str(rejected) for rejected in self._command.rejected),
        )

    def identity(self) -> RuntimeIdentity:
        """Version and sources of the live process.

        Where its package comes from is asked of the process' own interpreter with the variables and the folder that the
        kernel says it runs with. Shared objects are those mapped into the family's processes.

        Raises:
            EngineFailed: the server has gone.
        """
        if self._identity is None:
            self._identity = self._read_identity()
        return self._identity

    def _read_identity(self) -> RuntimeIdentity:
        pid = self.family.pid
        program, place = procfs.executable(pid), procfs.working_directory(pid)
        if program is None or place is None:
            raise EngineFailed(f"{self._engine.name} has gone: {self.family.last_words()}")
        variables = procfs.variables(pid)
        known = tuple((name, variables[name]) for name in _INHERITED if name in variables)
        # a virtual environment is known by the name it was started under, which the link doesn't tell
        argv0 = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode("utf-8", "replace")
        python = argv0 if Path(argv0).is_absolute() and Path(argv0).resolve() == program else str(program)
        found = ask(python, self._engine.package, self._engine.distributions, known, place)
        if found.origin is None:
            raise EngineFailed(f"{self._engine.name}: the live process has no package {self._engine.package}")
        package = Path(found.origin).resolve().parent
        source = self._launch.source
        inside = source is not None and package.is_relative_to(Path(source).resolve())
        return RuntimeIdentity(
            version=self._engine.version_of(self._url) or found.version or "",
            source=str(package),
            tree=tree_hash(Path(source)) if inside and source else _package_hash(package),
            libraries=self._libraries(package),
        )

    def _libraries(self, package: Path) -> tuple[tuple[str, str], ...]:
        roots = (
            package,
            *(package.parent / name for name in ("sgl_kernel", "flashinfer", "vllm", "tensorrt_llm")),
        )
        found: dict[Path, None] = {}
        for pid in self.family.members():
            for path in procfs.mapped_files(pid):
                if any(path.is_relative_to(root) for root in roots) and path.is_file():
                    found[path] = None
        return tuple((str(p), _file_hash(p)) for p in sorted(found))

    def cpu_seconds(self) -> float:
        """CPU time of the whole family since its start."""
        return self.family.cpu_ns() / 1e9

    def cpu_ns(self) -> int:
        """The same in ns."""
        return self.family.cpu_ns()

    def pause(self) -> None:
        """Stop it where it is while another is measured: a server at rest can't disturb."""
        self.family.pause()

    def resume(self) -> None:
        """Let it run again."""
        self.family.go_on()

    def profile(self, stage: Stage, directory: Path, workload: Workload, seed: int) -> tuple[Path, ...]:
        """Bounded trace of one stage under load; paths of the trace files.

        Prefill is profiled under requests of one token, so that no step decodes; decode under a full batch.

        Raises:
            CannotProfile: this engine can't, or wrote nothing.
            EngineFailed: it stopped answering.
        """
        directory.mkdir(parents=True, exist_ok=True)
        before = self._written(directory)
        load = self._load(stage, workload, seed)
        self._engine.start_profile(self._url, stage, directory.resolve())
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(generate, load, None, self.directory / "load.log")
            ran: LoadRun = running.result()
        bad = [row.error for row in ran.rows if not row.ok and row.error.startswith("HTTP")]
        if bad:
            raise EngineFailed(f"{self._engine.name} refused the load of the profile: {bad[0]}")
        self._engine.stop_profile(self._url)
        found = self._await_traces(directory, before)
        if not found:
            raise CannotProfile(f"{self._engine.name} wrote no trace of {stage}: {self.family.last_words(2)}")
        return found

    def _load(self, stage: Stage, workload: Workload, seed: int) -> LoadSpec:
        batch = min(workload.concurrency or workload.num_prompts, workload.num_prompts)
        steps = self._engine.steps
        return LoadSpec(
            url=self._url,
            model=served_name(self._url, self._launch.model),
            tokenizer=self._launch.model,
            seed=f"profile/{stage}/{seed}",
            input_len=workload.input_len,
            output_len=1 if stage == "prefill" else min(_DECODED, max(workload.output_len, 2 * steps)),
            num_prompts=3 * steps if stage == "prefill" else batch,
            concurrency=1 if stage == "prefill" else batch,
            warmup=0,
            endpoint=workload.endpoint,
        )

    def _written(self, directory: Path) -> set[Path]:
        roots = {directory.resolve(), self.directory.resolve()}
        return {path for root in roots for path in root.rglob("*.json*") if "trace" in path.name}

    def _await_traces(self, directory: Path, before: set[Path]) -> tuple[Path, ...]:
        """New traces, once their sizes no longer change."""
        until, still = time.monotonic() + _TRACE_S, 0.0
        sizes: dict[Path, int] = {}
        while time.monotonic() < until:
            found = {
                p: p.stat().st_size for p in self._written(directory) - before if not p.name.startswith(".")
            }
            if found and found == sizes:
                still += 0.25
                if still >= _SETTLED_S:
                    break
            else:
                still = 0.0
            sizes = found
            if not self.family.alive:
                break
            time.sleep(0.25)
        return tuple(sorted(sizes))

    def stop(self) -> None:
        """End all processes; returns when they are gone."""
        self.family.stop()


def _without_place(argv: tuple[str, ...]) -> tuple[str, ...]:
    """The port is drawn anew at each start and is no part of a build."""
    found = list(argv)
    for place, word in enumerate(found[:-1]):
        if word == "--port":
            found[place + 1] = "PORT"
    return tuple(found)


def _package_hash(package: Path) -> str:
    """sha256 over the Python sources of an installed package."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(str(path.relative_to(package)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def _file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
