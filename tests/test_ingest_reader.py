"""A small history, from its commits to pull requests, on one worker and on several."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal

import pytest

from ingest.errors import WorkerLost
from ingest.history import CommitIndex, walk
from ingest.reader import Problem, read_pull_requests
from ingest.records import ChangedFile, Facts, Link
from kb.chunks import digest_file

NAME = "sgl-project/sglang"
SCHEDULER = "python/sglang/srt/managers/scheduler.py"
ARGS = "python/sglang/srt/server_args.py"


def build(repo) -> None:
    """Thirty pull requests and some commits without a number."""
    repo.commit("Initial commit", {"README.md": b"# x\n"})
    repo.commit(
        "Add the scheduler (#1)", {SCHEDULER: b"class Scheduler:\n    def step(self):\n        return 1\n"}
    )
    repo.commit(
        "[Feature] Add --tp-size (#2)",
        {ARGS: b'parser.add_argument("--tp-size", type=int)\nx = os.environ["SGLANG_X"]\n'},
    )
    wrong = repo.commit(
        "Faster steps (#3)", {SCHEDULER: b"class Scheduler:\n    def step(self):\n        return 2\n"}
    )
    repo.commit(
        f'Revert "Faster steps (#3)" (#4)\n\nThis reverts commit {wrong}.',
        {SCHEDULER: b"class Scheduler:\n    def step(self):\n        return 1\n"},
    )
    repo.commit("No number here", {"x.txt": b"1\n"})
    repo.commit(
        f"Faster steps again (#5)\n\nThis reapplies commit {wrong[:9]}.",
        {SCHEDULER: b"class Scheduler:\n    def step(self):\n        return 2\n"},
    )
    repo.git("checkout", "--quiet", "-b", "side")
    repo.commit("wip", {"docs/a.md": b"run with --tp-size 2\n"})
    repo.git("checkout", "--quiet", "main")
    repo.merge("Merge pull request #6 from x/side\n\nDocument --tp-size", "side")
    repo.commit("Empty (#7)")
    repo.commit("follow-up to #2: remove the flag (#8)", {ARGS: b"x = 1\n"})
    repo.commit(
        "Binary and odd paths (#9)",
        {"a.bin": b"\0", "d/é \t.py": b"def f():\n    pass\n", b"\xff.txt": b"\xff\n"},
    )
    for i in range(10, 31):
        files = {SCHEDULER: b"class Scheduler:\n    def step(self):\n        return %d\n" % i}
        files |= {f"python/sglang/srt/models/m{i % 5}.py": b"def forward(x):\n    return x * %d\n" % i}
        files |= {f"sgl-kernel/csrc/k{i % 3}.cu": b"__global__ void k(float* x) {\n  x[0] = %d;\n}\n" % i}
        repo.commit(f"[Perf] Step {i} (#{i})", files)


def kill_this_process(file: ChangedFile) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def read(repo, workers: int) -> list:
    with repo.open() as repository:
        commits = walk(repository, "HEAD")
        numbered = [c for c in commits if c.subject.number is not None]
        return list(
            read_pull_requests(repository, NAME, numbered, CommitIndex(commits), digest_file, workers)
        )


@pytest.fixture(scope="module")
def history(tmp_path_factory, scratch):
    build(scratch)
    return scratch


@pytest.fixture(scope="module")
def results(history) -> list:
    return read(history, 1)


def by_number(results: list, number: int):
    return next(r for r in results if r.pull.number == number)


def test_every_numbered_commit_is_read_once_and_in_order(results):
    assert [r.pull.number for r in results] == list(range(1, 31))
    assert {r.pull.diff_state for r in results} == {"complete"}
    assert [r.problems for r in results] == [()] * 30


def test_three_workers_give_what_one_gives(history, results):
    assert read(history, 3) == results


def test_many_batches_come_back_in_order(make_repo):
    repo = make_repo("long")
    stream = []
    for i in range(1, 521):  # 64 commits a batch, six batches under way; some of them heavy
        body = b"def f():\n    return %d\n" % i + b"number = 12345678\n" * (20_000 * (i % 50 == 0))
        message = b"Step (#%d)" % i
        stream.append(
            b"commit refs/heads/main\ncommitter C <c@e> %d +0000\ndata %d\n"
            % (1_735_689_600 + i, len(message))
        )
        stream.append(
            message + b"\nM 100644 inline pkg/m%d.py\ndata %d\n" % (i % 11, len(body)) + body + b"\n"
        )
    repo.git("fast-import", "--quiet", stdin=b"".join(stream))
    one, three = read(repo, 1), read(repo, 3)
    assert [r.pull.number for r in one] == list(range(1, 521))
    assert one == three
    assert {s.change for r in one[11:] for f in r.pull.files for s in f.symbols} == {"changed"}


def test_a_pull_request_is_put_together(results, history):
    pull = by_number(results, 2).pull
    assert (pull.id, pull.repo, pull.title, pull.kind) == (
        f"{NAME}#2",
        NAME,
        "[Feature] Add --tp-size",
        "feature",
    )
    assert (pull.merged_at, pull.added, pull.removed) == ("2025-01-01T02:00:00+00:00", 2, 0)
    assert pull.facts == Facts(flags_added=("--tp-size",), env_added=("SGLANG_X",))
    assert pull.blast_radius == ("server arguments",)
    assert pull.parent == by_number(results, 1).pull.sha
    assert [(f.path, f.group, f.hunks, f.symbol_source) for f in pull.files] == [
        (ARGS, "runtime", (), "tree-sitter")
    ]


def test_links_name_pull_requests_where_the_commit_has_one(results):
    links = {r.pull.number: r.pull.links for r in results if r.pull.links}
    assert links == {
        4: (Link("reverts", f"{NAME}#3"),),
        5: (Link("relands", f"{NAME}#3"),),
        8: (Link("follows", f"{NAME}#2"),),
    }


def test_kinds_come_from_title_and_files(results):
    kinds = {r.pull.number: r.pull.kind for r in results}
    assert [kinds[n] for n in (1, 3, 4, 6, 8, 10)] == [
        "feature",
        "perf",
        "revert",
        "docs",
        "refactor",
        "perf",
    ]


def test_a_merge_carries_the_files_of_its_branch(results):
    pull = by_number(results, 6).pull
    assert (pull.title, [f.path for f in pull.files]) == ("Document --tp-size", ["docs/a.md"])
    assert pull.facts == Facts(flags_used=("--tp-size",))


def test_an_empty_pull_request_has_no_file(results):
    assert (by_number(results, 7).pull.files, by_number(results, 7).digests) == ((), ())


def test_removed_names_are_facts(results):
    facts = Facts(flags_removed=("--tp-size",), env_removed=("SGLANG_X",))
    assert by_number(results, 8).pull.facts == facts


def test_each_file_has_its_own_digest(results):
    for result in results:
        assert len(result.digests) == len(result.pull.files)
    result = by_number(results, 30)
    assert [(f.path, [s.name for s in f.symbols]) for f in result.pull.files] == [
        ("python/sglang/srt/managers/scheduler.py", ["Scheduler.step"]),
        ("python/sglang/srt/models/m0.py", ["forward"]),
        ("sgl-kernel/csrc/k0.cu", ["k"]),
    ]
    changed = [
        [line for line in d.chunks[0].text.splitlines() if line.startswith("+")] for d in result.digests
    ]
    assert changed == [["+        return 30"], ["+    return x * 30"], ["+  x[0] = 30;"]]
    assert [d.windows[0].text.split("\n")[-1][:1] for d in result.digests] == ["+", "+", " "]


def test_odd_files_are_carried_along(results):
    files = by_number(results, 9).pull.files
    assert [(f.path, f.entry.added, [s.name for s in f.symbols]) for f in files] == [
        ("a.bin", None, []),
        ("d/é \t.py", 2, ["f"]),
        ("\ufffd.txt", 1, []),
    ]


def test_a_missing_object_costs_one_pull_request_its_diff(make_repo):
    repo = make_repo()
    build(repo)
    sha = repo.git("log", "--format=%H", "--grep=Step 20 ").decode().strip()
    repo.object_file(repo.blob(f"{sha}:sgl-kernel/csrc/k2.cu")).unlink()
    results = read(repo, 2)
    # the next version of the same file needs the lost one as well
    lost = {20: sha, 23: repo.git("log", "--format=%H", "--grep=Step 23 ").decode().strip()}
    assert [r.pull.number for r in results] == list(range(1, 31))
    assert {r.pull.number for r in results if r.pull.diff_state == "missing"} == set(lost)
    for number, name in lost.items():
        result = by_number(results, number)
        (problem,) = result.problems
        assert (problem.number, problem.sha) == (number, name)
        assert len(result.pull.files) == len(result.digests) == 3
        assert (result.pull.facts, {f.symbol_source for f in result.pull.files}) == (Facts(), {"none"})
    assert all(isinstance(p, Problem) for r in results for p in r.problems)


def test_a_reader_that_is_closed_early_leaves_no_process(history):
    with history.open() as repository:
        commits = walk(repository, "HEAD")
        numbered = [c for c in commits if c.subject.number is not None]
        reader = read_pull_requests(repository, NAME, numbered, CommitIndex(commits), digest_file, 2)
        assert next(reader).pull.number == 1
        reader.close()
        del reader
        gc.collect()
    assert multiprocessing.active_children() == []


def test_a_worker_that_is_killed_is_one_line(history):
    with history.open() as repository:
        commits = walk(repository, "HEAD")
        numbered = [c for c in commits if c.subject.number is not None]
        reads = read_pull_requests(repository, NAME, numbered, CommitIndex(commits), kill_this_process, 1)
        with pytest.raises(WorkerLost, match="run the same command again") as caught:
            next(reads)
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


def test_no_pull_request_is_read_from_no_commit(history):
    with history.open() as repository:
        assert list(read_pull_requests(repository, NAME, [], CommitIndex([]), digest_file, 1)) == []
