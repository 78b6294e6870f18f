"""What a commit message says about pull requests."""

from __future__ import annotations

import pytest
from growth import is_linear
from hypothesis import given
from hypothesis import strategies as st

from ingest.history import CommitIndex, WalkedCommit
from ingest.records import CommitHead, FileGroup
from ingest.subjects import Subject, classify, links_of, parse_subject

SHA = "3f786850e387550fdab836ed7e6dc881de23001b"


def read(subject: str, body: str = "") -> Subject:
    return parse_subject(CommitHead(SHA, (), "2025-01-01T00:00:00+00:00", subject, body))


def links(subject: str, body: str = "") -> list[tuple[str, str]]:
    head = CommitHead(SHA, (), "2025-01-01T00:00:00+00:00", subject, body)
    return [(link.kind, link.target) for link in links_of(head)]


def kind(subject: str, *groups: FileGroup) -> str:
    parsed = read(subject)
    return classify(parsed.title, frozenset(groups or ("runtime", "test")))


def test_a_squash_subject_ends_with_the_number():
    assert read("Fix the scheduler (#123)") == Subject(123, "Fix the scheduler", ())


@pytest.mark.parametrize(
    ("subject", "number", "title"),
    [
        ("Fix it (#123).", 123, "Fix it"),
        ("Fix it(#123)", 123, "Fix it"),
        ("Fix it (#123) ", 123, "Fix it"),
        ("修复调度器（#123）", 123, "修复调度器"),
        ("修复调度器 （#123）。", 123, "修复调度器"),
        ("Fix it (#123) …", 123, "Fix it"),
        ("(#7)", 7, "(#7)"),
        ("[Bug] Support #11 on (B200) (#12)", 12, "[Bug] Support #11 on (B200)"),
        ("feat: add `--foo` (fixes #99) (#100)", 100, "feat: add `--foo` (fixes #99)"),
    ],
)
def test_the_number_is_taken_off_the_end_of_the_title(subject: str, number: int, title: str):
    parsed = read(subject)
    assert (parsed.number, parsed.title) == (number, title)


@pytest.mark.parametrize(
    "subject",
    [
        "fix #3654",
        "fix issue #3654 and (#12) in the scheduler",
        'Revert "Add radix cache (#1)"',
        "Fix it (# 123)",
        "Fix it (#12345678)",
        "Fix it (123)",
        "Fix it (#12a)",
        "Merge branch 'main' into release",
        "Merge pull request from fork",
        "",
    ],
)
def test_a_subject_without_its_own_number_has_none(subject: str):
    parsed = read(subject)
    assert (parsed.number, parsed.title) == (None, subject)


@pytest.mark.parametrize(
    ("subject", "body", "number", "title"),
    [
        ("Merge pull request #5 from x/y", "Add the router", 5, "Add the router"),
        ("Merge pull request #5 from x/y", "\n\n  Add the router  \n\nlong text", 5, "Add the router"),
        ("Merge pull request #5 from x/y", "", 5, "Merge pull request #5 from x/y"),
        ("Merging PR #12", "Faster sampling", 12, "Faster sampling"),
        ("merge PR #12 into main", "Faster sampling", 12, "Faster sampling"),
        ("Merging PR #12 (#13)", "Faster sampling", 12, "Faster sampling"),
    ],
)
def test_a_merge_subject_names_the_number_and_the_body_the_title(
    subject: str, body: str, number: int, title: str
):
    parsed = read(subject, body)
    assert (parsed.number, parsed.title) == (number, title)


@pytest.mark.parametrize(
    ("subject", "tickets"),
    [
        ("[TRTLLM-123][feat] Add NVFP4 (#456)", ("TRTLLM-123",)),
        ("[None][fix] Fix hang (#456)", ()),
        ("[https://nvbugs/5234][fix] Fix hang (#456)", ("https://nvbugs/5234",)),
        ("[nvbugs/5234] Fix hang (#456)", ("nvbugs/5234",)),
        ("[nvbug/5234][fix] Fix hang (#456)", ("nvbug/5234",)),
        ("[TRTLLM-1] [TRTINFRA-22][infra] Faster CI (#456)", ("TRTLLM-1", "TRTINFRA-22")),
        ("[https://nvbugspro.nvidia.com/bug/5234][fix] Fix hang (#456)", ("https://nvbugspro.nvidia.com/bug/5234",)),
        ("[Kernel][FP8] Add (#456)", ()),
        ("Add [TRTLLM-1] support (#456)", ()),
    ],
)  # fmt: skip
def test_leading_brackets_hold_tickets(subject: str, tickets: tuple[str, ...]):
    parsed = read(subject)
    assert (parsed.number, parsed.tickets) == (456, tickets)


@pytest.mark.parametrize(
    ("subject", "body", "expected"),
    [
        ('Revert "Add radix cache (#1)" (#2)', "", [("reverts", "#1")]),
        ('Revert "Add radix cache (#1)"', "", [("reverts", "#1")]),
        ('[Misc] Revert "Add radix cache (#1)" (#2)', "", [("reverts", "#1")]),
        ("Partial revert of #29558 (DeepEP HT) (#30910)", "", [("reverts", "#29558")]),
        ('Revert "Add radix cache" (#1) (#2)', "", [("reverts", "#1")]),
        ('Revert "Add radix cache" (#2)', "", [("reverts", "title:Add radix cache")]),
        ("[Bugfix] Revert the API change of forward (#2)", "", []),
        ("Undo it (#2)", "Reverts sgl-project/sglang#1", [("reverts", "sgl-project/sglang#1")]),
        ("Undo it (#2)", "This reverts #1.", [("reverts", "#1")]),
        ("Undo it (#2)", f"This reverts commit {SHA}.", [("reverts", f"commit:{SHA}")]),
        ("Undo it (#2)", "this reverts commit 3F78685.", [("reverts", "commit:3f78685")]),
        ("Revert #29787 and #29690 (#29815)", "", [("reverts", "#29787"), ("reverts", "#29690")]),
    ],
)  # fmt: skip
def test_a_revert_names_what_it_reverts(subject: str, body: str, expected: list[tuple[str, str]]):
    assert sorted(links(subject, body)) == sorted(expected)


def test_a_revert_of_a_revert_brings_the_first_one_back():
    subject = 'Revert "Revert "Add radix cache (#1)" (#2)" (#3)'
    assert links(subject) == [("reverts", "#2"), ("relands", "#1")]


def test_a_revert_of_a_revert_without_numbers_brings_the_title_back():
    subject = 'Revert "Revert "Add radix cache"" (#3)'
    assert links(subject) == [
        ("reverts", 'title:Revert "Add radix cache"'),
        ("relands", "title:Add radix cache"),
    ]


def test_a_third_revert_takes_the_first_one_away_again():
    subject = 'Revert "Revert "Revert "Add radix cache (#1)" (#2)" (#3)" (#4)'
    assert sorted(links(subject)) == [("relands", "#2"), ("reverts", "#1"), ("reverts", "#3")]


def test_a_number_that_the_reverted_title_mentions_is_not_reverted():
    title = "[AMD] Fix crash on ROCm (regression from #17934)"
    assert links(f'Revert "{title}" (#18922)') == [("reverts", f"title:{title}")]


def test_a_number_cut_off_by_an_ellipsis_is_no_number():
    assert links('Revert "[Kernels] Skip trtllm attention when num_kv_heads=1 (#308… (#31617)') == []
    assert links('Revert "[Kernels] Skip trtllm attention when num_kv_heads=1 (#308... (#31617)') == []


@pytest.mark.parametrize(
    ("subject", "body", "expected"),
    [
        ('Reland "Add radix cache (#1)" (#3)', "", [("relands", "#1")]),
        ("Re-land #1: rebase-required mode (#3)", "", [("relands", "#1")]),
        ('Reapply "Add radix cache (#1)" (#3)', "", [("relands", "#1")]),
        ("[KV sharing] Re-land Gemma3n model changes from #1 (#3)", "", [("relands", "#1")]),
        ("Add radix cache (#3)", f"This reapplies commit {SHA}.", [("relands", f"commit:{SHA}")]),
        ("Add radix cache (#3)", "Relands #1", [("relands", "#1")]),
        ('Reland "Add radix cache" (#3)', "", [("relands", "title:Add radix cache")]),
        ("Reland: add radix cache (#3)", "", [("relands", "title:add radix cache")]),
        ("[rust-server] Reland: fix stalls (#3)", "", [("relands", "title:fix stalls")]),
        ("Add sanity checks (reland) (#3)", "", [("relands", "title:Add sanity checks")]),
    ],
)
def test_a_reland_names_what_it_brings_back(subject: str, body: str, expected: list[tuple[str, str]]):
    assert links(subject, body) == expected


@pytest.mark.parametrize(
    ("subject", "body", "expected"),
    [
        ("Fix nan (#1) (#2)", "", [("cherry-picks", "#1")]),
        ("[Cherry-pick to release/v1] Fix nan (#1) (#2)", "", [("cherry-picks", "#1")]),
        ("Fix nan (#2)", f"(cherry picked from commit {SHA})", [("cherry-picks", f"commit:{SHA}")]),
        ("Fix nan (#2)", f"text\n\n(cherry picked from commit {SHA})\nSigned-off-by: A", [("cherry-picks", f"commit:{SHA}")]),
        ("Fix nan (#2)", f"not (cherry picked from commit {SHA})", []),
    ],
)  # fmt: skip
def test_a_cherry_pick_names_its_source(subject: str, body: str, expected: list[tuple[str, str]]):
    assert links(subject, body) == expected


@pytest.mark.parametrize(
    ("subject", "body", "expected"),
    [
        ("Guard the all-reduce (follow-up to #1) (#2)", "", [("follows", "#1")]),
        ("fix followup #1 (#2)", "", [("follows", "#1")]),
        ("Follow up on #1 post-merge review (#2)", "", [("follows", "#1")]),
        ("Fix nan (#2)", "Follow up of NVIDIA/TensorRT-LLM#1.", [("follows", "NVIDIA/TensorRT-LLM#1")]),
        ("Fix nan (#2)", "This is a follow-up PR to #1", [("follows", "#1")]),
        ("Fix nan (#2)", "follow-up to #2", []),
        ("Fix nan (#2)", "see #1, it follows the style", []),
    ],
)
def test_a_follow_up_names_what_it_follows(subject: str, body: str, expected: list[tuple[str, str]]):
    assert links(subject, body) == expected


@pytest.mark.parametrize(
    ("subject", "expected"),
    [
        ('Revert "Add radix cache (#1)" (#2)', "revert"),
        ("[Perf] Fuse RMSNorm and quantization (#2)", "perf"),
        ("perf(moe): add configs for H20 (#2)", "perf"),
        ("Optimize the scheduler loop (#2)", "perf"),
        ("[Bugfix] Fix hang in the scheduler (#2)", "fix"),
        ("fix: crash at shutdown (#2)", "fix"),
        ("[None][fix] Wrong shape (#2)", "fix"),
        ("[https://nvbugs/5234][fix] Wrong shape (#2)", "fix"),
        ("[TRTLLM-1][feat] Add NVFP4 (#2)", "feature"),
        ("feat: add overlap of communication (#2)", "perf"),
        ("[Feature] Support LoRA hot loading (#2)", "feature"),
        ("[Model] Add Qwen3-Next model (#2)", "model"),
        ("Support the DeepSeek V4 model (#2)", "model"),
        ("[Refactor] Split the scheduler (#2)", "refactor"),
        ("[None][chore] Bump version (#2)", "refactor"),
        ("Clean up imports (#2)", "refactor"),
        ("[CI] Move jobs (#2)", "refactor"),
        ("Bump version to 1.2 (#2)", "other"),
    ],
)
def test_the_title_tells_the_kind(subject: str, expected: str):
    assert kind(subject) == expected


@pytest.mark.parametrize(
    ("group", "expected"), [("docs", "docs"), ("test", "test"), ("ci", "ci"), ("build", "build")]
)
def test_files_of_one_sort_tell_the_kind_whatever_the_title_says(group: FileGroup, expected: str):
    assert kind("[Bugfix] Fix it (#2)", group) == expected
    assert kind("[Bugfix] Fix it (#2)", group, "runtime") == "fix"


def resolved(*commits: tuple[str, str, str]) -> dict[int, list[str]]:
    """Targets by number, of a history of (sha, subject, body)."""
    walked = []
    for sha, subject, body in commits:
        head = CommitHead(sha, (), "2025-01-01T00:00:00+00:00", subject, body)
        walked.append(WalkedCommit(head, parse_subject(head)))
    index = CommitIndex(walked)
    found = {c.subject.number: [link.target for link in index.resolve_all("o/n", c)] for c in walked}
    return {number: targets for number, targets in found.items() if number and targets}


A, B, C = "a" * 40, "b" * 40, "c" * 40


@pytest.mark.parametrize(
    ("name", "expected"),
    [(A, "o/n#1"), ("aaaaaaa", "o/n#1"), ("aaaaaaaaab", "commit:aaaaaaaaab"), ("bbbbbbb", "commit:bbbbbbb")],
)
def test_a_commit_is_resolved_to_the_number_of_its_pull_request(name: str, expected: str):
    history = [(A, "Add (#1)", ""), (B, "no number", ""), (C, "Undo (#2)", f"This reverts commit {name}.")]
    assert resolved(*history) == {2: [expected]}


def test_a_number_gets_the_name_of_its_repository():
    assert resolved((A, "Fix (follow-up to #7) (#9)", "Follow up of x/y#7")) == {9: ["o/n#7", "x/y#7"]}


def test_a_title_is_resolved_to_its_last_change_before():
    assert resolved(
        (A, "Add it (#1)", ""), (B, "Add it (#2)", ""), (C, 'Revert "Add it" (#3)', ""), ("d" * 40, "Add it (#4)", "")
    ) == {3: ["o/n#2"]}  # fmt: skip
    assert resolved((A, 'Revert "Add it" (#3)', ""), (B, "Add it (#4)", "")) == {}


def test_a_change_named_in_two_ways_is_linked_once():
    body = f"This reverts commit {A}."
    assert resolved((A, "Add it (#1)", ""), (B, 'Revert "Add it (#1)" (#2)', body)) == {2: ["o/n#1"]}
    assert resolved((A, "Add it (#1)", ""), (B, 'Revert "Add it" (#2)', body)) == {2: ["o/n#1"]}


def test_an_abbreviated_commit_is_resolved_only_to_the_one_it_fits():
    one, two = "abcdef1" + "0" * 33, "abcdef1" + "1" * 33
    bodies = (
        "This reverts commit abcdef10.",
        "This reverts commit abcdef11.",
        "This reverts commit abcdef1.",
    )
    undone = [(f"{i}" * 40, f"Undo (#{i})", body) for i, body in enumerate(bodies, 3)]
    assert resolved((one, "Add (#1)", ""), (two, "Add (#2)", ""), *undone) == {
        3: ["o/n#1"],
        4: ["o/n#2"],
        5: ["commit:abcdef1"],
    }


PIECES = st.sampled_from(
    ["#1", "(#12)", "（#3）", "Revert ", '"', "[None]", "[TRTLLM-1]", "fix", " ", "\n", "\r", "\0", "follow-up to ", "o/n",
     "This reverts commit ", SHA, "(cherry picked from commit ", "Reland ", "Merge pull request ", "٣", "²", "…", "．"]
)  # fmt: skip
TEXT = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=12).map("".join))


@given(subject=TEXT, body=TEXT)
def test_any_message_can_be_read(subject: str, body: str):
    parsed = read(subject, body)
    assert parsed.number is None or "#" in subject
    targets = [target for _, target in links(subject, body)]
    assert f"#{parsed.number}" not in targets
    assert all(target.startswith(("commit:", "title:")) or "#" in target for target in targets)
    for group in ("runtime", "docs", "config"):
        classify(parsed.title, frozenset([group]))


@given(subject=TEXT.map(lambda text: text.replace("#", "")), body=TEXT)
def test_a_subject_without_a_hash_never_gives_a_number(subject: str, body: str):
    assert read(subject, body).number is None


@given(title=st.text().map(str.strip).filter(bool), number=st.integers(1, 9_999_999))
def test_a_number_behind_any_title_is_read(title: str, number: int):
    assert read(f"{title} (#{number})").number == number or title.lower().startswith("merg")


@pytest.mark.parametrize(
    ("head", "part", "tail"),
    [("", "(#1)", "x"), ("", " ", "x"), ("follow up", " ", ""), ("", "[", ""), ("", "Revert ", "")],
)
def test_a_long_message_costs_what_its_length_says(head, part, tail):
    def work(times: int) -> None:
        text = head + part * times + tail
        read(text, text)

    assert is_linear(work, 1000)
