"""Filters against a real table: whatever a user types, exactly the rows that are meant come back."""

from __future__ import annotations

import fnmatch

import lancedb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb.filters import Filter, quoted
from kb.tables import CARDS

HOSTILE = [
    "'", "''", "' OR 1=1 --", "') OR ('1'='1", "x'; DROP TABLE cards; --", '"', "\\", "\\'", "\\\\", "%", "_", "%%", "a_b", "a%b",
    "\0", "\0' OR 1=1 --", "\n", "\r\n", "`", "/* */", "--", ";", "NULL", "é", "扩散", "\u202e", "\U0001f600", " ", "?", "[a-z]", "{}", "${x}",
]  # fmt: skip
NAMES = [*HOSTILE, "plain", "a\\_b", "a\\%b", "axb", "a.b", "A_B"]


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """One row a name, which stands in every text column; times rise with the rows."""
    rows = []
    for i, name in enumerate(NAMES):
        row = {f.name: "" for f in CARDS if f.type == pa.string()}
        row |= {
            "id": f"{name}#{i}",
            "repo": name,
            "kind": name,
            "path_text": f"+src/{name}/x.py",
            "symbol_text": f"+{name}",
        }
        rows.append(
            row
            | {
                "merged_at": f"2025-01-{i % 28 + 1:02d}T00:00:00Z",
                "number": i,
                "families": [name],
                "batch": 1,
            }
        )
    database = lancedb.connect(tmp_path_factory.mktemp("db"))
    return database.create_table("cards", pa.Table.from_pylist(rows, schema=CARDS))  # fmt: skip


def passing(table, where: Filter) -> set[int]:
    return set(
        table.search().where(where.sql()).select(["number"]).limit(None).to_arrow()["number"].to_pylist()
    )


def same(text: str) -> set[int]:
    return {i for i, name in enumerate(NAMES) if name.replace("\0", "") == text.replace("\0", "")}


def holding(text: str, column: str) -> set[int]:
    """Rows that hold a text in which `*` stands for anything, worked out without SQL."""
    form = {"path": "+src/{}/x.py", "symbol": "+{}"}[column]
    pattern = "*" + text.replace("\0", "").replace("[", "[[]").replace("?", "[?]") + "*"
    return {i for i, n in enumerate(NAMES) if fnmatch.fnmatchcase(form.format(n).replace("\0", ""), pattern)}


@pytest.mark.parametrize("text", NAMES)
def test_a_value_is_compared_as_it_is(table, text):
    # NUL is taken out of what is asked for, never out of what is stored
    wanted = {i for i in same(text) if "\0" not in NAMES[i]}
    assert passing(table, Filter(repos=(text,))) == wanted
    assert passing(table, Filter(kinds=(text,))) == wanted
    assert passing(table, Filter(families=(text,))) == wanted


@pytest.mark.parametrize("text", [n for n in NAMES if "\0" not in n])
def test_a_part_of_a_path_or_name_is_found_as_it_is(table, text):
    assert passing(table, Filter(paths=(text,))) == holding(text, "path")
    assert passing(table, Filter(symbols=(text,))) == holding(text, "symbol")


@pytest.mark.parametrize("text", ["*", "s*c/a*b/", "pl*n", "*_b", "a*", "**"])
def test_a_star_stands_for_anything(table, text):
    assert passing(table, Filter(paths=(text,))) == holding(text, "path")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.sampled_from("ab%_\\'\"*-+. ;\n()"), min_size=1, max_size=8))
def test_no_text_finds_more_than_it_means(table, text):
    assert passing(table, Filter(paths=(text,))) == holding(text, "path")
    assert passing(table, Filter(repos=(text,), paths=(text,))) <= same(text)


@settings(max_examples=30)
@given(st.text(max_size=20))
def test_any_text_is_one_value(table, text):
    assert passing(table, Filter(repos=(text,), after=text)) <= same(text)


@pytest.mark.parametrize("text", ["\udcff", "a\ud800b", "\udcff' OR 1=1 --"])
def test_bytes_that_are_no_text_find_nothing(table, text):
    assert passing(table, Filter(repos=(text,))) == set()
    assert passing(table, Filter(paths=(text,))) == set()


def test_times_are_a_half_open_range(table):
    where = Filter(after="2025-01-03T00:00:00Z", before="2025-01-05T00:00:00Z")
    assert passing(table, where) == {i for i in range(len(NAMES)) if i % 28 in (2, 3)}


def test_conditions_must_all_hold_and_values_of_one_need_not(table):
    assert passing(table, Filter(repos=("plain", "axb"), paths=("pl", "nothing"))) == same("plain")
    assert passing(table, Filter(repos=("plain",), paths=("axb",))) == set()


def test_a_filter_without_conditions_asks_for_nothing():
    assert (bool(Filter()), Filter().sql()) == (False, "")
    assert Filter(repos=("a/b",), kinds=("fix",)).only_repos == Filter(repos=("a/b",))


@pytest.mark.parametrize(
    ("text", "literal"), [("a", "'a'"), ("o'clock", "'o''clock'"), ("a\0b", "'ab'"), ("", "''")]
)
def test_a_literal_has_its_quotes_doubled(text, literal):
    assert quoted(text) == literal
