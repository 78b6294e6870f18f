"""Kill -9 at random moments: what is resumed ends with the tables of a clean run."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from bench import kill_resume, small_history

BENCH = Path(__file__).parent / "bench"


@pytest.fixture(scope="module")
def history(tmp_path_factory) -> Path:
    """Two batches."""
    return small_history.write(tmp_path_factory.mktemp("engine") / "repo.git", fillers=300)


def kill_and_resume(history: Path, *options: str) -> re.Match[str]:
    command = [
        sys.executable,
        str(BENCH / "kill_resume.py"),
        "--repo",
        str(history),
        "--name",
        "sgl-project/sglang",
        *options,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stderr == ""
    found = re.fullmatch(
        r"(\d+) kills \(left (.*)\) in (\d+) rounds of [\d.]+ s: tables identical, (\d+) cards, \d+ chunks, (\d+) commits\n",
        done.stdout,
    )
    assert found, done.stdout
    assert done.returncode == 0
    return found


@pytest.mark.parametrize("seed", ["1"])
def test_a_killed_ingest_ends_with_the_same_tables(history, seed):
    found = kill_and_resume(history, "--kills", "6", "--seed", seed)
    assert (found[1], found[4], found[5]) == ("6", "323", "327")


def test_a_killed_ingest_over_embedded_cards_ends_with_the_same_tables(history, tmp_path):
    base = tmp_path / "base"
    command = [sys.executable, "-m", "loop", "ingest", "starter", "--kb", str(base)]
    subprocess.run(command, capture_output=True, check=True)
    found = kill_and_resume(history, "--kills", "2", "--base", str(base))
    assert (found[1], found[5]) == ("2", "327")


def test_the_comparison_sees_what_differs():
    def tables(*rows: tuple[str, int, str]) -> dict[str, pa.Table]:
        return {"chunks": pa.Table.from_pylist([{"card_id": c, "ordinal": o, "text": t} for c, o, t in rows])}

    whole = tables(("a", 0, "x"), ("a", 1, "y"))
    assert kill_resume.differences(whole, tables(("a", 0, "x"), ("a", 1, "y"))) == []
    assert kill_resume.differences(tables(("a", 0, "x")), whole) == ["chunks: 1 rows, 2 wanted"]
    assert kill_resume.differences(tables(("a", 0, "x"), ("a", 1, "z")), whole) == [
        "chunks.text of ['a', 1]: 'z' is not 'y'"
    ]
    assert kill_resume.differences(tables(("a", 0, "x"), ("a", 1, "z")), whole, ("text",)) == []
    assert kill_resume.differences({}, whole) == ["chunks: only one store has it"]
