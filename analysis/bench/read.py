"""Result files in, runs out: which client wrote a file is seen from its content, never from its name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from analysis.bench.clients import aiperf, genai_bench, guidellm, rows, sglang, vllm
from analysis.bench.documents import Document, read_documents
from analysis.bench.result import Run
from analysis.errors import UnreadableResult

# the most particular first: a row may carry another client's fields
CLIENTS = (rows.CLIENT, guidellm.CLIENT, aiperf.CLIENT, genai_bench.CLIENT, sglang.CLIENT, vllm.CLIENT)


@dataclass(frozen=True)
class Reading:
    """What was read from all files, and what was passed over."""

    runs: list[Run]
    warnings: list[str]


def read_files(names: Iterable[str]) -> Reading:
    """Runs of all files; `NAME=FILE` names the candidate, a folder stands for the result files in it.

    Raises:
        UnreadableResult: a file isn't there or holds no result that we know.
    """
    runs: list[Run] = []
    warnings: list[str] = []
    seen: set[str] = set()
    for word in names:
        name, paths = _paths(word)
        for path in paths:
            for run in _read_file(path, name, warnings):
                if run.content in seen:
                    warnings.append(
                        f"{run.path}: result {run.place + 1} is a copy of one already read; left out"
                    )
                    continue
                seen.add(run.content)
                runs.append(run)
    return Reading(runs, warnings)


def _paths(word: str) -> tuple[str | None, list[Path]]:
    """The name in front of `=` and the files meant; patterns are ours to expand behind a name."""
    name, _, rest = word.partition("=")
    if not rest or "/" in name or _exists(word):
        name, rest = "", word
    path = Path(rest)
    try:
        if path.is_dir():
            found = sorted(p for p in path.iterdir() if p.suffix in (".json", ".jsonl"))
            found = [p for p in found if p.name != genai_bench.METADATA]
            if not found:
                raise UnreadableResult(f"{rest}: no .json or .jsonl file in this folder")
            return name or None, found
        if not path.exists() and any(c in rest for c in "*?["):
            found = sorted(Path(p) for p in glob(rest))
            if not found:
                raise UnreadableResult(f"{rest}: no file matches")
            return name or None, found
    except (OSError, ValueError):
        pass  # a name that no file can have: reading it says so
    return name or None, [path]


def _exists(word: str) -> bool:
    try:
        return Path(word).exists()
    except (OSError, ValueError):
        return False


def _read_file(path: Path, name: str | None, warnings: list[str]) -> list[Run]:
    found = read_documents(path)
    if found.broken:
        warnings.append(f"{path}: {found.broken} broken line{'s' * (found.broken > 1)} left out")
    records = [d for d in found.documents if aiperf.recognises_record(d.data)]
    if records:
        reading = aiperf.read_records([d.data for d in records])
        content = "".join(d.content for d in records[:2]) + str(len(records))
        run = Run(reading.result, "aiperf", str(path), 0, content, name, reading.samples, reading.notes)
        return [run]
    runs: list[Run] = []
    unknown = 0
    for document in found.documents:
        made = _runs(document, path, name, len(runs))
        unknown += not made
        runs += made
    if not runs:
        raise UnreadableResult(
            f"{path}: not a result of vllm bench serve, sglang.bench_serving, guidellm, aiperf or genai-bench, "
            "nor candidates.jsonl"
        )
    if unknown:
        warnings.append(f"{path}: {unknown} object{'s' * (unknown > 1)} of no known client left out")
    return runs


def _runs(document: Document, path: Path, name: str | None, place: int) -> list[Run]:
    for client in CLIENTS:
        if client.recognises(document.data):
            return [
                Run(
                    r.result,
                    client.name,
                    str(path),
                    place + i,
                    f"{document.content}#{i}",
                    name,
                    r.samples,
                    r.notes,
                )
                for i, r in enumerate(client.read(document.data, path))
            ]
    return []
