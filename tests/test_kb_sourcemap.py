"""The source map: its data, how a question finds a topic, how a topic is resolved in a tree."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from ingest.trees import Fate, Place
from kb.families import glob_pattern
from kb.reports.where import fate_text, topics_text, where_json, where_markdown, where_text
from kb.sourcemap.match import Match, match
from kb.sourcemap.resolve import ask, matching, resolve
from kb.sourcemap.topics import MapError, SourceMap, Topic
from kb.trees.base import SourceTree
from kb.trees.git import open_git_tree

ENGINES = ("sglang", "vllm", "trtllm")


class Files(SourceTree):
    """A tree in memory: paths, definitions, fates."""

    authority = "git"
    repo = "o/n"
    revision = "0" * 40
    day = "2026-01-01"

    def __init__(
        self, paths: Sequence[str], places: Sequence[Place] = (), fates: dict[str, Fate] | None = None
    ):
        self.paths = tuple(sorted(paths))
        self.places, self.fates = places, fates or {}
        self.asked: list[str] = []

    def definitions(self, names: Sequence[str], under: Sequence[str] = ()) -> list[Place]:
        return [
            p
            for p in self.places
            if p.name in names
            and (not under or any(p.path == u or p.path.startswith(u.rstrip("/") + "/") for u in under))
        ]

    def fate(self, path: str) -> Fate:
        self.asked.append(path)
        return self.fates.get(path, Fate("unknown"))


@pytest.fixture(scope="module")
def sglang():
    return SourceMap("sglang")


REGISTRY = "python/sglang/srt/layers/attention/attention_registry.py"


# data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_the_map_is_whole(engine):
    source_map = SourceMap(engine)
    ids = [i.id for i in (*source_map.topics, *source_map.tasks)]
    assert len(ids) == len(set(ids))
    assert len(source_map.places.topics) >= 55
    for topic, anchors in source_map.places.topics.items():
        for anchor in anchors:
            assert anchor.at, topic
            assert anchor.what, topic
            for glob in anchor.at:
                re.compile(glob_pattern(glob))
                assert not glob.endswith("/"), glob


def test_tasks_have_steps_in_every_engine_that_matters(sglang):
    assert {t.id for t in sglang.tasks} >= {
        "add-attention-backend", "add-model", "add-quantization", "add-flag", "add-test", "add-kernel",
    }  # fmt: skip
    for task in sglang.tasks:
        assert {"sglang", "vllm"} <= task.engines.keys() <= set(ENGINES)
        assert all(step.at for steps in task.engines.values() for step in steps)


def test_a_broken_map_is_one_line(tmp_path):
    with pytest.raises(MapError, match=r"can't read .*topics\.yaml"):
        SourceMap("sglang", tmp_path)
    (tmp_path / "topics.yaml").write_text("topics: [{id: a, name: b}]")
    (tmp_path / "tasks.yaml").write_text("tasks: []")
    (tmp_path / "sglang.yaml").write_text("roots: []\ntopics: {c: []}")
    with pytest.raises(MapError, match=r"topics that topics\.yaml lacks: c"):
        SourceMap("sglang", tmp_path)


# questions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("attention backend registry", "attention-registry"),
        ("where is the scheduler", "scheduler"),
        ("FlashInfer MLA", "flashinfer-mla"),
        ("flashinfer backend", "flashinfer-backend"),
        ("hierarchical cache", "hicache"),
        ("HiCache", "hicache"),
        ("HiRadixCache", "hicache"),
        ("quantisation methods", "quantization"),
        ("add a quantisation method", "add-quantization"),
        ("how do I add a new attention backend", "add-attention-backend"),
        ("add a model", "add-model"),
        ("new server flag", "add-flag"),
        ("moe tuning config", "moe-kernel"),
        ("radix cache", "radix-cache"),
        ("cuda graph", "cuda-graph"),
        ("deepep", "moe-dispatch"),
        ("sgl-kernel", "aot-kernels"),
        ("jit kernels", "jit-kernels"),
        ("eagle3", "eagle"),
        ("server args", "server-args"),
        ("tool call parser", "tool-parsers"),
    ],
)
def test_a_question_finds_its_topic(sglang, question, topic):
    assert match(sglang, question)[0].item.id == topic


@pytest.mark.parametrize(
    "question", ["", "where is the", "zebra crossing", "flux capacitor cooling loop", "?!"]
)
def test_what_no_topic_means_finds_none(sglang, question):
    assert match(sglang, question) == []


# resolution ---------------------------------------------------------------------------------------


def found(source_map, tree, topic):
    return resolve(source_map, tree, Match(source_map.by_id[topic], 1.0))


def test_a_path_that_is_there_is_shown_with_its_names(sglang):
    tree = Files([REGISTRY], [Place("register_attention_backend", REGISTRY, 34)])
    first, second = found(sglang, tree, "attention-registry").anchors
    assert (first.by, first.places[0].path, first.places[0].lines[0].line) == ("path", REGISTRY, 34)
    assert (second.by, second.places) == ("nothing", ())
    assert tree.asked == []  # a topic that is there asks no history


def test_a_file_that_moved_is_found_by_its_names(sglang):
    moved = "python/sglang/elsewhere/reg.py"
    tree = Files([moved], [Place("register_attention_backend", moved, 7)])
    anchor = found(sglang, tree, "attention-registry").anchors[0]
    assert (anchor.by, [p.path for p in anchor.places]) == ("name", [moved])


def test_names_in_tests_move_nothing(sglang):
    test = "python/sglang/test/test_reg.py"
    tree = Files([test], [Place("register_attention_backend", test, 7)])
    assert found(sglang, tree, "attention-registry").anchors[0].by == "nothing"


def test_what_has_neither_path_nor_name_is_followed_through_the_history(sglang):
    tree = Files(["a.py"], fates={REGISTRY: Fate("moved", ("a.py",), "2026-02-02", "Rename (#9)")})
    anchor = found(sglang, tree, "attention-registry").anchors[0]
    assert (anchor.by, anchor.places[0].path, anchor.gone[0][1].subject) == ("history", "a.py", "Rename (#9)")


def test_a_glob_meets_folders_and_files_in_its_order():
    tree = Files(["k/b/x.cu", "k/b/y.cu", "k/a.py"])
    assert matching(tree, ["k/b", "k/*.py", "k/**/*.cu", "k/none", "k/b"]) == [
        "k/b", "k/a.py", "k/b/x.cu", "k/b/y.cu",
    ]  # fmt: skip


def test_a_path_is_answered_as_a_path_with_its_topic(sglang):
    tree = Files([REGISTRY])
    answer = ask(sglang, tree, REGISTRY)
    assert answer.path[1].path == REGISTRY
    assert [t.item.id for t in answer.topics] == ["attention-registry"]
    gone = ask(sglang, Files(["x.py"]), REGISTRY)
    assert gone.path[1] is None
    assert gone.path[2].kind == "unknown"


def test_a_name_and_the_words_of_a_path_are_last(sglang):
    tree = Files(
        ["python/sglang/zebra_lane/crossing.py"],
        [Place("ZebraLane", "python/sglang/zebra_lane/crossing.py", 3)],
    )
    assert ask(sglang, tree, "ZebraLane").names[0].line == 3
    assert ask(sglang, tree, "zebra crossing").files == ("python/sglang/zebra_lane/crossing.py",)
    assert not ask(sglang, tree, "nothing like it").answered


def test_an_engine_without_the_topic_says_so(sglang):
    tree = Files(["vllm/x.py"])
    answer = ask(SourceMap("vllm"), tree, "wave attention kernels")
    assert "no such thing" in where_text(answer)


# reports ------------------------------------------------------------------------------------------


def test_reports_are_inert_and_complete(sglang):
    evil = "python/sglang/srt/layers/attention/attention_registry.py"
    tree = Files([evil], [Place("register_attention_backend", evil, 1)])
    answer = ask(sglang, tree, "attention backend registry")
    assert "attention_registry.py: register_attention_backend:1" in where_text(answer)
    assert f"`{evil}`: `register_attention_backend:1`" in where_markdown(answer)
    data = where_json(answer)
    assert data["answered"] is True
    assert data["topics"][0]["anchors"][0]["places"][0]["names"] == [
        {"name": "register_attention_backend", "path": evil, "line": 1}
    ]


@pytest.mark.parametrize("kind", ["moved", "removed", "older-name", "not-yet", "unknown"])
def test_a_fate_is_one_inert_sentence(kind):
    text = fate_text("a/b\x1b[31m.py", Fate(kind, ("c\n.py",), "2026-01-01", "Evil \x1b[2J (#1)", ("name",)))
    assert "\x1b" not in text
    assert "\n" not in text
    assert text.startswith("a/b [31m.py ")


def test_topics_can_be_listed(sglang):
    assert "attention-registry" in topics_text(sglang)
    assert "add-kernel" in topics_text(sglang)


# a real tree --------------------------------------------------------------------------------------


def test_the_map_in_a_real_tree(repo, sglang):
    repo.commit(
        "x (#1)",
        {REGISTRY: b"ATTENTION_BACKENDS = {}\n\n\ndef register_attention_backend(name):\n    pass\n"},
    )
    repo.commit(
        "y (#2)",
        {
            REGISTRY: None,
            "python/sglang/att/reg.py": b"ATTENTION_BACKENDS = {}\n\n\ndef register_attention_backend(name):\n    pass\n",
        },
    )
    with open_git_tree("sgl-project/sglang", repo.path, "HEAD") as tree:
        text = where_text(ask(sglang, tree, "attention backend registry"))
        assert "python/sglang/att/reg.py: ATTENTION_BACKENDS:1, register_attention_backend:4" in text
        assert "moved to python/sglang/att/reg.py" in where_text(ask(sglang, tree, REGISTRY))
    with open_git_tree("sgl-project/sglang", repo.path, "HEAD~1") as tree:
        assert REGISTRY in where_text(ask(sglang, tree, "attention backend registry"))
        assert "later name" in where_text(ask(sglang, tree, "python/sglang/att/reg.py"))


def test_topics_are_typed(sglang):
    assert isinstance(sglang.by_id["moe"], Topic)
