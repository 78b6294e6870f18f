"""The command line as a user meets it: help, answers, and one line for whatever they got wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import lancedb
import pytest
from bench import small_history

from kb.cards import decode_card
from loop.cli import COMMANDS, cli, main

SGLANG, VLLM = "sgl-project/sglang", "vllm-project/vllm"
NONSENSE = "protein structure prediction with triangle multiplication"


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch, tmp_path):
    for name in [n for n in os.environ if n.startswith("PRLORE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def prlore(capsys):
    """Runs the command line in this process: (exit status, stdout, stderr)."""

    def run(*args: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in args])
        out, err = capsys.readouterr()
        return ended.value.code, out, err

    return run


def process(*args: str | bytes, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Runs it as a process of its own."""
    command = [sys.executable, "-m", "loop", *args]
    return subprocess.run(command, capture_output=True, env={**os.environ, **env}, check=False, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cli")


@pytest.fixture(scope="module")
def history(folder) -> Path:
    return small_history.write(folder / "sglang.git")


@pytest.fixture(scope="module")
def kb(folder, history) -> str:
    """Two histories, read by real processes."""
    uri = str(folder / "kb")
    other = small_history.write(folder / "vllm.git", small_history.OTHER)
    for source, repo in ((history, SGLANG), (other, VLLM)):
        done = process("ingest", "git", str(source), "--repo", repo, "--kb", uri)
        assert (done.returncode, done.stderr) == (0, b"")  # no progress bar in a pipe
    return uri


@pytest.fixture(scope="module")
def questions(folder) -> Path:
    path = folder / "questions.jsonl"
    rows = [
        {
            "id": "1",
            "class": "known",
            "query": "HiRadixCache",
            "filters": {"repo": "sglang"},
            "relevant": {"sglang#102": 2},
        },
        {
            "id": "2",
            "class": "family",
            "query": "Ernie4.5",
            "filters": {"model": "ernie45"},
            "relevant": {"vllm#103": 1},
        },
        {"id": "3", "class": "none", "query": NONSENSE},
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


# help ---------------------------------------------------------------------------------------------


def commands(
    group: click.Group, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


ALL = dict(commands(cli))


def test_these_are_the_commands():
    # each with its options in docs/reference/cli.md, which another test holds against the code
    assert [path[0] for path in ALL if len(path) == 1] == list(COMMANDS)
    for path, command in ALL.items():
        if isinstance(command, click.Group):
            assert [p for p in ALL if p[:-1] == path], path


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_and_option_has_help(prlore, path):
    command = ALL[path]
    assert command.help
    assert all(p.help for p in command.params if isinstance(p, click.Option))
    for option in ("--help", "-h"):
        status, out, err = prlore(*path, option)
        assert (status, err) == (0, "")
        assert out.startswith(f"Usage: prlore {' '.join(path)} ")


def test_the_first_help_lists_every_command_with_its_line(prlore):
    status, out, _ = prlore("--help")
    lines = [line.split(None, 1) for line in out.split("Commands:\n")[1].splitlines() if line.strip()]
    assert status == 0
    assert dict(lines) == {name: text for name, (_, _, text) in COMMANDS.items()}


@pytest.mark.parametrize("args", [[], ["ingest"], ["eval"], ["starter"]])
def test_a_group_alone_shows_its_help(prlore, args):
    status, out, err = prlore(*args)
    assert status in (0, 2)
    assert (out + err).startswith(f"Usage: {' '.join(['prlore', *args])} ")


def test_the_version_is_told(prlore):
    assert prlore("--version")[:2] == (0, "prlore, version 0.1.0\n")


def imported_by(*args: str, env: dict[str, str] | None = None) -> set[str]:
    """Modules that are loaded when a command has run."""
    code = f"import sys\nfrom loop.cli import main\ntry: main({list(args)!r})\nexcept SystemExit: pass\nprint('\\0'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **(env or {})},
    )
    return set(done.stdout.splitlines()[-1].split("\0"))


def test_help_loads_nothing_heavy():
    loaded = imported_by("--help")
    assert not {
        m
        for m in loaded
        if m.split(".")[0] in ("lancedb", "numpy", "pyarrow", "msgspec", "yaml", "kb", "ingest", "tqdm")
    }


@pytest.mark.parametrize(
    "command",
    ["query", "ingest", "show", "status", "families", "family", "where", "doctor", "eval", "starter"],
)
def test_help_of_a_command_loads_no_store(command):
    assert not imported_by(command, "--help") & {"lancedb", "numpy", "pyarrow"}


def test_a_question_loads_no_model_library(kb, tmp_path):
    marker = tmp_path / "loaded"
    for name in ("torch", "sentence_transformers", "transformers", "sglang", "vllm", "tensorrt_llm"):
        (tmp_path / f"{name}.py").write_text(f"open({str(marker)!r}, 'a').write({name!r})\n")
    loaded = imported_by("query", "HiRadixCache", "--kb", kb, "--json", env={"PYTHONPATH": str(tmp_path)})
    assert "lancedb" in loaded
    assert not marker.exists()


# answers ------------------------------------------------------------------------------------------


def test_a_question_is_answered_in_text_and_json(prlore, kb):
    status, out, err = prlore("query", "HiRadixCache", "--kb", kb, "--limit", "2")
    assert (status, err) == (0, "")
    assert out.startswith(f" 1. {SGLANG}#102  2025-01-01  Hierarchical cache that spills to host memory\n")
    status, out, err = prlore("query", "HiRadixCache", "--kb", kb, "--limit", "2", "--json")
    found = json.loads(out)
    assert (status, err, found["query"], found["answered"], len(found["hits"])) == (
        0,
        "",
        "HiRadixCache",
        True,
        2,
    )
    assert found["elapsed_ms"] > 0


def test_a_flag_is_a_question(prlore, kb):
    found = json.loads(prlore("query", "--prefill-attention-backend", "--kb", kb, "--json")[1])
    assert (found["query"], found["hits"][0]["id"]) == ("--prefill-attention-backend", f"{SGLANG}#103")


def test_words_need_no_quotes(prlore, kb):
    found = json.loads(prlore("query", "speed", "up", "eviction", "--kb", kb, "--json")[1])
    assert found["query"] == "speed up eviction"


@pytest.mark.parametrize(
    ("options", "first"),
    [
        (["--repo", "vllm"], f"{VLLM}#103"),
        (["--repo", "sgl-project/sglang", "--kind", "test"], f"{SGLANG}#117"),
        (["--family", "ernie45", "--after", "2025-01-02", "--repo", "sglang"], f"{SGLANG}#18856"),
        (["--path", "test/srt/*"], f"{SGLANG}#117"),
        (["--symbol", "test_two_ranks"], f"{SGLANG}#117"),
        (["--before", "2025-01-01T01:30:00Z", "--repo", "sglang"], f"{SGLANG}#101"),
    ],
)
def test_filters_are_options(prlore, kb, options, first):
    hits = json.loads(prlore("query", "Ernie4.5", *options, "--kb", kb, "--json")[1])["hits"]
    assert hits[0]["id"] == first


def test_what_nothing_fits_is_declined_with_status_0(prlore, kb):
    status, out, _ = prlore("query", NONSENSE, "--kb", kb)
    assert (status, out.startswith("Nothing here answers this (confidence 0.")) == (0, True)
    assert json.loads(prlore("query", NONSENSE, "--kb", kb, "--json")[1])["answered"] is False


def test_a_hostile_title_is_printed_inertly(prlore, kb):
    for args in (["query", "sglang#119"], ["show", "sglang#119"], ["status"], ["families", "ernie45"]):
        status, out, _ = prlore(*args, "--kb", kb)
        assert status == 0
        assert not {c for c in out if (c < " " and c not in "\n\t") or c in "\x7f\u202e"}


def test_a_card_is_shown_as_markdown_and_json(prlore, kb):
    status, out, err = prlore("show", "sglang#103", "--kb", kb)
    assert (status, err) == (0, "")
    assert out.startswith(f"# {SGLANG}#103: Separate attention backends of prefill and decode\n")
    card = decode_card(
        prlore("show", "https://github.com/sgl-project/sglang/pull/103", "--format", "json", "--kb", kb)[1]
    )
    assert (card.id, card.facts.flags_added) == (f"{SGLANG}#103", ("--prefill-attention-backend",))
    assert f"- {SGLANG}#108 reverts this" in prlore("show", "sglang#104", "--kb", kb)[1].splitlines()


def test_a_number_of_one_repository_needs_no_name(prlore, kb):
    assert prlore("show", "114", "--kb", kb)[1].startswith(f"# {SGLANG}#114")


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["status"], {"uri", "schema", "encoder", "repositories", "cards", "chunks", "links", "words", "by_status", "indexed", "created_by", "threads", "descriptions"}),
        (["families", "Ernie4.5"], {"families", "cards", "by_engine", "by_kind", "hot_files", "latest"}),
        (["query", "x"], {"query", "answered", "confidence", "elapsed_ms", "hits", "missing", "unknown_words"}),
    ],
)  # fmt: skip
def test_json_is_one_object(prlore, kb, args, keys):
    status, out, err = prlore(*args, "--kb", kb, "--json")
    assert (status, err, set(json.loads(out))) == (0, "", keys)
    assert out.count("\n") == 1


@pytest.mark.parametrize(
    ("args", "keys"),
    [
        (["families"], {"slug", "name", "cards"}),
        (["families", "--unmatched"], {"repo", "path", "cards"}),
        (["status", "--list", "duplicates"], {"repo", "sha", "number", "subject", "problem"}),
        (["status", "--list", "no-number"], {"repo", "sha", "number", "subject", "problem"}),
        (["status", "--list", "problems"], set()),
    ],
)
def test_json_is_one_list(prlore, kb, args, keys):
    status, out, err = prlore(*args, "--kb", kb, "--json")
    assert (status, err) == (0, "")
    assert all(set(row) == keys for row in json.loads(out))


def test_text_of_the_other_views(prlore, kb):
    assert "23 cards" in prlore("status", "--kb", kb)[1]
    assert "#103" in prlore("status", "--list", "duplicates", "--kb", kb)[1]
    assert prlore("families", "--kb", kb)[1].splitlines()[-1].endswith("without")
    assert prlore("families", "moss-vl", "--kb", kb)[1].startswith("MOSS-VL (moss-vl)\n1 cards: sglang 1\n")
    assert prlore("families", "--unmatched", "--kb", kb)[1].endswith(
        "an entry in data/families.yaml mends each\n"
    )


def test_questions_are_scored(prlore, kb, questions):
    status, out, err = prlore("eval", "retrieval", questions, "--kb", kb, "--json", "--per-query")
    found = json.loads(out)
    assert (status, err, list(found)) == (
        0,
        "",
        ["ranking", "macro", "classes", "none", "latency_ms", "queries"],
    )
    assert list(found["macro"]) == ["n", "recall@5", "recall@10", "mrr@10", "ndcg@10", "interval"]
    assert (list(found["none"]), list(found["latency_ms"])) == (
        ["auroc", "answered_at_95", "interval"],
        ["p50", "p95"],
    )
    assert (found["classes"]["known"]["n"], found["classes"]["known"]["mrr@10"]) == (1, 1.0)
    status, out, _ = prlore("eval", "retrieval", questions, "--kb", kb, "--with-family")
    assert status == 0
    assert all(name in out for name in ("class", "R@5", "R@10", "MRR@10", "nDCG@10"))


def test_an_ingest_reports_in_text_and_json(prlore, history, tmp_path):
    args = ["ingest", "git", history, "--repo", SGLANG, "--kb", tmp_path / "kb", "--workers", "1"]
    status, out, _ = prlore(*args, "--limit", "3", "--json")
    found = json.loads(out)
    assert (status, found["walked"], found["cards"], found["problems"]) == (0, 27, 3, [])
    status, out, _ = prlore(*args, "--since", "2025-01-02")
    assert (status, out.splitlines()[0].split(":")[0]) == (0, SGLANG)
    assert out.splitlines()[-1] == f"knowledge base: {tmp_path / 'kb'}"


def test_the_embedded_cards_are_a_knowledge_base_of_their_own(prlore, tmp_path):
    status, out, _ = prlore("ingest", "starter", "--json")
    found = json.loads(out)
    assert (status, found["joined"], found["held"], found["kb"]) == (
        0,
        0,
        0,
        str(tmp_path / "data" / "prlore" / "kb"),
    )
    assert found["added"] >= 60
    for question, family in (
        ("Moss-VL flashinfer prefill", "moss-vl"),
        ("Ernie4.5 cos/sin cache", "ernie45"),
    ):
        answer = json.loads(prlore("query", question, "--json")[1])
        assert answer["answered"], question
        assert family in answer["hits"][0]["families"]
        assert answer["hits"][0]["status"] == "reviewed"
    assert "Nothing here answers this" in prlore("query", NONSENSE)[1]
    assert prlore("ingest", "starter")[1].startswith(
        "0 embedded cards added, 0 joined to cards of a history, "
    )


def test_a_history_is_read_from_an_address_too(prlore, history, tmp_path):
    args = [
        "ingest",
        "git",
        f"file://{history}",
        "--repo",
        SGLANG,
        "--limit",
        "2",
        "--workers",
        "1",
        "--json",
    ]
    for cards in (2, 2):  # the second time the mirror is there
        status, out, err = prlore(*args, "--kb", tmp_path / f"kb{len(list(tmp_path.iterdir()))}")
        assert (status, json.loads(out)["cards"], err) == (0, cards, f"fetching file://{history}\n")


def test_the_knowledge_base_is_named_by_the_environment(kb):
    done = process("status", "--json", PRLORE_KB=kb)
    assert (done.returncode, json.loads(done.stdout)["uri"]) == (0, kb)


def test_the_embedded_cards_pass_their_gate(prlore):
    assert prlore("starter", "check") == (0, "all embedded cards pass\n", "")


def test_the_doctor_looks_at_what_is_used(kb, tmp_path):
    (tmp_path / "git").symlink_to(shutil.which("git"))
    done = process("doctor", "--kb", kb, "--json", PATH=str(tmp_path), GITHUB_TOKEN="", GH_TOKEN="")
    checks = {c["name"]: c["state"] for c in json.loads(done.stdout)}
    assert (done.returncode, done.stderr) == (0, b"")
    assert {
        n: checks[n] for n in ("python", "git", "lancedb", "packages", "data", "knowledge base")
    } == dict.fromkeys(("python", "git", "lancedb", "packages", "data", "knowledge base"), "ok")
    assert (checks["GitHub token"], checks["GPU"]) == ("optional", "optional")


def test_the_doctor_says_what_is_missing_with_status_1(tmp_path):
    done = process("doctor", "--kb", str(tmp_path / "none"), PATH=str(tmp_path))
    lines = {line[10:25].strip(): line for line in done.stdout.decode().splitlines()}
    assert (done.returncode, done.stderr) == (1, b"")
    assert lines["git"].split() == "missing git not on PATH -> sudo apt-get install git".split()
    assert lines["knowledge base"].split()[:3] == ["missing", "knowledge", "base"]
    assert "prlore ingest starter --kb" in lines["knowledge base"]


# what a user gets wrong ---------------------------------------------------------------------------


def one_line(result: tuple[int, str, str]) -> str:
    """The only line of a refusal."""
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.endswith("\n")
    (line,) = err[:-1].split("\n")
    assert line.startswith("prlore: ")
    return line


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["query", "x", "--family", "qwenn3"], "no family named 'qwenn3'; nearest: "),
        (["query", "x", "--repo", "tgi"], "no repository named 'tgi': write owner/name, or one of sglang, vllm, trtllm"),
        (["query", "x", "--after", "yesterday"], "--after 'yesterday' is no date: write it as 2026-01-31 or 2026-01-31T12:00:00Z"),
        (["query", "x", "--before", "2026-02-30"], "--before '2026-02-30' is no date"),
        (["query", "x", "--after", "9999-12-31T23:59:59-10:00"], "--after '9999-12-31T23:59:59-10:00' is no date"),
        (["query", ""], "the question is empty"),
        (["query", " ", "\t"], "the question is empty"),
        (["query", "x", "--famly", "qwen3"], "no option '--famly': did you mean --family?"),
        (["show", "sglang#999"], "no card for sgl-project/sglang#999 in "),
        (["show", "#103"], f"#103 is a pull request of 2 repositories: say which, {SGLANG}#103 or {VLLM}#103"),
        (["show", "something"], "'something' names no pull request: write sglang#18856, owner/name#N, or its URL"),
        (["families", "qwenn3"], "no family named 'qwenn3'; nearest: "),
        (["families", "--repo", "tgi"], "no repository named 'tgi'"),
    ],
)  # fmt: skip
def test_a_bad_value_is_told_in_one_line(prlore, kb, args, said):
    assert one_line(prlore(*args, "--kb", kb)).startswith(f"prlore: {said}")


@pytest.mark.parametrize(
    "args", [["query", "x"], ["show", "#1"], ["families"], ["status"], ["eval", "retrieval", "QUESTIONS"]]
)
def test_a_missing_knowledge_base_is_told_in_one_line(prlore, tmp_path, questions, args):
    args = [str(questions) if a == "QUESTIONS" else a for a in args]
    assert one_line(prlore(*args, "--kb", tmp_path / "none")).startswith(
        f"prlore: no knowledge base at {tmp_path / 'none'}: "
    )
    assert one_line(prlore(*args)).startswith(
        f"prlore: no knowledge base at {tmp_path / 'data' / 'prlore' / 'kb'}: "
    )
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (
            ["NONE", "--repo", SGLANG],
            "NONE is no git repository: give a clone, a bare repository or an https URL",
        ),
        (["HISTORY", "--repo", "sglang"], "--repo 'sglang' is no repository name: write it as owner/name"),
        (["HISTORY", "--repo", "a/b/c"], "--repo 'a/b/c' is no repository name"),
        (["HISTORY", "--repo", SGLANG, "--rev", "nosuch"], "no commit named 'nosuch' in "),
        (["HISTORY", "--repo", SGLANG, "--rev=--all"], "no commit named '--all' in "),
        (["HISTORY", "--repo", SGLANG, "--rev", ""], "no commit named '' in "),
        (["HISTORY", "--repo", SGLANG, "--since", "soon"], "--since 'soon' is no date"),
        (
            ["HISTORY", "--repo", SGLANG, "--encoder", "no-such-model"],
            "--encoder no-such-model needs sentence-transformers: ",
        ),
        (
            ["ftp://example.invalid/x", "--repo", SGLANG],
            "can't clone 'ftp://example.invalid/x': give an https://",
        ),
        (["ext::sh -c true", "--repo", SGLANG], "can't clone 'ext::sh -c true': give an https://"),
        (["file:///nonexistent/repo", "--repo", SGLANG], "can't read file:///nonexistent/repo: "),
    ],
)
def test_an_ingest_that_can_not_be_is_told_in_one_line(prlore, history, tmp_path, args, said):
    args = [str(history) if a == "HISTORY" else a for a in args]
    status, out, err = prlore("ingest", "git", *args, "--kb", tmp_path / "kb")
    err = "".join(line for line in err.splitlines(keepends=True) if not line.startswith("fetching "))
    assert one_line((status, out, err)).startswith(f"prlore: {said}")
    assert not (tmp_path / "kb").exists()


def test_a_file_or_a_foreign_folder_is_no_knowledge_base(prlore, history, tmp_path):
    (tmp_path / "file").write_text("x")
    lancedb.connect(tmp_path / "foreign").create_table("books", [{"title": "x"}])
    for place in ("file", "foreign"):
        for args in (
            ["ingest", "git", history, "--repo", SGLANG],
            ["ingest", "starter"],
            ["query", "x"],
            ["status"],
        ):
            assert f"{tmp_path / place} is a" in one_line(prlore(*args, "--kb", tmp_path / place))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no questions"),
        (b"nonsense\n", ":1 is no judged question"),
        (b"\xff\n", "can't read"),
        (None, "can't read"),
    ],
)
def test_a_bad_file_of_questions_is_told_in_one_line(prlore, kb, tmp_path, content, said):
    path = tmp_path / "q.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert said in one_line(prlore("eval", "retrieval", path, "--kb", kb))


def test_a_history_that_git_can_not_walk_is_told_in_one_line(prlore, make_repo, tmp_path):
    repo = make_repo("broken")
    first = repo.commit("One (#1)", {"a": b"1\n"})
    repo.commit("Two (#2)", {"a": b"2\n"})
    repo.object_file(first).unlink()
    said = one_line(prlore("ingest", "git", repo.path, "--repo", "a/b", "--kb", tmp_path / "kb"))
    assert first in said


def test_histories_for_facts_are_checked_before_anything_is_written(prlore, tmp_path):
    assert one_line(prlore("starter", "facts", "--git", "sglang")).startswith(
        "prlore: --git 'sglang' lacks a path"
    )
    assert one_line(prlore("starter", "facts", "--git", f"tgi={tmp_path}")).startswith(
        "prlore: no repository named 'tgi'"
    )
    assert "is no git repository" in one_line(prlore("starter", "facts", "--git", f"sglang={tmp_path}"))


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["qury", "x"], "no command named 'qury'; did you mean 'query'?"),
        (["zzz"], "no command named 'zzz'; `prlore --help` lists them"),
        (["ingest", "gti"], "gti"),
        (["query"], "TEXT"),
        (["query", "x", "--limit", "0"], "--limit"),
        (["query", "x", "--limit", "many"], "--limit"),
        (["query", "x", "--kind", "faster"], "faster"),
        (["ingest", "git", "x"], "--repo"),
        (["status", "--list", "all"], "all"),
        (["show"], "REPO#N"),
        (["status", "--nonsense"], "--nonsense"),
    ],
)
def test_a_wrong_command_line_is_told_in_one_line(prlore, args, said):
    assert said in one_line(prlore(*args))


@pytest.mark.parametrize(
    "args",
    [
        [b"query", b"\xff caf\xc3\xa9"],
        [b"query", b"x", b"--path", b"\xff"],
        [b"query", b"x", b"--symbol", b"\xff'"],
        [b"show", b"\xff"],
        [b"families", b"\xff"],
    ],
)
@pytest.mark.parametrize("json_too", [False, True])
def test_bytes_that_are_no_text_end_in_an_answer_or_one_line(kb, args, json_too):
    done = process(*args, b"--kb", kb.encode(), *([b"--json"] if json_too and args[0] != b"show" else []))
    assert b"Traceback" not in done.stderr
    assert done.returncode in (0, 2)
    assert done.stderr.count(b"\n") == (1 if done.returncode else 0)


# processes ----------------------------------------------------------------------------------------


def test_the_command_is_installed(kb):
    done = subprocess.run(
        [Path(sys.executable).with_name("prlore"), "query", "#114", "--kb", kb],
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(f" 1. {SGLANG}#114".encode())


def test_a_reader_that_goes_away_is_no_error(kb):
    command = f"{sys.executable} -m loop families --kb {kb} --json | head -c 1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, check=False, timeout=300)
    assert (done.stdout, done.stderr) in ((b"[141\n", b""), (b"[0\n", b""))


def test_an_ingest_that_is_interrupted_says_so_in_one_line_and_can_go_on(tmp_path):
    history = small_history.write(tmp_path / "long.git", fillers=1500)
    args = ["ingest", "git", str(history), "--repo", SGLANG, "--kb", str(tmp_path / "kb")]
    command = [sys.executable, "-m", "loop", *args]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    while not list(tmp_path.glob("kb/chunks.lance/data/*")) and running.poll() is None:
        time.sleep(0.02)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, err = running.communicate(timeout=300)
    assert (running.returncode, out, err.strip()) == (130, b"", b"prlore: interrupted")
    done = process(*args, "--json")
    assert (done.returncode, json.loads(done.stdout)["walked"]) == (0, 1527)


def test_two_ingests_at_once_are_one_and_a_refusal(tmp_path):
    history = small_history.write(tmp_path / "long.git", fillers=1500)
    command = [
        sys.executable,
        "-m",
        "loop",
        "ingest",
        "git",
        str(history),
        "--repo",
        SGLANG,
        "--kb",
        str(tmp_path / "kb"),
    ]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(2)]
    ends = sorted((p.returncode, err) for p in both for _, err in [p.communicate(timeout=300)])
    assert ends == [
        (0, b""),
        (2, f"prlore: another prlore is writing to {tmp_path / 'kb'}: wait for it to end\n".encode()),
    ]
