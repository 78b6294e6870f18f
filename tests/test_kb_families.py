"""Model families: names, globs, tags, and the table itself."""

from __future__ import annotations

import re

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kb.datafiles import data_file
from kb.families import FamilyError, alias_pattern, glob_pattern, load_families
from kb.family_views import touched
from kb.words import split_identifier

TABLE = """
families:
  - {slug: qwen2, name: Qwen2, group: qwen, aliases: [qwen2], paths: ["**/models/qwen2.py"], classes: [Qwen2ForCausalLM]}
  - {slug: qwen3, name: Qwen3, group: qwen, also: [qwen3-moe], aliases: [qwen-3, 千问], paths: ["**/models/qwen3*.py"]}
  - {slug: qwen3-next, name: Qwen3-Next, group: qwen, aliases: [qwen3-next], shared: ["**/mamba/**"]}
  - {slug: phi, name: Phi, aliases: [phi], paths: ["*.phi", "a?c.py"]}
"""


@pytest.fixture
def write(tmp_path):
    def write(text: str):
        path = tmp_path / "families.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def small(write):
    return load_families(write(TABLE))


@pytest.fixture(scope="module")
def table():
    return load_families()


def spellings(alias: str) -> set[str]:
    parts = re.findall(r"[a-z]+|[0-9]+|[^\x00-\x7f]+", alias.lower())
    return {sep.join(parts) for sep in ("-", "_", ".", " ", "")}


# names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["qwen3", "Qwen-3", "QWEN_3", "qwen 3", "qwen.3", "(Qwen3)", "Qwen3: x", "use Qwen3!", "models/qwen3/x"],
)
def test_separators_case_and_signs_around_a_name_are_alike(small, text):
    assert small.mentioned(text) == ("qwen3",)


@pytest.mark.parametrize("text", ["qwen30", "qwen32b", "dolphin", "aqwen3", "qwen--3", "phi3", "", "qwen"])
def test_a_name_inside_another_word_is_none(small, text):
    assert small.mentioned(text) == ()


def test_the_longest_name_is_meant(small):
    assert small.mentions("Qwen3-Next is not Qwen3") == [(0, 10, ("qwen3-next",)), (18, 23, ("qwen3",))]


@pytest.mark.parametrize("text", ["千问", "优化千问的性能", "千问3模型", "用千问VL"])
def test_chinese_names_are_found_anywhere(small, text):
    assert small.mentioned(text) == ("qwen3",)


@pytest.mark.parametrize(
    ("name", "slugs"),
    [
        ("qwen3", ("qwen3",)),
        (" QWEN3 ", ("qwen3",)),
        ("qwen3-moe", ("qwen3",)),
        ("qwen", ("qwen2", "qwen3", "qwen3-next")),
        ("Qwen 3 Next", ("qwen3-next",)),
        ("the Qwen3 of Alibaba", ("qwen3",)),
    ],
)
def test_a_slug_another_name_or_a_group_resolves(small, name, slugs):
    assert small.resolve(name) == slugs


def test_an_unknown_name_is_told_the_nearest_ones(small):
    with pytest.raises(FamilyError, match=r"^no family named 'qwenn3-nextt'; nearest: qwen3-next, "):
        small.resolve("qwenn3-nextt")
    with pytest.raises(FamilyError, match=r"^no family named 'zzzz'; `prlore families` lists them$"):
        small.resolve("zzzz")


# paths and tags -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("**/models/qwen3*.py", "python/sglang/srt/models/qwen3_moe.py", True),
        ("**/models/qwen3*.py", "models/qwen3.py", True),
        ("**/models/qwen3*.py", "models/qwen3/vision.py", False),
        ("**/models/qwen3*.py", "models/aqwen3.py", False),
        ("*.py", "a/b.py", False),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("a/**", "a/b/c", True),
        ("a/**/d", "a/d", True),
        ("a/**/d", "a/b/c/d", True),
        ("a.py", "axpy", False),
        ("a+(b)", "a+(b)", True),
    ],
)
def test_globs_stay_in_a_folder_unless_doubled(glob, path, matches):
    assert bool(re.fullmatch(glob_pattern(glob), path)) is matches


def test_a_path_is_matched_by_globs_shared_globs_and_its_file_name(small):
    assert small.of_path("srt/models/qwen3_vl.py") == ("qwen3",)
    assert small.of_path("srt/layers/mamba/ssd.py") == ("qwen3-next",)
    assert small.of_path("docs/Qwen2_usage.md") == ("qwen2",)
    assert small.of_path("qwen2/readme.md") == ()


def test_a_tag_comes_from_title_paths_or_class_names(small):
    assert small.tag("Speed up phi", ["x/models/qwen2.py"], []) == ("phi", "qwen2")
    assert small.tag("Speed up", [], split_identifier("Qwen2ForCausalLM")) == ("qwen2",)
    assert small.tag("Speed up", ["x.py"], ["qwen"]) == ()


def test_marks_of_a_path_text_are_taken_off():
    assert touched("+a.py\n~b.py\n-c.py") == ["a.py", "b.py", "c.py"]


@given(st.text(max_size=80))
def test_any_text_can_be_looked_through(table, text):
    table.tag(text, [text], [text])
    for start, end, slugs in table.mentions(text):
        assert 0 <= start < end
        assert slugs


# the file -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("families: [", "while parsing"),
        ("families: 3", "Expected `array`"),
        ("families: [{slug: a}]", "missing required field `name`"),
        ("families: [{slug: a, name: b, pathes: []}]", "unknown field `pathes`"),
        ("other: []", "unknown field"),
        ("", "Expected `object`"),
        ("!!python/object/apply:os.system [true]", "could not determine a constructor"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_line_with_its_name(write, text, said):
    path = write(text)
    with pytest.raises(FamilyError) as caught:
        load_families(path)
    assert str(caught.value).startswith(f"can't read {path}: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_table_is_refused(tmp_path):
    with pytest.raises(FamilyError, match="can't read"):
        load_families(tmp_path / "none.yaml")


def test_the_digest_changes_with_the_file(write):
    assert load_families(write(TABLE)).digest == load_families(write(TABLE)).digest
    assert load_families(write(TABLE)).digest != load_families(write(TABLE + "# a comment\n")).digest


def test_the_tables_slugs_are_sorted_and_no_name_is_used_twice(table):
    slugs = [f.slug for f in table.entries]
    assert slugs == sorted(set(slugs))
    others = [name for f in table.entries for name in f.also]
    assert len(others) == len(set(others))
    assert not set(others) & set(slugs)


def test_the_tables_names_are_plain(table):
    for family in table.entries:
        for name in (family.slug, *family.also, family.group or "none"):
            assert re.fullmatch(r"[a-z0-9]+(?:[._-][a-z0-9]+)*", name), family.slug
        assert family.name == family.name.strip() != ""
        assert family.aliases
        assert family.paths or family.classes
        for values in (family.also, family.aliases, family.paths, family.shared, family.classes):
            assert len(values) == len(set(values)), family.slug
            assert all(v == v.strip() != "" for v in values), family.slug


def test_every_pattern_of_the_table_compiles_and_none_matches_everything(table):
    for family in table.entries:
        for glob in (*family.paths, *family.shared):
            pattern = re.compile(glob_pattern(glob))
            assert not pattern.fullmatch("python/sglang/srt/managers/io_struct.py"), (family.slug, glob)
            assert not pattern.fullmatch("README.md"), (family.slug, glob)
        for alias in family.aliases:
            assert not re.compile(alias_pattern(alias)).fullmatch("")


def test_every_alias_of_the_table_names_its_family_in_every_spelling(table):
    lost = [
        (family.slug, text)
        for family in table.entries
        for alias in family.aliases
        for text in spellings(alias)
        if family.slug not in table.mentioned(f"in {text} only")
    ]
    assert lost == []


def test_every_slug_and_other_name_resolves_to_its_family(table):
    for family in table.entries:
        for name in (family.slug, *family.also):
            assert family.slug in table.resolve(name)
        assert table.entry(family.slug) is family


def test_every_family_the_issue_names_is_there(table):
    for name in (
        "moss-vl",
        "ernie45",
        "qwen3",
        "qwen3-vl",
        "deepseek-v3",
        "deepseek-v3-2",
        "gpt-oss",
        "glm",
        "kimi",
        "llama4",
    ):
        assert table.resolve(name)


def test_the_table_says_nothing_twice_to_a_reader():
    raw = yaml.safe_load(data_file("families.yaml").read_text("utf-8"))
    assert list(raw) == ["families"]
    assert [list(f)[:2] for f in raw["families"]] == [["slug", "name"]] * len(raw["families"])
