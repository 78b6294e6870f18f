"""Foreign text in reports: inert on a terminal and in Markdown."""

from __future__ import annotations

import re
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.reader import Problem
from ingest.records import Facts, Link
from kb.build import Duplicate, Report
from kb.cards import Anchor, Card, CardFile, CardSymbol, Coverage, Excerpt, Number, plain_claims
from kb.family_views import UnmatchedFile
from kb.reports.build import build_json, build_text
from kb.reports.cards import card_markdown
from kb.reports.families import unmatched_text
from kb.reports.safe import inline_code, markdown_text, one_line, plain
from kb.reports.status import commits_text
from kb.status import ListedCommit

HOSTILE = (
    "\x1b]0;owned\x07\x1b[31mred\x1b[0m\x9b2J\x08\x7f \u202egnp.exe\u2066 \u200b\ufeff "
    "<img src=x onerror=alert(1)> <!-- --> [a](https://evil.example) ![i](x) `code` ``` **b** _i_ ~~s~~ # h | c | &lt; \\ \r\nnext\u2028line"
)

any_text = st.text(st.characters(), max_size=80)


def controls(text: str, but: str = "") -> list[str]:
    """Characters that move a cursor, change a colour, a direction, or what a line is."""
    return [
        c for c in text if c not in but and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("a\x1b[31mb", "a [31mb"),
        ("\x1b]0;title\x07x", " ]0;title x"),
        ("\x9b2J", " 2J"),
        ("\u202eexe.gnp", " exe.gnp"),
        ("a\u200bb\ufeffc", "a b c"),
        ("back\x08\x7f", "back  "),
        ("over\rwritten", "over written"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("emoji \U0001f600 é 扩散", "emoji \U0001f600 é 扩散"),
        ("\ud800", " "),
    ],
)
def test_plain_text_controls_no_terminal(text, shown):
    assert plain(text) == shown


@given(any_text)
def test_nothing_that_controls_is_left(text):
    assert controls(plain(text), but="\n\t") == []
    assert controls(one_line(text)) == []
    assert "\n" not in one_line(text)
    assert len(plain(text)) == len(text)
    assert one_line(one_line(text)) == one_line(text)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[a](b)", r"\[a\](b)"),
        ("<img src=x>", r"\<img src=x\>"),
        ("![i](x)", r"\!\[i\](x)"),
        ("**b** _i_ ~~s~~", r"\*\*b\*\* \_i\_ \~\~s\~\~"),
        ("`c`", r"\`c\`"),
        ("# h\n| t |", r"\# h \| t \|"),
        ("&lt;", r"\&lt;"),
        ("a\\", r"a\\"),
    ],
)
def test_markdown_text_is_text(text, shown):
    assert markdown_text(text) == shown


@given(any_text)
def test_every_sign_of_markdown_is_escaped(text):
    shown = markdown_text(text)
    assert not re.search(r"[`*_\[\]<>#|!~&]", re.sub(r"\\.", "", shown))
    assert re.sub(r"\\(.)", r"\1", shown) == one_line(text)


@pytest.mark.parametrize(
    "text",
    [
        "see https://evil.example/x",
        "http://evil.example",
        "www.evil.example",
        "HTTPS://EVIL.example",
        "ftp://evil.example",
    ],
)
def test_a_bare_address_becomes_no_link(text):
    # GitHub makes a link of `https://` and `www.` as they stand
    assert not re.search(r"(?i)https?://|ftp://|www\.", markdown_text(text))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a", "`a`"),
        ("a`b", "``a`b``"),
        ("`a", "`` `a ``"),
        ("a``b`", "``` a``b` ```"),
        ("<b>\n[x](y)", "`<b> [x](y)`"),
    ],
)
def test_code_has_a_fence_that_its_text_has_not(text, shown):
    assert inline_code(text) == shown


@given(any_text)
def test_code_never_closes_early(text):
    shown = inline_code(text)
    fence = re.match(r"`+", shown)[0]
    inner = shown[len(fence) : -len(fence)]
    assert shown.endswith(fence)
    assert fence not in re.findall(r"`+", inner)


# whole reports ------------------------------------------------------------------------------------


def hostile_card() -> Card:
    return Card(
        id="a/b#1", title=HOSTILE, kind="fix", status="reviewed", origin="git", sha="a" * 40, merged_at="2026-01-01T00:00:00Z",
        tickets=(HOSTILE,), coverage=Coverage(lines_total=1, lines_indexed=1, files_total=1), claims=plain_claims("Ours."),
        files=(CardFile(path=HOSTILE, group="runtime", status="renamed", added=1, removed=0, old_path=HOSTILE),),
        symbols=(CardSymbol(name=HOSTILE, kind="class", change="introduced", path=HOSTILE, start=1, end=2),),
        facts=Facts(flags_added=(HOSTILE,), config_added=(HOSTILE,)), links=(Link("reverts", HOSTILE),),
        anchors=(Anchor(path=HOSTILE, lines=(1, 2), says="ours"),), numbers=(Number(value="1", unit="x"),),
        excerpts=(Excerpt(path=HOSTILE, hunk="@@ -1,1 +1,1 @@ " + HOSTILE, text="+" + HOSTILE + "\n+```\n+# heading\n+<script>"),),
        sources=("https://ok.example/1", "javascript:alert(1)", "https://x.example/<img>", "https://x.example/a\nb"),
    )  # fmt: skip


def outside_code(markdown: str) -> str:
    """Markdown without its fenced blocks and inline code."""
    rest = re.sub(r"(?ms)^(`{3,})diff\n.*?^\1$", "", markdown)
    return re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\.", "", rest))


def test_a_hostile_card_is_inert_markdown():
    markdown = card_markdown(hostile_card(), [("reverts", "a/b#2")])
    assert controls(markdown, but="\n\t") == []
    rest = outside_code(markdown)
    assert "<img" not in rest
    assert "<script" not in rest
    assert "](" not in rest
    assert "javascript" not in markdown
    assert [line for line in markdown.split("\n") if line.startswith("- <")] == ["- <https://ok.example/1>"]
    assert [line for line in rest.split("\n") if line.startswith("# ")] == [rest.split("\n")[0]]


def test_a_plain_card_is_whole_markdown():
    card = msgspec.structs.replace(
        hostile_card(), title="Heap eviction", tickets=("TRT-1",), links=(Link("reverts", "a/b#3"),), sources=(), numbers=(),
        files=(CardFile(path="a.py", group="runtime", status="renamed", added=1, removed=0, old_path="b.py"),
               CardFile(path="t.bin", group="test", status="added")),
        symbols=(CardSymbol(name="Heap", kind="class", change="introduced", path="a.py", start=1, end=2),),
        facts=Facts(flags_added=("--heap",)), anchors=(Anchor(path="a.py", lines=(4, 4), says="pops", side="old"),),
        excerpts=(Excerpt(path="a.py", hunk="@@ -1,1 +1,1 @@", text="+x = ```"),), families=("qwen",),
    )  # fmt: skip
    assert card_markdown(card, [("follows", "a/b#2")]).split("\n") == [
        "# a/b#1: Heap eviction",
        "",
        "- Link: https://github.com/a/b/pull/1",
        "- State: merged 2026-01-01T00:00:00Z, fix, card reviewed (commit aaaaaaaaaaaa)",
        "- Size: +0 -0 in 1 files",
        "- Diff coverage: all 1 changed lines of 1 files read, 1 indexed, whole",
        "- Families: qwen",
        "- Tickets: TRT-1",
        r"- reverts a/b\#3",
        "- a/b#2 follows this",
        "",
        "## Motivation",
        "",
        "Ours.",
        "",
        "## Validation",
        "",
        "- run `t.bin`",
        "- launch with `--heap`",
        "",
        "## Where to look",
        "",
        "- `a.py:4 (before the change)`: pops",
        "",
        "## Excerpts",
        "",
        "`a.py` `@@ -1,1 +1,1 @@`",
        "",
        "````diff",
        "+x = ```",
        "````",
        "",
        "## Symbols introduced (1)",
        "",
        "- `Heap` class, `a.py:1-2`",
        "",
        "## Flags, variables, keys",
        "",
        "- Server flags added: `--heap`",
        "",
        "## Files (2)",
        "",
        "- runtime",
        "  - `a.py` renamed +1 -0, was `b.py`",
        "- test",
        "  - `t.bin` added binary or unread",
    ]


@pytest.mark.parametrize(
    ("coverage", "said"),
    [
        (Coverage(state="missing"), "the diff could not be read: objects are missing from the clone"),
        (Coverage(state="not read"), "the diff was not read; the card rests on the sources below"),
        (
            Coverage(lines_total=5, lines_indexed=3),
            "all 5 changed lines of 0 files read, 3 indexed, truncated: the rest is data or generated",
        ),
    ],
)
def test_a_card_says_how_much_of_the_diff_it_rests_on(coverage, said):
    card = msgspec.structs.replace(hostile_card(), coverage=coverage)
    assert f"- Diff coverage: {said}" in card_markdown(card).split("\n")


def test_a_run_with_hostile_subjects_is_reported_inertly():
    report = Report(
        "a/b", walked=9, known=3, cards=4, unnumbered=1, discarded=2, fallbacks=1, files=8, retagged=5
    )
    report.duplicates = [Duplicate(7, "a" * 40, "b" * 40, HOSTILE)] * 12
    report.problems = [Problem(8, "c" * 40, HOSTILE)]
    report.out_of_sequence = [3]
    lines = build_text(report, "/kb").split("\n")
    assert controls("".join(lines)) == []
    assert lines[:4] == [
        "a/b: 9 commits, 3 known before, 17 new: 4 pull requests, 12 with a number seen before, 1 without a number",
        "removed 2 rows that an interrupted run had left",
        "1 of 8 files did not parse where they changed; hunk headers named their symbols",
        "data/families.yaml has changed: 5 cards tagged anew",
    ]
    assert lines[4] == "numbers seen before (the first merged is kept):"
    assert lines[15:17] == ["  and 2 more; `prlore status --list` has all", "problems:"]
    assert lines[-1] == "knowledge base: /kb"
    assert build_json(report)["problems"] == [{"number": 8, "sha": "c" * 40, "what": HOSTILE}]


def test_lists_with_hostile_names_are_inert():
    for text in (
        commits_text([ListedCommit("a/b", "a" * 40, None, HOSTILE, HOSTILE)]),
        unmatched_text([UnmatchedFile("a/b", HOSTILE, 3)]),
    ):
        assert controls(text, but="\n") == []
    assert commits_text([ListedCommit("a/b", "a" * 40, 5, "s", "p")]) == "a/b#5 aaaaaaaaaaaa s [p]"
