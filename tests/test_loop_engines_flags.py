"""Options as a help text gives them."""

from __future__ import annotations

import argparse

from hypothesis import given, settings
from hypothesis import strategies as st

from loop.engines.flags import accepted, grouped, merged, parse_help
from loop.engines.space import SPACES, space_of

VLLM = """usage: vllm serve [model_tag] [options]

options:
  --headless            Run in headless mode. See --host for the address.
  --dtype {auto,bfloat16,float,float16,
           float32,half}
                        Data type for model weights.
  --enable-prefix-caching, --no-enable-prefix-caching
                        Whether to enable prefix caching. (default: None)
  --max-num-seqs MAX_NUM_SEQS
                        Maximum number of sequences, such as
                        --not-an-option here.
  --gpu-memory-utilization, --device-memory-utilization GPU_MEMORY_UTILIZATION
  -tp, --tensor-parallel-size TP
"""


def test_names_choices_and_values_are_read():
    known = parse_help(VLLM)
    assert known["--dtype"].choices == ("auto", "bfloat16", "float", "float16", "float32", "half")
    assert known["--no-enable-prefix-caching"] is known["--enable-prefix-caching"]
    assert not known["--headless"].takes_value
    assert known["--max-num-seqs"].takes_value
    assert known["--device-memory-utilization"] is known["--gpu-memory-utilization"]
    assert known["-tp"] is known["--tensor-parallel-size"]
    assert "--not-an-option" not in known


def test_unknown_options_and_values_are_left_out_with_their_reason():
    kept, rejected = accepted(
        ("--max_num_seqs", "8", "--max-num-seq", "9", "--dtype=int3", "--headless", "--dtype", "half"),
        parse_help(VLLM),
        "vllm 0.1",
    )
    assert kept == ("--max_num_seqs", "8", "--headless", "--dtype", "half")
    assert [str(r) for r in rejected] == [
        "--max-num-seq 9: vllm 0.1 has no such option; the nearest is --max-num-seqs",
        "--dtype int3: vllm 0.1 offers auto, bfloat16, float, float16, float32, half",
    ]


def test_without_a_help_text_nothing_is_left_out():
    assert accepted(("--a", "1"), {}, "x") == (("--a", "1"), ())


def test_later_options_take_the_place_of_earlier_ones():
    assert merged(("--a", "1", "--b"), ("--no-b", "--a", "2")) == ("--a", "2", "--no-b")
    assert merged(("--x=1",), ()) == ("--x", "1")


def test_numbers_below_zero_are_values():
    assert list(grouped(("--a", "-1", "--b", "-2.5", "c"))) == [("--a", ("-1",)), ("--b", ("-2.5", "c"))]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.from_regex(r"--[a-z]{2,12}(-[a-z]{2,8}){0,3}", fullmatch=True),
        st.one_of(
            st.none(),
            st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=1, max_size=4, unique=True),
        ),
        max_size=8,
    )
)
def test_whatever_argparse_prints_is_read_back(options):
    options.pop("--help", None)
    parser = argparse.ArgumentParser(prog="x", allow_abbrev=False)
    for name, choices in options.items():
        parser.add_argument(
            name, choices=choices, help="Sentence with --another-name in it, {a,b}.", default=None
        )
    known = parse_help(parser.format_help())
    assert {n for n in known if n.startswith("--")} == {*options, "--help"}
    assert all(known[name].choices == tuple(choices or ()) for name, choices in options.items())


def test_a_space_holds_what_a_version_offers_and_a_campaign_leaves_open():
    known = parse_help(VLLM)
    space = space_of("vllm", "cpu", known, fixed=("--no-enable-prefix-caching",))
    assert [p.flag for p in space.parameters] == ["--max-num-seqs"]
    assert "--block-size: this version has no such option" in space.left_out
    assert space.flags({"--max-num-seqs": "16"}) == ("--max-num-seqs", "16")
    assert space.flags(space.default) == ()


def test_every_default_is_feasible_and_every_constraint_names_values_of_its_space():
    for engine, (parameters, constraints) in SPACES.items():
        for device in ("cpu", "cuda"):
            space = space_of(engine, device, {})
            assert space.infeasible(space.default) is None
        choices = {p.flag: p.choices for p in parameters}
        assert all(value in choices[flag] for c in constraints for flag, value in c.values)
