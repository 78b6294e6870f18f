"""What all engines have in common: a command, a help text, a port, a server that is waited for and read.

An engine is a class that says how its command is written and how its profiler is asked; everything else is here.
"""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from loop.engines import digest as digests
from loop.engines.errors import CannotProfile, EngineFailed
from loop.engines.flags import Option, Rejected, accepted, merged, parse_help
from loop.engines.http import get_json, responds
from loop.engines.probe import Found, ask, help_of, interpreter
from loop.engines.process import Family, environment
from loop.engines.server import LiveServer
from loop.protocols import Blobs
from loop.records import Launch, ProfileDigest, Stage

_POLL_S = 0.25


@dataclass(frozen=True)
class Command:
    """A command with what was left out of it.

    Attributes:
        rejected: options that this version does not take.
        help: sha256 of the help text that says so, empty where none could be read.
    """

    argv: tuple[str, ...]
    rejected: tuple[Rejected, ...]
    help: str


class PythonEngine:
    """An engine that is a Python package with a server module.

    Attributes:
        name: as campaigns name it.
        package: what is imported, by the server and never by us.
        distributions: names under which it may be installed.
        source_folder: where the package stands in the engine's repository.
        steps: profiled steps of a stage.
    """

    name = ""
    package = ""
    distributions: tuple[str, ...] = ()
    source_folder = ""
    ready_s = 600.0
    steps = 6

    # ------------------------------------------------------------------ what an engine says of itself

    def program(self, python: str, launch: Launch) -> tuple[str, ...]:
        """The command up to its options."""
        raise NotImplementedError

    def own_options(self, launch: Launch, port: int) -> tuple[str, ...]:
        """Options that every launch has: model, address."""
        raise NotImplementedError

    def defaults(self, launch: Launch) -> tuple[str, ...]:
        """Options that fit the device and that a campaign may override."""
        return ()

    def variables(self, launch: Launch) -> dict[str, str]:
        """Variables that the engine needs."""
        return {}

    def help_command(self, program: tuple[str, ...]) -> tuple[str, ...]:
        """Asks for all options."""
        return (*program, "--help")

    def start_options(self, launch: Launch, directory: Path) -> tuple[str, ...]:
        """Options that name this start's own folder (where a profiler has to be told at launch)."""
        return ()

    def version_of(self, url: str) -> str:
        """The version that a live server states; empty where it states none."""
        return str(get_json(f"{url}/version").get("version", ""))

    def start_profile(self, url: str, stage: Stage, directory: Path) -> None:
        """Arm the profiler for a bounded number of steps of a stage."""
        raise CannotProfile(f"{self.name} has no profiler that can be asked over HTTP")

    def stop_profile(self, url: str) -> None:
        """Ask for the files, where the profiler doesn't end by itself."""

    # ------------------------------------------------------------------ the interface

    def missing(self, launch: Launch) -> str | None:
        """Why this engine can't run here, None if it can."""
        try:
            found = self.found(launch)
        except EngineFailed as exc:
            return str(exc)
        if found.origin is None:
            return f"{self.name} is not installed for {found.executable}; pip install 'prlore[{self.name}]'"
        if launch.source and not Path(found.origin).resolve().is_relative_to(Path(launch.source).resolve()):
            return (
                f"{launch.source} holds no {self.source_folder or '.'}/{self.package}; found {found.origin}"
            )
        return None

    def found(self, launch: Launch) -> Found:
        """What the interpreter has.

        Raises:
            EngineFailed: it can't be asked.
        """
        variables = tuple(sorted(self.environment(launch).items()))
        return ask(interpreter(launch), self.package, self.distributions, variables)

    def environment(self, launch: Launch) -> dict[str, str]:
        """Variables of the server beyond the allowed ones."""
        paths = [str(Path(launch.source, self.source_folder))] if launch.source else []
        own = {
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
            "HF_HUB_OFFLINE": "1",
            **self.variables(launch),
            **dict(launch.env),
        }
        if launch.source:
            own["PYTHONDONTWRITEBYTECODE"] = (
                "1"  # a checkout stays what its tree says; an installation starts faster
            )
        if paths or "PYTHONPATH" in own:
            own["PYTHONPATH"] = ":".join([*paths, *filter(None, [own.get("PYTHONPATH")])])
        return own

    def options(self, launch: Launch) -> dict[str, Option]:
        """Options that this version takes, by name; empty where its help can't be read."""
        return parse_help(self._help(launch))

    def command(self, launch: Launch, port: int) -> Command:
        """The command for a launch, without options that this version does not take.

        Raises:
            EngineFailed: there is no interpreter to run it.
        """
        python = interpreter(launch)
        text = self._help(launch)
        wanted = merged(self.defaults(launch), launch.flags)
        kept, rejected = accepted(
            wanted, parse_help(text), f"{self.name} {self.found(launch).version or ''}".strip()
        )
        argv = (*self.program(python, launch), *self.own_options(launch, port), *kept)
        return Command(argv, rejected, hashlib.sha256(text.encode()).hexdigest() if text else "")

    def argv(self, launch: Launch, port: int) -> tuple[str, ...]:
        """The command alone."""
        return self.command(launch, port).argv

    def _help(self, launch: Launch) -> str:
        python, found = interpreter(launch), self.found(launch)
        key = f"{found.version} {found.environment} {launch.tree or found.origin}"
        try:
            return help_of(
                self.help_command(self.program(python, launch)),
                tuple(sorted(self.environment(launch).items())),
                key,
            )
        except EngineFailed:
            return ""  # the server's own complaint is the better message

    def start(self, launch: Launch, directory: Path) -> LiveServer:
        """Start a server and wait until it answers a question.

        Raises:
            EngineFailed: it can't run here, or did not come up: with the end of its log.
        """
        if reason := self.missing(launch):
            raise EngineFailed(reason)
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        command = self.command(launch, port)
        argv = (*command.argv, *self.start_options(launch, directory.resolve()))
        began = time.monotonic()
        family = Family(argv, environment(self.environment(launch)), directory, directory / "server.log")
        server = LiveServer(self, launch, command, family, f"http://127.0.0.1:{port}", directory)
        try:
            self._wait(family, server.url, lambda: time.monotonic() - began)
            server.warm()
        except BaseException:
            server.stop()
            raise
        return server

    def _wait(self, family: Family, url: str, waited: Callable[[], float]) -> None:
        while not responds(f"{url}/health"):
            if not family.alive:
                raise EngineFailed(f"{self.name} ended after {waited():.0f} s: {family.last_words()}")
            if waited() > self.ready_s:
                raise EngineFailed(
                    f"{self.name} is not ready after {self.ready_s:.0f} s: {family.last_words()}"
                )
            time.sleep(_POLL_S)

    def digest(self, traces: tuple[Path, ...], launch: Launch, stage: Stage, blobs: Blobs) -> ProfileDigest:
        """Rows of a trace as a digest of this launch's tree."""
        return digests.digest(self.name, self.source_folder, traces, launch, stage, blobs)


def free_port() -> int:
    """A port of the loopback interface that nothing listens on just now."""
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port
