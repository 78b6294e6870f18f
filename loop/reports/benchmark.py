"""Benchmark views: rows in the public `candidates.jsonl` schema, a summary, commands, and what was held equal."""

from __future__ import annotations

import statistics

import msgspec

from analysis.bench.result import Metrics, Result
from analysis.bench.result import Sla as RowSla
from analysis.bench.result import Workload as RowWorkload
from loop.fair.equality import normalization
from loop.records import ArmRun, Comparison, Workload
from loop.reports.story import Story
from loop.reports.words import blob_link, code, command, linked, table, words


def candidates_jsonl(story: Story) -> str:
    """Every arm of every valid block as a row that `prlore bench compare` reads."""
    loads = {load.name: load for load in story.spec.workloads}
    lines = []
    for found in story.comparisons.values():
        for digest in found.blocks:
            block = story.blocks[digest]
            lines += [_row(story, found, run, loads[run.workload]) for run in block.runs if block.valid]
    return "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)


def _row(story: Story, found: Comparison, run: ArmRun, load: Workload) -> Result:
    build = story.builds[run.build]
    m = run.metrics
    return Result(
        framework=build.engine,
        framework_version=build.identity.version or None,
        framework_commit=build.launch.tree or None,
        candidate_id=f"{found.key}/{run.arm}",
        model=story.spec.model.name or story.spec.model.path,
        tokenizer=story.spec.model.tokenizer or None,
        workload=RowWorkload(
            kind=load.kind,
            scenario=load.name,
            input_len=load.input_len,
            output_len=load.output_len,
            num_prompts=load.num_prompts,
            request_rate=load.request_rate or "inf",
            max_concurrency=load.concurrency,
            endpoint=load.endpoint,
        ),
        sla=RowSla(story.spec.sla.p50_ttft_ms, story.spec.sla.p50_tpot_ms, story.spec.sla.success_rate),
        metrics=Metrics(
            request_throughput=m.request_throughput or None,
            output_token_throughput=m.output_throughput or None,
            p50_ttft_ms=m.p50_ttft_ms or None,
            p99_ttft_ms=m.p99_ttft_ms or None,
            p50_tpot_ms=m.p50_tpot_ms or None,
            p99_tpot_ms=m.p99_tpot_ms or None,
            success_rate=m.success_rate,
        ),
        normalization=normalization([story.builds[d] for d in (found.a, found.b) if d in story.builds]),
        server_command=command(build),
    )


def summary(story: Story) -> str:
    """Means of every arm by load, a row a comparison."""
    rows = []
    for found in story.comparisons.values():
        for arm, build in (("A", found.a), ("B", found.b)):
            for load in story.spec.workloads:
                runs = [
                    run.metrics
                    for digest in found.blocks
                    for run in story.blocks[digest].runs
                    if run.arm == arm and run.workload == load.name and story.blocks[digest].valid
                ]
                if not runs:
                    continue
                mean = statistics.fmean
                rows.append(
                    (
                        linked(found, "../") if arm == "B" else words(found.key),
                        arm,
                        words(story.side_name(build)),
                        words(load.name),
                        f"{mean(m.output_throughput for m in runs):.2f}",
                        f"{mean(m.request_throughput for m in runs):.3f}",
                        f"{mean(m.p50_ttft_ms for m in runs):.2f}",
                        f"{mean(m.p50_tpot_ms for m in runs):.3f}",
                        f"{min(m.success_rate for m in runs):.3f}",
                    )
                )
    head = ("Comparison", "Arm", "Engine", "Load", "tok/s", "req/s", "TTFT p50 ms", "TPOT p50 ms", "Success")
    return "\n".join(["# Benchmark", "", "Means over valid pairs.", "", *table(head, rows), ""])


def winning_commands(story: Story) -> str:
    """How each engine was launched in the last comparison that it took part in; the target's is the incumbent's."""
    last: dict[str, str] = {}
    for found in story.comparisons.values():
        sides = (
            (found.a, found.b)
            if found.kind in ("gap", "confirm") or found.verdict == "FASTER"
            else (found.a,)
        )
        for digest in sides:
            if digest in story.builds:
                last[story.side_name(digest)] = digest
    lines = ["# Winning commands", ""]
    for name, digest in last.items():
        build = story.builds[digest]
        lines += [
            f"## {words(name)} {words(build.identity.version)}",
            "",
            f"Build {blob_link(digest, '../../')}.",
            "",
        ]
        lines += ["```sh", command(build).replace("```", "` ` `"), "```", ""]
        if build.rejected_flags:
            lines += [f"Left out, unknown to this version: {code(' '.join(build.rejected_flags))}", ""]
    return "\n".join(lines)


def fairness(story: Story) -> str:
    """What was the same for all engines, and what was not."""
    spec = story.spec
    engines = (spec.target, *spec.competitors)
    equal = len({engine.search for engine in engines}) == 1
    rows = [
        ("weights", code(spec.model.weights[:16]) or "not digested (a name)", "same files for all"),
        ("tokenizer", code(spec.model.tokenizer[:16]) or "not digested", "the load generator's own, for all"),
        ("precision", words(spec.model.precision), "same for all"),
        (
            "prompts",
            code(spec.seed_commitment[:16]),
            "drawn a block from one committed seed, same for both arms",
        ),
        (
            "search",
            ", ".join(f"{words(e.name)} {e.search}" for e in engines),
            "equal" if equal else "NOT EQUAL",
        ),
        (
            "device",
            ", ".join(f"{words(e.name)} {e.device}" for e in engines),
            _same({e.device for e in engines}),
        ),
    ]
    invalid = [block for block in story.blocks.values() if not block.valid]
    lines = ["# Fairness", "", *table(("What", "Value", ""), rows), ""]
    lines.append(
        f"{len(invalid)} of {len(story.blocks)} blocks are invalid by rule, before their value was seen."
    )
    reasons = [(words(block.comparison), str(block.index), words(block.reason)) for block in invalid]
    if reasons:
        lines += ["", *table(("Comparison", "Pair", "Reason"), reasons)]
    absent = [(words(spec.competitors[i].name), "could not run here; not replaced") for i in story.at.absent]
    if absent:
        lines += ["", *table(("Engine", ""), absent)]
    loads = [
        run.before.load
        for block in story.blocks.values()
        for run in block.runs
        if run.before.load is not None
    ]
    if loads:
        lines += ["", f"Load per core before an arm: {min(loads):.2f} to {max(loads):.2f}."]
    return "\n".join([*lines, ""])


def _same(values: set[str]) -> str:
    return "same for all" if len(values) == 1 else "NOT EQUAL"
