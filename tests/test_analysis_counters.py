"""Counters of Nsight Compute: the same kernel from every page, and one next edit whatever was collected."""

from __future__ import annotations

import csv
import io
import json

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.counters.digest import digest
from analysis.counters.kernel import Raw, profiled, scale_of
from analysis.counters.read import read_counters
from analysis.counters.rules import read_rules
from analysis.errors import AnalysisError, MissingExtra, UnreadableCounters
from loop.cli import cli

RULES = read_rules()
NAME = "void fused_moe_kernel<__nv_bfloat16, 128>(float const*, int)"
ISSUE = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"

# one latency-bound kernel: 36 us, a third occupied, waiting for global memory
METRICS: dict[str, tuple[str, str]] = {
    "gpu__time_duration.sum": ("usecond", "36.00"),
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": ("%", "41.5"),
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": ("%", "38.0"),
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": ("%", "30.0"),
    "dram__bytes.sum": ("Mbyte", "1,024.5"),
    "sm__warps_active.avg.pct_of_peak_sustained_active": ("%", "33.3"),
    "launch__registers_per_thread": ("register/thread", "168"),
    "launch__waves_per_multiprocessor": ("", "6.0"),
    "launch__occupancy_limit_blocks": ("block", "32"),
    "launch__occupancy_limit_warps": ("block", "5"),
    "launch__occupancy_limit_registers": ("block", "1"),
    "launch__occupancy_limit_shared_mem": ("block", "3"),
    "lts__t_sector_hit_rate.pct": ("%", "60.0"),
    ISSUE.format("long_scoreboard"): ("inst", "6.0"),
    ISSUE.format("barrier"): ("inst", "2.0"),
    ISSUE.format("selected"): ("inst", "1.0"),
    ISSUE.format("math_pipe_throttle"): ("inst", "1.0"),
}
LABELS = {
    "gpu__time_duration.sum": ("GPU Speed Of Light Throughput", "Duration"),
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": (
        "GPU Speed Of Light Throughput",
        "Compute (SM) Throughput",
    ),
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": (
        "GPU Speed Of Light Throughput",
        "Memory Throughput",
    ),
    "gpu__dram_throughput.avg.pct_of_peak_sustained_elapsed": (
        "GPU Speed Of Light Throughput",
        "DRAM Throughput",
    ),
    "sm__warps_active.avg.pct_of_peak_sustained_active": ("Occupancy", "Achieved Occupancy"),
    "launch__registers_per_thread": ("Launch Statistics", "Registers Per Thread"),
    "launch__waves_per_multiprocessor": ("Launch Statistics", "Waves Per SM"),
    "launch__occupancy_limit_blocks": ("Occupancy", "Block Limit SM"),
    "launch__occupancy_limit_warps": ("Occupancy", "Block Limit Warps"),
    "launch__occupancy_limit_registers": ("Occupancy", "Block Limit Registers"),
    "launch__occupancy_limit_shared_mem": ("Occupancy", "Block Limit Shared Mem"),
    "lts__t_sector_hit_rate.pct": ("Memory Workload Analysis", "L2 Hit Rate"),
}
PREAMBLE = '==PROF== Connected to process 42 (/usr/bin/python3)\nInit: ok, "ready"\n==PROF== Disconnected\n'


def table(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return PREAMBLE + out.getvalue()


def raw_page(*launches: dict[str, tuple[str, str]], name: str = NAME) -> str:
    keys = list(launches[0])
    about = [
        "ID",
        "Process ID",
        "Process Name",
        "Host Name",
        "Kernel Name",
        "Context",
        "Stream",
        "Block Size",
        "Grid Size",
        "Device",
        "CC",
    ]
    rows = [[*about, *keys], [""] * len(about) + [launches[0][k][0] for k in keys]]
    for i, launch in enumerate(launches):
        where = [str(i), "42", "python3", "host", name, "1", "7", "(384, 1, 1)", "(132, 1, 1)", "0", "9.0"]
        rows.append(where + [launch[k][1] for k in keys])
    return table(rows)


def details_page(metrics: dict[str, tuple[str, str]], name: str = NAME) -> str:
    """As Nsight Compute 2025.3 writes it: a metric's row ends behind its value, short of the columns for advice."""
    head = ["ID", "Process ID", "Process Name", "Host Name", "Kernel Name", "Context", "Stream", "Block Size", "Grid Size",
            "Device", "CC", "Section Name", "Metric Name", "Metric Unit", "Metric Value", "Rule Name", "Rule Type",
            "Rule Description", "Estimated Speedup Type", "Estimated Speedup"]  # fmt: skip
    rows = [head]
    where = ["0", "42", "python3", "host", name, "1", "7", "(384, 1, 1)", "(132, 1, 1)", "0", "9.0"]
    for key, (unit, value) in metrics.items():
        if key in LABELS:
            rows.append([*where, *LABELS[key], unit, value, ""])
        elif key.startswith("smsp__average_warps_issue_stalled_"):
            reason = key.removeprefix("smsp__average_warps_issue_stalled_").partition("_per_issue")[0]
            label = f"Stall {reason.replace('_', ' ').title()}"
            rows.append([*where, "Warp State Statistics", label, unit, value, ""])
    rows.append(
        [*where, "Occupancy", "", "", "", "Occupancy", "OPT", "this kernel's occupancy, is low", "local", "9"]
    )
    return table(rows)


def summary_page(metrics: dict[str, tuple[str, str]]) -> str:
    rows = [
        [
            "Process ID",
            "Kernel Name",
            "Invocations",
            "Section Name",
            "Metric Name",
            "Metric Unit",
            "Minimum",
            "Maximum",
            "Average",
        ]
    ]
    rows += [["1", NAME, "3", *LABELS[k], unit, v, v, v] for k, (unit, v) in metrics.items() if k in LABELS]
    return table(rows)


@pytest.fixture
def read(tmp_path):
    def run(text: str):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.csv"
        path.write_text(text)
        return read_counters([path], RULES)

    return run


def changed(**values: str) -> dict[str, tuple[str, str]]:
    """The kernel with other values; keys are ends of metric names."""
    made = dict(METRICS)
    for key, value in values.items():
        [name] = [m for m in METRICS if key in m]
        made[name] = (METRICS[name][0], value)
    return made


def edit(read, now: dict, before: dict | None = None) -> str:
    base = read(raw_page(before)) if before else []
    return digest(read(raw_page(now)), base, RULES).edit.rule


@pytest.mark.parametrize("page", [raw_page, details_page])
def test_both_pages_tell_the_same(read, page):
    [kernel] = read(page(METRICS))
    assert (kernel.name, kernel.grid, kernel.block, kernel.launches) == (
        NAME,
        "(132, 1, 1)",
        "(384, 1, 1)",
        1,
    )
    m = kernel.measures
    assert (m["duration"], m["compute"], m["memory"], m["occupancy"], m["registers"]) == (
        36_000,
        41.5,
        38.0,
        33.3,
        168,
    )
    assert kernel.stalls == pytest.approx(
        {"long_scoreboard": 60, "barrier": 20, "selected": 10, "math_pipe_throttle": 10}
    )
    if page is raw_page:
        assert m["dram_bytes"] == pytest.approx(1_024_500_000)


def test_a_summary_by_kernel_is_read_by_its_averages(read):
    [kernel] = read(summary_page(METRICS))
    assert (kernel.measures["duration"], kernel.measures["occupancy"]) == (36_000, 33.3)


def test_launches_of_one_kernel_are_averaged_and_the_longest_comes_first(read):
    text = raw_page(METRICS, changed(time_duration="44.00"))
    [kernel] = read(text)
    assert (kernel.launches, kernel.measures["duration"], kernel.total_ns) == (2, 40_000, 80_000)
    kernels = read(
        raw_page(METRICS, name="a") + raw_page(changed(time_duration="99"), name="b").removeprefix(PREAMBLE)
    )
    assert [k.name for k in kernels] == ["b", "a"]  # a second header is no launch


@pytest.mark.parametrize(
    ("unit", "scale"),
    [("usecond", 1e3), ("us", 1e3), ("nsecond", 1), ("ms", 1e6), ("second", 1e9), ("Mbyte", 1e6), ("Gbyte/second", 1e9),
     ("byte/block", 1), ("%", 1), ("", 1), ("register/thread", 1), ("Kbyte/block", 1e3), ("Ghz", 1e9), ("inst/cycle", 1)],
)  # fmt: skip
def test_units(unit, scale):
    assert scale_of(unit) == scale


@pytest.mark.parametrize(
    ("values", "rule"),
    [
        ({}, "long-scoreboard-occupancy"),
        ({"limit_shared": "0", "limit_registers": "3"}, "long-scoreboard-shared"),
        ({"limit_blocks": "2", "limit_registers": "9", "limit_warps": "4"}, "small-blocks-scoreboard"),
        ({"warps_active": "70"}, "long-scoreboard"),
        ({"long_scoreboard": "0.1", "barrier": "6"}, "barrier"),
        ({"long_scoreboard": "0.1", "math_pipe": "6"}, "math"),
        ({"long_scoreboard": "0.1", "barrier": "0.1", "selected": "9"}, "latency"),
        ({"waves": "0.25"}, "too-small"),
        ({"waves": "1.05", "long_scoreboard": "0.1", "selected": "9"}, "tail"),
        ({"dram_throughput": "88", "memory_throughput": "88"}, "memory-bound"),
        ({"dram_throughput": "30", "memory_throughput": "85"}, "l2-bound"),
        ({"sm__throughput": "85", "long_scoreboard": "0.1", "selected": "9"}, "collect"),
    ],
)
def test_the_next_edit_follows_from_the_counters(read, values, rule):
    assert edit(read, changed(**values)) == rule


def test_tensor_pipe_tells_two_kinds_of_compute_apart(read):
    quiet = {ISSUE.format("selected"): ("inst", "9")}
    busy = {**changed(sm__throughput="85", long_scoreboard="0.1"), **quiet}
    pipe = "sm__pipe_tensor_cycles_active.avg.pct_of_peak_sustained_active"
    assert edit(read, {**busy, pipe: ("%", "82")}) == "tensor-bound"
    assert edit(read, {**busy, pipe: ("%", "5")}) == "compute-bound"


@pytest.mark.parametrize(
    ("now", "before", "rule"),
    [
        ({"time_duration": "40"}, {"time_duration": "36"}, "undo"),
        ({"time_duration": "40", "warps_active": "20"}, {"time_duration": "36"}, "undo-occupancy"),
        ({"time_duration": "40", "lts__t": "40"}, {"time_duration": "36"}, "undo-cache"),
        ({"time_duration": "36.5"}, {"time_duration": "36"}, "long-scoreboard-occupancy"),  # inside the noise
        ({"time_duration": "30"}, {"time_duration": "36"}, "long-scoreboard-occupancy"),  # faster: go on
    ],
)
def test_a_slower_candidate_is_led_back(read, now, before, rule):
    assert edit(read, changed(**now), changed(**before)) == rule


def test_without_counters_the_edit_is_to_collect_them(read):
    assert edit(read, {"launch__registers_per_thread": ("", "32")}) == "collect"


def test_kernels_are_paired_by_name_then_by_function(read):
    def kernels(*names: str):
        return profiled([Raw(n, "", "", {"gpu__time_duration.sum": (10.0, "us")}) for n in names], RULES)

    made = digest(kernels("void f<1>(int)", "g"), kernels("void f<2>(int)", "h"), RULES)
    assert {c.candidate.name: c.baseline.name if c.baseline else None for c in made.kernels} == {
        "void f<1>(int)": "void f<2>(int)",
        "g": None,
    }
    assert made.gone == ("h",)
    [only] = digest(kernels("new"), kernels("old"), RULES).kernels
    assert only.baseline.name == "old"  # one each: a rename is part of the change
    with pytest.raises(AnalysisError, match="matches no kernel"):
        digest(kernels("g"), [], RULES, "nothing")
    with pytest.raises(AnalysisError, match="regular expression"):
        digest(kernels("g"), [], RULES, "(")


def test_the_command_ends_with_exactly_one_next_edit(tmp_path):
    (tmp_path / "new.csv").write_text(raw_page(changed(time_duration="30", dram__bytes="900")))
    (tmp_path / "old.csv").write_text(details_page(METRICS))
    args = ["ncu", str(tmp_path / "new.csv"), "--baseline", str(tmp_path / "old.csv")]
    text = CliRunner().invoke(cli, args).output
    assert text.count("Next edit:") == 1
    assert (
        text.rstrip()
        .splitlines()[-1]
        .startswith("Next edit: Raise occupancy: cut registers per thread (168 now)")
    )
    assert "16.7% faster" in text
    assert "bound by latency" in text
    assert "long scoreboard" in text
    markdown = CliRunner().invoke(cli, [*args, "--format", "md"]).output
    assert markdown.count("**Next edit:**") == 1
    data = json.loads(CliRunner().invoke(cli, [*args, "--format", "json"]).output)
    assert list(data)[-1] == "next_edit"
    assert data["next_edit"]["source"]
    assert data["kernels"][0]["faster_pct"] == pytest.approx(100 / 6)


@pytest.mark.parametrize(
    "raw",
    [b"", b"hello", b'"ID","Kernel Name"\n', b"\xff\xfe\0\0", b"==ERROR== no permission\n", b'"' * 9000],
)
def test_what_is_no_table_is_one_line(tmp_path, raw):
    path = tmp_path / "x.csv"
    path.write_bytes(raw)
    with pytest.raises(UnreadableCounters, match=r"x\.csv"):
        read_counters([path], RULES)
    with pytest.raises(UnreadableCounters):
        read_counters([tmp_path / "none.csv"], RULES)


@pytest.mark.parametrize("raw", [b"NVR\0", b"NVR\0" + b"\0" * 100, b"NVR\0" + bytes(range(256)) * 20])
def test_what_is_no_report_is_one_line(tmp_path, raw):
    path = tmp_path / "x.ncu-rep"
    path.write_bytes(raw)
    with pytest.raises((UnreadableCounters, MissingExtra), match=r"x\.ncu-rep"):
        read_counters([path], RULES)


def test_every_rule_has_a_source_and_names_that_exist():
    known = {m.key for m in RULES.measures} | {"idle_sms", "tail", "sector_waste", "conflict_waste"}
    for rule in RULES.rules:
        assert rule.source
        assert rule.edit
        names = [c.left for c in rule.when] + [c.right for c in rule.when if isinstance(c.right, str)]
        names += [rule.weight] if isinstance(rule.weight, str) else []
        for name in names:
            head, _, tail = name.rpartition(":")
            assert head == "stall" or tail in known, (rule.id, name)
    assert not RULES.rules[-1].when  # there is always one
    assert len({rule.id for rule in RULES.rules}) == len(RULES.rules)


cells = st.sampled_from(
    [
        "",
        "n/a",
        "nan",
        "inf",
        "-1",
        "0",
        "1e308",
        "1,2,3",
        "12.5",
        "\x1b[31m",
        "=1",
        "%",
        '"',
        "ID",
        "(1, 1, 1)",
    ]
)


@settings(max_examples=120)
@given(st.sampled_from([raw_page(METRICS), details_page(METRICS), summary_page(METRICS)]), st.data())
def test_a_table_with_anything_anywhere_is_read_or_refused(tmp_path_factory, text, data):
    rows = list(csv.reader(text.splitlines()))
    for _ in range(data.draw(st.integers(1, 6))):
        row = data.draw(st.sampled_from([r for r in rows if r]))
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(cells)
    made = table(rows)
    made = made[: data.draw(st.integers(0, len(made)))] if data.draw(st.booleans()) else made
    path = tmp_path_factory.getbasetemp() / "fuzz.csv"
    path.write_text(made)
    out = CliRunner().invoke(cli, ["ncu", str(path)])
    if out.exception is None:
        assert out.output.count("Next edit:") == 1
        assert "\x1b" not in out.output
    else:
        assert isinstance(out.exception, AnalysisError), out.exc_info
