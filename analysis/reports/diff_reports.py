"""A comparison of traces as text, Markdown, CSV, JSON and HTML."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from analysis.reports.grid import Column, Grid, to_csv, to_markdown, to_text
from analysis.reports.page import page, table
from analysis.reports.safe import markdown, plain
from analysis.reports.svg import bars, esc, key
from analysis.reports.trace_html import meanings
from analysis.trace_diff import FamilyDiff, StageDiff, TraceDiff

_STAGE = (
    Column("stage", "stage", text=True),
    Column("steps_a", "steps A", ",d"),
    Column("steps_b", "steps B", ",d"),
    Column(
        "step_a_us",
        "step A us",
        ",.1f",
        definition="mean time of a step on the device, first kernel's start to last one's end",
    ),
    Column("step_b_us", "step B us", ",.1f"),
    Column("gap_us", "gap us", "+,.1f", definition="B less A: positive is slower"),
    Column("gap", "gap", "+.1%", definition="of A"),
    Column(
        "noise_us",
        "noise us",
        ",.1f",
        definition="three standard errors of both sides; a difference up to this is none",
    ),
    Column("verdict", "verdict", text=True),
    Column(
        "explained", "explained", ".0%", definition="share of the gap that the significant rows add up to"
    ),
    Column("unexplained_us", "unexplained us", "+,.1f", definition="the rest of the gap"),
)
_FAMILY = (
    Column("ref", "ref", text=True),
    Column("stage", "stage", text=True),
    Column(
        "family",
        "family",
        text=True,
        definition="of kernels; idle is time inside of steps in which nothing runs",
    ),
    Column("a_us", "A us/step", ",.1f", definition="summed kernel time per step"),
    Column("b_us", "B us/step", ",.1f"),
    Column("launches_a", "A launches", ",.1f", definition="per step"),
    Column("launches_b", "B launches", ",.1f"),
    Column(
        "delta_us",
        "difference us",
        "+,.1f",
        definition="of the family's part of a step's time; parts of a stage add up to its gap",
    ),
    Column("noise_us", "noise us", ",.1f"),
    Column("of_gap", "of gap", "+.0%", definition="share of the stage's gap"),
    Column("verdict", "verdict", text=True),
)


def stages(diff: TraceDiff) -> Grid:
    """A row a stage."""
    return Grid(_STAGE, tuple(_stage(row) for row in diff.stages))


def families(diff: TraceDiff, least: float = 0.0) -> Grid:
    """A row a family and stage, the largest difference first; `least` leaves out parts of a step below this share."""
    rows = [
        family
        for row in diff.stages
        for family in row.families
        if max(family.wall_a_ns, family.wall_b_ns) >= least * max(row.step_a_ns, row.step_b_ns)
    ]
    return Grid(_FAMILY, tuple(_family(row) for row in rows))


def _stage(row: StageDiff) -> tuple[str | int | float | None, ...]:
    verdict = ("slower" if row.gap_ns > 0 else "faster") if row.significant else "within noise"
    return (
        row.stage.value,
        row.steps_a,
        row.steps_b,
        row.step_a_ns / 1000,
        row.step_b_ns / 1000,
        row.gap_ns / 1000,
        row.gap_ns / row.step_a_ns if row.step_a_ns else None,
        row.noise_ns / 1000,
        verdict,
        row.explained_ns / row.gap_ns if row.significant and row.gap_ns else None,
        row.unexplained_ns / 1000,
    )


def _family(row: FamilyDiff) -> tuple[str | int | float | None, ...]:
    verdict = ("slower" if row.delta_ns > 0 else "faster") if row.significant else "within noise"
    return (
        row.ref,
        row.stage.value,
        row.family,
        row.a_ns / 1000,
        row.b_ns / 1000,
        row.launches_a,
        row.launches_b,
        row.delta_ns / 1000,
        row.noise_ns / 1000,
        row.of_gap,
        verdict,
    )


def _sides(diff: TraceDiff) -> list[str]:
    return [f"{name}: {', '.join(files)}" for name, files in (("A", diff.files_a), ("B", diff.files_b))]


def _notes(diff: TraceDiff) -> list[str]:
    found = [f"warning: {text}" for text in diff.problems]
    found += [f"note: {row.stage.value}: {text}" for row in diff.stages for text in row.notes]
    for name, only in (("A", diff.only_a), ("B", diff.only_b)):
        if only:
            found.append(f"note: only {name} has {', '.join(stage.value for stage in only)}")
    return found


def _lay_out(
    diff: TraceDiff, least: float, write: Callable[[Grid], str], escape: Callable[[str], str]
) -> str:
    lines = [*_sides(diff), *_notes(diff)]
    blocks = [
        "\n".join(escape(plain(line)) for line in lines)
        if write is to_text
        else "\n\n".join(map(escape, lines))
    ]
    blocks += [write(stages(diff)), write(families(diff, least))]
    return "\n\n".join(blocks)


def as_text(diff: TraceDiff, least: float) -> str:
    """For a terminal."""
    return _lay_out(diff, least, to_text, str)


def as_markdown(diff: TraceDiff, least: float) -> str:
    """Markdown."""
    return _lay_out(diff, least, to_markdown, markdown)


def as_csv(diff: TraceDiff, least: float) -> str:
    """All family rows."""
    return to_csv(families(diff))


def as_json(diff: TraceDiff, least: float) -> str:
    """Everything, times in ns."""
    return msgspec.json.format(msgspec.json.encode(diff), indent=1).decode()


def as_html(diff: TraceDiff, least: float) -> str:
    """One page."""
    body = ["<h1>Trace comparison</h1>"]
    body += [f"<p>{esc(line)}</p>" for line in _sides(diff)]
    body += [
        f'<p class="{"warn" if line.startswith("warning") else "note"}">{esc(line)}</p>'
        for line in _notes(diff)
    ]
    body.append(table(stages(diff)))
    for row in diff.stages:
        names = [f.family for f in sorted(row.families, key=lambda f: -max(f.wall_a_ns, f.wall_b_ns))]
        by_name = {f.family: f for f in row.families}
        sides = [
            ("A", [by_name[name].wall_a_ns / 1000 for name in names]),
            ("B", [by_name[name].wall_b_ns / 1000 for name in names]),
        ]
        body += [
            f"<h3>A step of {esc(row.stage.value)}, by family</h3>",
            bars(sides, names, "us"),
            key(names),
        ]
    body += ["<h2>Families, largest difference first</h2>", table(families(diff, least))]
    body.append(meanings([stages(diff), families(diff)]))
    return page("Trace comparison", body)


WRITERS = {"text": as_text, "md": as_markdown, "csv": as_csv, "json": as_json, "html": as_html}
