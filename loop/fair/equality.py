"""Whether engines were compared on equal terms: read from builds, launches and rows, never assumed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from analysis.bench.result import Normalization
from loop.engines.flags import grouped
from loop.fair.trials import FairRecord, FlagSearch
from loop.records import EngineBuild, RequestRow

_LENGTHS_WITHIN = 0.02

# options that change how many GPUs, which precision or which weights an engine uses
_PARALLEL = (
    "--tensor-parallel-size",
    "--tp-size",
    "--tp",
    "--tp_size",
    "--data-parallel-size",
    "--dp-size",
    "--pp-size",
)
_PRECISION = ("--dtype", "--quantization", "--kv-cache-dtype")


def fair_record(
    searches: Sequence[FlagSearch],
    builds: Mapping[str, EngineBuild],
    rows: Mapping[str, Sequence[RequestRow]],
) -> FairRecord:
    """What was equal and what was not.

    Args:
        searches: one an engine.
        builds: the build of each engine that was measured.
        rows: one arm's rows of each engine, for the same block.
    """
    facts: dict[str, dict[str, str]] = {}

    def note(what: str, engine: str, value: str) -> None:
        facts.setdefault(what, {})[engine] = value

    for search in searches:
        if not search.missing:
            note(
                "servers in the search",
                search.engine,
                str(sum(t.ended != "infeasible" for t in search.trials)),
            )
            note("metric", search.engine, search.metric)
    for engine, build in builds.items():
        model = Path(build.launch.model)
        note("weights and configuration", engine, folder_hash(model, tokenizer=False))
        note("tokenizer", engine, folder_hash(model, tokenizer=True))
        options = dict(grouped(build.argv))
        note(
            "GPUs", engine, " ".join(f"{n} {' '.join(options[n])}" for n in _PARALLEL if n in options) or "1"
        )
        note(
            "precision",
            engine,
            " ".join(f"{' '.join(options[n])}" for n in _PRECISION if n in options) or "as configured",
        )
    for engine, found in rows.items():
        note("requests", engine, str(len(found)))
        note("prompt tokens", engine, _total([row.input_tokens for row in found]))
        note("output tokens", engine, _total([row.output_tokens for row in found if row.ok]))
    equal, unequal = [], []
    for what, by_engine in facts.items():
        values = set(by_engine.values())
        if len(values) == 1:
            equal.append((what, values.pop()))
        else:
            unequal.append(
                f"{what}: " + ", ".join(f"{engine} {value}" for engine, value in by_engine.items())
            )
    return FairRecord(tuple(search.id for search in searches), tuple(equal), tuple(unequal))


def normalization(builds: Sequence[EngineBuild]) -> Normalization:
    """What two sides of a comparison had in common, in the words of the public rows: read from their launches."""
    options = [dict(grouped(build.argv)) for build in builds]
    gpus = {tuple((name, found[name]) for name in _PARALLEL if name in found) for found in options}
    models = {build.launch.model for build in builds}  # one folder: weights and tokenizer in one
    return Normalization(
        same_gpu_count=len(gpus) == 1 and len({build.launch.device for build in builds}) == 1,
        same_model_weights=len(models) == 1,
        same_tokenizer=len(models) == 1,
        same_endpoint=True,  # both arms of a block get one workload
    )


def _total(lengths: Sequence[int]) -> str:
    return f"{sum(lengths)}"


def folder_hash(folder: Path, *, tokenizer: bool) -> str:
    """16 digits over the files of a model: those of its tokenizer, or all others."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        is_tokenizer = path.name.startswith(
            ("tokenizer", "special_tokens", "vocab", "merges", "chat_template")
        )
        if is_tokenizer == tokenizer:
            with path.open("rb") as file:
                digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
