"""Family manuals: which cards are about a family, where its files are, what is worth capturing, and the skill folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml
from conftest import GitRepo

from ingest.git import open_repository
from kb.build import Options, build
from kb.cards import Card, CardFile, Claim
from kb.families import Families, Family, FamilyError
from kb.manuals.evidence import FamilyCard, gather, is_own, weigh
from kb.manuals.manual import Manual, held_evidence, write_manual
from kb.manuals.signals import _message
from kb.manuals.themes import group, load_themes, theme_of
from kb.reports.manuals import manual_json, manual_markdown
from kb.reports.skills import BODY_LIMIT, SkillError, check_skill, skill_files, skill_name, write_skill
from kb.starter_build import add_starter
from kb.store import Store
from kb.trees.cards import CardTree
from kb.trees.git import open_git_tree
from loop.cli import main

REPO, OTHER = "sgl-project/sglang", "vllm-project/vllm"
S = "python/sglang/srt"
MODEL, PROCESSOR = f"{S}/models/moss_vl.py", f"{S}/multimodal/processors/moss_vl.py"

_MODEL = '''class MossVLVisionModel:
    def forward(self, item):
        return item.visible_frame_counts


class MossVLForConditionalGeneration:
    """The model."""

    def load_weights(self, weights):
        if self.visible_frame_counts is None:
            raise ValueError("visible frame counts are missing for this request")
'''
_PROCESSOR = """class MossVLImageProcessor:
    def process(self, item):
        item["visible_frame_counts"] = count(item)
        item["grid_thw"] = grid(item)
"""
_ARGS = """def check(args):
    if "MossVLForConditionalGeneration" in args.architectures:
        assert args.prefill == "flashinfer", (
            "MossVLForConditionalGeneration requires flashinfer "
            "for prefill"
        )
"""
_SHARED = "class Scheduler:\n    def run(self):\n        return 1\n"


def history(repo: GitRepo) -> Path:
    """A family that is introduced, moved in part, swept over, reverted; and a change that only touches shared code."""
    repo.commit(
        "Start (#1)", {f"{S}/managers/scheduler.py": _SHARED.encode(), f"{S}/models/base.py": b"X = 1\n"}
    )
    repo.commit(
        "[Model] Support Moss-VL (#10)",
        {MODEL: _MODEL.encode(), PROCESSOR: _PROCESSOR.encode(), f"{S}/server_args.py": _ARGS.encode(),
         f"{S}/layers/moss_vl_rope.py": b"def moss_rotate(x):\n    return x\n"},
    )  # fmt: skip
    repo.commit(
        "Moss-VL: rotary kernel in its own folder (#11)",
        {f"{S}/layers/moss_vl_rope.py": None, f"{S}/layers/rotary/moss_vl_rope.py": b"def moss_rotate(x):\n    return x\n",
         "test/registered/test_moss_vl.py": b'def test_it(launch):\n    launch("--prefill-attention-backend", "flashinfer")\n'},
    )  # fmt: skip
    repo.commit(
        "Scheduler runs twice (#12)", {f"{S}/managers/scheduler.py": _SHARED.replace("1", "2").encode()}
    )
    sweep: dict[str | bytes, bytes | None] = {
        f"{S}/models/model_{i}.py": f"Y = {i}\n".encode() for i in range(30)
    }
    repo.commit(
        "Rename config access everywhere (#13)",
        {**sweep, MODEL: _MODEL.replace("item)", "item, config)").encode()},
    )
    repo.commit(
        "Moss-VL: faster tower <b>x</b> (#14)",
        {MODEL: _MODEL.replace("return item", "return 2 * item").encode()},
    )
    repo.commit('Revert "Moss-VL: faster tower <b>x</b> (#14)" (#15)', {MODEL: _MODEL.encode()})
    repo.commit("Drop the Moss-VL rotary (#16)", {f"{S}/layers/rotary/moss_vl_rope.py": None})
    return repo.path


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Path:
    return history(GitRepo(tmp_path_factory.mktemp("manuals") / "clone"))


@pytest.fixture(scope="module")
def kb(clone) -> str:
    uri = str(clone.parent / "kb")
    with open_repository(clone) as repository, Store.create(uri, {"created_by": "tests"}) as store:
        build(store, repository, Options(REPO, workers=1, encoder="none"), lambda done, total: None)
    return uri


@pytest.fixture(scope="module")
def manual(kb, clone) -> Manual:
    store = Store.open(kb)
    with open_git_tree(REPO, clone, "HEAD") as tree:
        return write_manual(store, held_evidence(store, "moss-vl", "sglang"), tree)


@pytest.fixture(scope="module")
def text(manual) -> str:
    return manual_markdown(manual)


@pytest.fixture(autouse=True)
def _a_state_folder_of_its_own(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.startswith("PRLORE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


# evidence -----------------------------------------------------------------------------------------

FAMILY = Family(
    slug="moss", name="Moss", aliases=("moss-vl",), paths=("**/*moss_vl*",), shared=("**/models/qwen3_vl.py",)
)
TABLE = Families((FAMILY,), "x")


def card(number: int, title: str, *paths: str, lines: int = 10, **more: object) -> Card:
    files = tuple(
        CardFile(
            path=p, group="test" if "test" in p else "runtime", status="modified", added=lines, removed=0
        )
        for p in paths
    )
    known: dict[str, object] = {
        "kind": "feature",
        "status": "extracted",
        "origin": "git",
        "merged_at": f"2026-01-{number:02}T00:00:00Z",
    }
    return Card(id=f"{REPO}#{number}", title=title, files=files, **{**known, **more})


def test_a_card_is_about_a_family_by_its_title_or_an_own_file():
    assert weigh(card(1, "Moss-VL", "a.py"), [FAMILY], TABLE).named
    assert [f.path for f in weigh(card(2, "x", "m/moss_vl.py", "b.py"), [FAMILY], TABLE).own] == [
        "m/moss_vl.py"
    ]
    assert weigh(card(3, "x", "m/models/qwen3_vl.py"), [FAMILY], TABLE) is None


def weight(*args: object, **more: object) -> float:
    return weigh(card(*args, **more), [FAMILY], TABLE).weight


def test_weight_follows_own_lines_names_prose_and_kind():
    own = weight(1, "x", "moss_vl.py")
    assert weight(1, "x", "moss_vl.py", lines=300) > own
    assert weight(1, "Moss-VL x", "moss_vl.py") > own
    assert weight(1, "x", "moss_vl.py", status="reviewed") > own
    assert weight(1, "x", "moss_vl.py", kind="docs") < own
    assert weight(1, "x", "moss_vl.py", *(f"m/o{i}.py" for i in range(4))) < own
    assert weight(1, "x", "moss_vl.py", *(f"m/o{i}.py" for i in range(200))) < 0.3


def test_own_paths_meet_the_globs_without_regard_to_case():
    assert is_own([FAMILY], "A/MOSS_VL.py")
    assert not is_own([FAMILY], "a/moss.py")
    assert not is_own([], "a/moss_vl.py")


def test_shared_changes_are_counted_and_left_out(manual):
    assert {c.number for c in manual.evidence.cards} == {10, 11, 13, 14, 15, 16}
    assert manual.evidence.by_weight()[0].number == 10
    assert manual.evidence.by_weight()[-1].number in (13, 16)


def test_a_family_without_cards_says_where_there_are_some(kb):
    store = Store.open(kb)
    with pytest.raises(FamilyError, match="there are cards in sglang: --engine sglang"):
        held_evidence(store, "moss-vl", "vllm")
    with pytest.raises(FamilyError, match="no family named"):
        held_evidence(store, "mosss-vvl-x", "sglang")


# themes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("title", "path", "theme"),
    [
        ("Fused rotary embedding", "m/rotary.py", "Rotary and position embedding"),
        ("Support MTP", "m/x.py", "Speculative decoding and MTP"),
        ("NVFP4 for the gate", "m/x.py", "Quantization"),
        ("DeepEP dispatch", "m/x.py", "Experts and routing"),
        ("Faster vision tower", "m/x.py", "Images, video and the vision tower"),
        ("FlashInfer MLA prefill", "m/x.py", "Attention"),
        ("Tool call parser", "m/x.py", "Parsers, templates and the API"),
        ("Fix weight loading", "m/x.py", "Loading, configuration and the model file"),
        ("Precision of things", "m/x.py", "Other changes"),
    ],
)
def test_a_title_finds_its_theme(title, path, theme):
    item = card(1, title, path)
    assert theme_of(FamilyCard(item, (), True, 1.0)) == theme


def test_tests_and_documents_are_groups_of_their_own_and_come_last():
    cards = [
        FamilyCard(card(1, "MTP", "a.py", kind="test"), (), True, 9.0),
        FamilyCard(card(2, "MTP", "a.py", kind="docs"), (), True, 9.0),
        FamilyCard(card(3, "MTP", "a.py"), (), True, 1.0),
    ]
    names = [g.name for g in group(cards)]
    assert names[0] == "Speculative decoding and MTP"
    assert set(names[1:]) == {"Tests", "Documentation and recipes"}


def test_prose_that_tells_of_another_theme_is_named_there():
    told = "The rotary table, rope cache, mrope order and rotary axes change."
    cards = [
        FamilyCard(card(1, "Rotary kernel", "a.py"), (), True, 2.0),
        FamilyCard(
            card(
                2,
                "Add the vision model",
                "b.py",
                status="reviewed",
                claims=(Claim(field="implementation", text=told),),
            ),
            (),
            True,
            9.0,
        ),
    ]
    rotary = next(g for g in group(cards) if g.name.startswith("Rotary"))
    assert [c.number for c in rotary.cards] == [1]
    assert [c.number for c in rotary.also] == [2]


def test_the_table_of_themes_is_whole():
    ids = [t.id for t in load_themes()]
    assert len(ids) == len(set(ids)) >= 12


# places and signals -------------------------------------------------------------------------------


def test_files_and_symbols_are_those_of_the_tree(manual):
    places = manual.places
    assert [f.path for f in places.runtime] == [MODEL, PROCESSOR]
    assert {(s.name, s.line) for s in places.runtime[0].symbols} >= {
        ("MossVLVisionModel", 1),
        ("MossVLForConditionalGeneration", 6),
    }
    assert [f.path for f in places.tests] == ["test/registered/test_moss_vl.py"]


def test_a_path_that_vanished_says_so_and_an_older_name_counts_with_it(manual):
    assert [g.path for g in manual.places.gone] == [f"{S}/layers/rotary/moss_vl_rope.py"]
    gone = manual.places.gone[0]
    assert (gone.fate.kind, gone.fate.subject) == ("removed", "Drop the Moss-VL rotary (#16)")
    assert gone.changes == 3


def test_a_path_that_moved_after_the_cards_says_where_it_went(kb, clone):
    store = Store.open(kb)
    evidence = held_evidence(store, "moss-vl", "sglang")
    with open_git_tree(
        REPO, clone, "HEAD~5"
    ) as tree:  # before the sweep, the rotary stands in its second place
        found = write_manual(store, evidence, tree).places
        assert f"{S}/layers/rotary/moss_vl_rope.py" in [f.path for f in found.runtime]
        moved = next(f for f in found.runtime if f.path.endswith("moss_vl_rope.py"))
        assert moved.was == (f"{S}/layers/moss_vl_rope.py",)


def test_data_handed_between_files_and_checks_that_stop_a_run(manual):
    handed = {h.name: h for h in manual.signals.handed}
    assert set(handed["visible_frame_counts"].files) >= {MODEL, PROCESSOR}
    assert handed["visible_frame_counts"].left == 3
    assert "load_weights" not in handed
    stops = {s.message: s for s in manual.signals.stops}
    assert (
        stops["MossVLForConditionalGeneration requires flashinfer for prefill"].path == f"{S}/server_args.py"
    )
    assert "visible frame counts are missing for this request" in stops


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['+    raise ValueError("one two")'], "one two"),
        (
            [
                "+    assert x, (",
                '+        f"one {a} "',
                '+        "two"',
                "+    )",
                '+    log("three four")',
            ],
            "one {a} two",
        ),
        (["+    raise KeyError(name)", '+    y = "a b"'], ""),
        (["+    assert x == 'cuda'"], ""),
    ],
)
def test_a_message_is_joined_as_python_joins_it(lines, message):
    assert _message(lines) == message


# the whole ----------------------------------------------------------------------------------------


def test_every_part_is_there_and_every_line_names_its_pull_request(text):
    for title in ("Timeline", "Source paths and symbols now", "Pull requests by theme", "What to capture when debugging",
                  "Validation lanes", "Risks", "Open questions", "The same family in other engines"):  # fmt: skip
        assert f"\n## {title}\n" in text
    assert "sglang#15 reverts sglang\\#14" in text
    assert "sglang\\#14 was reverted by sglang\\#15; no card says that it came back" in text
    assert "`--prefill-attention-backend`" in text
    assert "no card of vllm is about the family" in text


def test_titles_of_strangers_are_inert(text):
    assert "<b>" not in text
    assert "\\<b\\>x\\</b\\>" in text


def test_the_sweep_is_in_passing(text):
    assert "In passing, with little of the family's own code: sglang#13" in text
    assert (
        "Rename config access everywhere"
        not in text.split("## Pull requests by theme")[1].split("In passing")[0]
    )


def test_json_holds_the_same(manual):
    data = json.loads(json.dumps(manual_json(manual)))
    assert data["engine"] == "sglang"
    assert data["cards"] == 6
    assert data["paths"]["gone"][0]["fate"]["kind"] == "removed"
    assert {p["id"] for g in data["themes"] for p in g["pull_requests"]} == {
        f"{REPO}#{n}" for n in (10, 11, 13, 14, 15, 16)
    }


def test_without_a_clone_the_cards_tell_and_no_line_is_made_up(kb):
    store = Store.open(kb)
    manual = write_manual(store, held_evidence(store, "moss-vl", "sglang"), CardTree(store, REPO))
    text = manual_markdown(manual)
    assert "no checkout was read" in text
    assert "`MossVLVisionModel`" in text
    assert "MossVLVisionModel:" not in text
    assert all(h.left is None for h in manual.signals.handed)


def test_prose_joins_and_paths_it_names_that_are_gone_say_so(tmp_path):
    with Store.create(str(tmp_path / "kb"), {"created_by": "tests"}) as store:
        add_starter(store)
    store = Store.open(str(tmp_path / "kb"))
    evidence = held_evidence(store, "ernie45", "sglang")
    text = manual_markdown(write_manual(store, evidence, CardTree(store, REPO)))
    for route, number in (
        ("Original text route", 15679),
        ("fused Triton route", 18856),
        ("cached cos/sin route", 19743),
    ):
        assert route in text
        assert f"sglang#{number}" in text
    assert "embedded cards only" in text
    moss = manual_markdown(
        write_manual(store, held_evidence(store, "moss-vl", "sglang"), CardTree(store, REPO))
    )
    for name in ("grid_thw", "media_nums_per_sample", "visible_frame_counts", "vision_position_ids"):
        assert f"`{name}`" in moss
    assert "another decode backend" in moss


def test_a_family_the_store_was_not_tagged_with_has_no_cards(kb):
    assert gather(Store.open(kb), Families((FAMILY,), "y"), ["moss"], REPO).cards == ()


# the skill ----------------------------------------------------------------------------------------


def test_the_skill_folder_is_what_agents_install(manual, tmp_path):
    folder = write_skill(manual, tmp_path)
    assert folder.name == skill_name(manual) == "sglang-moss-vl"
    raw = (folder / "SKILL.md").read_text("utf-8")
    front = yaml.safe_load(raw.split("---\n")[1])
    assert set(front) == {"name", "description"}
    assert front["name"] == folder.name
    assert "Use when" in front["description"]
    assert len(raw.split("---\n", 2)[2].splitlines()) < BODY_LIMIT
    history = (folder / "references" / "pr-history.md").read_text("utf-8")
    assert all(f"pull/{n})" in history for n in (10, 11, 13, 14, 15, 16))
    write_skill(manual, tmp_path)  # again, over itself


GOOD = {
    "SKILL.md": "---\nname: a-b\ndescription: Does x. Use when y.\n---\n\n# A\n[h](references/h.md)\n",
    "references/h.md": "",
}


@pytest.mark.parametrize(
    ("change", "folder", "why"),
    [
        (lambda t: t, "a-c", "stands in the folder"),
        (lambda t: t.replace("a-b", "A-b"), "A-b", "no skill name"),
        (lambda t: t.replace("a-b", "a--b"), "a--b", "no skill name"),
        (lambda t: t.replace("a-b", "a" * 65), "a" * 65, "no skill name"),
        (lambda t: t.replace("Does x. Use when y.", "x" * 1025), "a-b", "1025 characters"),
        (lambda t: t.replace("Does x. Use when y.", "''"), "a-b", "0 characters"),
        (lambda t: t.replace("Does x.", "<x>"), "a-b", "markup"),
        (lambda t: t + "x\n" * 500, "a-b", "lines"),
        (lambda t: t.replace("---\n", "", 1), "a-b", "no front matter"),
        (lambda t: t.replace("name: a-b", "name: [a"), "a-b", "no YAML"),
        (lambda t: t.replace("references/h.md", "references/i.md"), "a-b", "links to"),
    ],
)  # fmt: skip
def test_a_skill_that_the_format_does_not_allow_is_refused(change, folder, why):
    check_skill(GOOD, "a-b")
    with pytest.raises(SkillError, match=why):
        check_skill({**GOOD, "SKILL.md": change(GOOD["SKILL.md"])}, folder)


def test_a_long_manual_is_cut_to_the_limit(manual):
    many = tuple(
        FamilyCard(card(1 + n % 28, f"{word} change {n}", f"m/{word}.py"), (), True, 5.0 + n)
        for n in range(400)
        for word in ("MTP", "MoE", "rotary", "vision", "fp8", "flashinfer", "kernel", "LoRA", "AMD", "parser")
    )
    grown = Manual(
        evidence=type(manual.evidence)(manual.evidence.families, REPO, many, 0, "", ""), timeline=many[:400], places=manual.places,
        groups=tuple(group(many)), signals=manual.signals, checks=manual.checks, elsewhere=(),
    )  # fmt: skip
    body = skill_files(grown)["SKILL.md"]
    assert body.count("\n") < BODY_LIMIT + 5
    assert "and more: see references/pr-history.md" in body


# the command --------------------------------------------------------------------------------------


@pytest.fixture
def family(capsys):
    """Runs `prlore family`: (exit status, stdout, stderr)."""

    def run(*args: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["family", *(str(a) for a in args)])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def test_the_command_writes_each_form(family, kb, clone, tmp_path, text):
    assert family("moss-vl", "--kb", kb, "--checkout", clone) == (0, text, "")
    assert json.loads(family("moss-vl", "--kb", kb, "--format", "json")[1])["tree"][
        "revision"
    ]  # the clone is remembered
    assert family("moss-vl", "--kb", kb, "--out", tmp_path)[1].startswith("manual written: ")
    assert (tmp_path / "sglang-moss-vl.md").read_text("utf-8") == text
    assert (
        "skill sglang-moss-vl written"
        in family("moss-vl", "--kb", kb, "--format", "skill", "--out", tmp_path)[1]
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("moss-vl", "--format", "skill"), "needs --out"),
        (("moss-vl", "--engine", "vllm"), "there are cards in sglang"),
        (("no-such-family-at-all",), "no family named"),
        (("moss-vl", "--rev", "nowhere"), "needs a clone"),
    ],
)
def test_what_can_not_be_written_is_one_line(family, kb, args, said):
    status, out, err = family(*args, "--kb", kb)
    assert (status, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
