"""`engagement`: what the patch changes really runs while the server serves; otherwise there is nothing to time.

A server of the candidate's tree is started once with a recorder of ours, under a small load, and never timed. A Python change is
engaged when one of its functions ran, a configuration when it was opened. Sources that need a compiler are engaged only
where the server has loaded a library built from them.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from ingest.paths import language_of
from loop.gates import recorder
from loop.gates.asking import Asked, ask_all
from loop.gates.engaged_code import changed_functions
from loop.gates.paths import rule_on
from loop.gates.results import failed, not_evaluated, passed
from loop.load.generator import served_name
from loop.load.prompts import TokenCounter, draw_prompts
from loop.protocols import GateContext
from loop.records import GateResult, Launch

_PROMPTS, _TOKENS, _LENGTH = 8, 32, 64


@dataclass
class _Wanted:
    """What to look for, by absolute path; `native` are sources that a compiler has to read first."""

    functions: dict[str, dict[int, str]] = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    native: list[str] = field(default_factory=list)


class EngagementGate:
    """Starts the challenger with a recorder and looks at what it noted."""

    name = "engagement"

    def check(self, context: GateContext) -> GateResult:
        """Fail with NOT_ENGAGED where nothing of the patch ran."""
        if context.proposal.flags is not None:
            return self._flags(context)
        launch = context.challenger
        if context.engine is None or launch is None or launch.source is None or context.candidate is None:
            return not_evaluated(self.name, "NO_LAUNCH", "there is no checkout to start")
        wanted = _wanted(context, Path(launch.source).resolve())
        if not wanted.functions and not wanted.files and not wanted.native:
            return failed(self.name, "NOT_ENGAGED", "the patch changes nothing that can run")
        try:
            hits, libraries = self._serve(context, launch, wanted)
        except PrloreError as exc:
            return failed(self.name, "NOT_SERVED", str(exc))
        if wanted.native and any(
            Path(path).is_relative_to(Path(launch.source).resolve()) for path in libraries
        ):
            hits.append(wanted.native[0])
        shown = [context.blobs.put(msgspec.json.encode(hits))]
        if not hits:
            what = (
                "native sources are not built here"
                if wanted.native and not wanted.functions
                else "nothing that the patch changes ran"
            )
            return failed(self.name, "NOT_ENGAGED", what, shown)
        return passed(self.name, f"{len(hits)} changed places ran, {hits[0]} first", shown)

    def _flags(self, context: GateContext) -> GateResult:
        """Launch options are engaged when this version takes them."""
        engine, launch = context.engine, context.challenger
        if engine is None or launch is None:
            return not_evaluated(self.name, "NO_LAUNCH", "there is nothing to start")
        words = engine.argv(launch, 0)
        lost = [
            flag
            for flag in context.proposal.flags or ()
            if flag.startswith("-") and flag.split("=")[0] not in {w.split("=")[0] for w in words}
        ]
        if lost:
            return failed(self.name, "NOT_ENGAGED", f"this version has no {', '.join(lost[:3])}")
        return passed(self.name, "all options are taken")

    def _serve(
        self, context: GateContext, launch: Launch, wanted: _Wanted
    ) -> tuple[list[str], tuple[str, ...]]:
        place = (context.scratch / "recorder").resolve()
        place.mkdir()
        shutil.copyfile(str(recorder.__file__), place / "sitecustomize.py")
        lines = {path: sorted(found) for path, found in wanted.functions.items()}
        (place / "wanted.json").write_bytes(msgspec.json.encode({"functions": lines, "files": wanted.files}))
        env = (*(pair for pair in launch.env if pair[0] != "PYTHONPATH"), ("PYTHONPATH", str(place)))
        assert context.engine is not None
        server = context.engine.start(
            msgspec.structs.replace(launch, env=env), context.scratch / "engagement"
        )
        try:
            counter = TokenCounter(Path(launch.model))
            prompts = draw_prompts(counter, f"engagement/{context.proposal.id}", _PROMPTS, _LENGTH)
            asked = Asked(server.url, served_name(server.url, launch.model), _TOKENS, ignore_eos=True)
            ask_all(asked, prompts[:1])
            ask_all(asked, prompts, at_once=_PROMPTS)
            libraries = tuple(path for path, _ in server.identity().libraries)
        finally:
            server.stop()
        hits = place / "hits"
        noted = hits.read_text("utf-8", "replace").splitlines() if hits.exists() else []
        return _named(noted, wanted, Path(launch.source or "/").resolve()), libraries


def _wanted(context: GateContext, source: Path) -> _Wanted:
    wanted = _Wanted()
    assert context.candidate is not None
    for change in context.trees.changes(context.parent, context.candidate):
        if rule_on(change.path).place != "code":
            continue
        place = str(source / change.path)
        after = context.trees.read(context.candidate, change.path)
        language = language_of(change.path)
        if after is None:
            continue  # what was taken away can't run; what calls it has changed as well
        if language == "python":
            lines = changed_functions(context.trees.read(context.parent, change.path), after)
            if lines:
                wanted.functions[place] = lines
        elif language is not None:
            wanted.native.append(change.path)
        else:
            wanted.files.append(place)
    return wanted


def _named(noted: list[str], wanted: _Wanted, source: Path) -> list[str]:
    """`path name` of what ran, only what was looked for."""
    found = []
    for row in noted:
        path, _, line = row.rpartition(":")
        names = wanted.functions.get(path, {0: "opened"} if path in wanted.files else {})
        if line.isdecimal() and int(line) in names:
            found.append(f"{Path(path).relative_to(source)} {names[int(line)]}")
    return list(dict.fromkeys(found))
