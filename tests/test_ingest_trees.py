"""The tree of a revision: definitions in it, and the fate of paths that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.errors import RepositoryError
from ingest.trees import Fate, Place, definition_pattern, definitions, fate, read_tree, with_folders

ONE = b"".join(b"def alpha_%d(x):\n    return x * %d\n\n\n" % (i, i) for i in range(8))
TWO = b"".join(b"class Beta%d:\n    name = %d\n\n\n" % (i, i) for i in range(8))
OTHER = b"def unrelated_thing():\n    pass\n"


@pytest.fixture
def history(repo):
    """old/one.py moves twice, pack/ moves as a folder, gone.py is folded into heir.py, late.py comes last."""
    shas = {}
    shas["start"] = repo.commit(
        "Start (#1)",
        {
            "old/one.py": ONE,
            "pack/a.py": TWO,
            "pack/sub/b.py": TWO + b"# b\n",
            "gone.py": b"def keeper_name(a):\n    return a\n\n\ndef second_name(a):\n    return -a\n",
            "heir.py": OTHER,
        },
    )
    shas["moved"] = repo.commit("Move (#2)", {"old/one.py": None, "new/one.py": ONE})
    shas["folder"] = repo.commit(
        "Folder (#3)",
        {
            "new/one.py": None,
            "newer/first.py": ONE + b"# more\n",
            "pack/a.py": None,
            "pack/sub/b.py": None,
            "home/pack/a.py": TWO,
            "home/pack/sub/b.py": TWO + b"# b\n",
        },
    )
    shas["shim"] = repo.commit(
        "Fold (#4)",
        {
            "gone.py": b"from heir import keeper_name\n",
            "heir.py": OTHER
            + b"\n\ndef keeper_name(a):\n    return a + 1\n\n\ndef second_name(a, b):\n    return b\n",
        },
    )
    shas["last"] = repo.commit(
        "Drop (#5)", {"gone.py": None, "late/late.py": b"def unrelated_thing(): ...\n"}
    )
    return repo, shas


def fate_of(history, path, rev="last", tip="last"):
    repo, shas = history
    with repo.open() as repository:
        return fate(read_tree(repository, shas[rev]), path, shas[tip])


def test_a_tree_has_files_and_folders(history):
    repo, shas = history
    with repo.open() as repository:
        tree = read_tree(repository, shas["start"])
        assert tree.paths == ("gone.py", "heir.py", "old/one.py", "pack/a.py", "pack/sub/b.py")
        assert all(tree.has(p) for p in ("old", "pack/sub/", "pack/sub/b.py"))
        assert not any(tree.has(p) for p in ("", "pac", "pack/sub/b", "new"))
        assert tree.committed_at.startswith("2025-01-01")
        assert tree.read("heir.py") == OTHER
        assert tree.read("nothing") == b""


def test_no_such_revision_is_said(history):
    repo, _ = history
    with repo.open() as repository, pytest.raises(RepositoryError, match="no commit named"):
        read_tree(repository, "v9")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("old/one.py", Fate("moved", ("newer/first.py",), "2025-01-01", "Move (#2)")),
        ("new/one.py", Fate("moved", ("newer/first.py",), "2025-01-01", "Folder (#3)")),
        ("pack", Fate("moved", ("home/pack",), "2025-01-01", "Folder (#3)")),
        ("pack/sub/", Fate("moved", ("home/pack/sub",), "2025-01-01", "Folder (#3)")),
        ("never/was.py", Fate("unknown")),
        ("", Fate("unknown")),
        ("--exec=x", Fate("unknown")),
        (":(glob)**", Fate("unknown")),
    ],
)
def test_a_path_is_followed_to_where_it_went(history, path, expected):
    assert fate_of(history, path) == expected


def test_what_was_removed_names_the_files_that_took_its_names_even_over_a_shim(history):
    assert fate_of(history, "gone.py") == Fate(
        "removed", ("heir.py",), "2025-01-01", "Drop (#5)", ("keeper_name", "second_name")
    )


def test_a_later_name_is_traced_to_the_older_one(history):
    assert fate_of(history, "newer/first.py", "start") == Fate(
        "older-name", ("old/one.py",), "2025-01-01", "Folder (#3)"
    )
    assert fate_of(history, "home/pack", "start").to == ("pack",)


def test_what_comes_later_names_the_files_that_hold_its_names_now(history):
    assert fate_of(history, "late/late.py", "start") == Fate(
        "not-yet", ("heir.py",), "2025-01-01", "Drop (#5)", ("unrelated_thing",)
    )
    assert fate_of(history, "late/late.py", "start", "start") == Fate("unknown")


def test_definitions_are_found_where_they_stand_and_uses_are_not(repo):
    repo.commit(
        "x (#1)",
        {
            "a.py": b"import wanted\n\nclass Holder:\n    def wanted(self):\n        wanted(1)\n\nLIMIT = 3\n    \n",
            "b/k.cu": b"__global__ void wanted(int* x) {\n}\nvoid other() { wanted(x); }\nvoid wanted(int);\n",
            "c.rs": b"pub(crate) fn x() {}\nfn wanted() {}\nlet LIMIT = wanted();\n",
            "d.bin": b"\0def wanted():\n",
            "e.py": b"def call(wanted=3, LIMIT=2):\n    wanted = 4\n",
        },
    )
    with repo.open() as repository:
        tree = read_tree(repository, "HEAD")
        found = definitions(tree, ["wanted", "LIMIT", "ab", "x y", "-e"])
        assert set(found) == {
            Place("wanted", "a.py", 4),
            Place("LIMIT", "a.py", 7),
            Place("wanted", "b/k.cu", 1),
            Place("wanted", "c.rs", 2),
        }
        assert definitions(tree, ["wanted"], ["b/"]) == [Place("wanted", "b/k.cu", 1)]
        assert definitions(tree, ["nothing_like_it"]) == []
        assert definitions(tree, []) == []


@pytest.mark.parametrize(
    "line",
    [
        "def wanted(", "  async def wanted(self):", "class wanted(Base):", "class wanted:", "struct wanted {",
        "wanted = 3", "wanted: int = 3", "#define wanted = 1", "void wanted(", "static inline int wanted(int a) {",
        "torch::Tensor Space::wanted(", "fn wanted<T>(x: T)",
    ],
)  # fmt: skip
def test_a_line_that_defines(line):
    assert definition_pattern(["wanted"]).match(line)


@pytest.mark.parametrize(
    "line",
    ["wanted(x)", "x = wanted", "import wanted", "class wanted2:", "def unwanted(", "wanted == 3", "struct wanted;", "# def wanted(",
     "void wanted(int a);", "return wanted(x)"],
)  # fmt: skip
def test_a_line_that_does_not(line):
    assert not definition_pattern(["wanted"]).match(line)


@given(
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map("/".join), max_size=6),
)
def test_folders_are_the_heads_of_paths(paths):
    expected = {"/".join(p.split("/")[:n]) for p in paths for n in range(1, len(p.split("/")) + 1)}
    assert with_folders(paths) == expected
