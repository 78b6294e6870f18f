"""The site: pages that load nothing foreign, links that lead somewhere, hostile words that stay words, a server of files only."""

from __future__ import annotations

import base64
import http.client
import json
import re
import threading
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner
from conftest import EVICT, EVICT_NEW, EVICT_OLD, GitRepo
from hypothesis import given
from hypothesis import strategies as st
from seen_pages import SeenPage, target

from ingest.git import open_repository
from ingest.github.records import Anchor, Author, Comment, Description, ReviewedPull, Thread
from kb.build import Options
from kb.build import build as build_store
from kb.families import load_families
from kb.store import Store
from kb.threads.build import write_pulls
from loop.cli import cli
from loop.site import search_index
from loop.site.build import MARK, Plan, SiteError, build
from loop.site.highlight import diff_lines
from loop.site.pages import POLICY
from loop.site.places import Held, card_page, root_of
from loop.site.prose import prose_html
from loop.site.search_index import IndexedCard, build_index
from loop.site.serve import SiteServer

REPO = "sgl-project/sglang"
NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202egnp.exe"
MODEL = "python/sglang/srt/models/deepseek_v2.py"
COMMENT = """Look at <img src=https://evil.example/x.png onerror=alert(3)> and ![pixel](https://evil.example/p.png)
[here](javascript:alert(4)) or [there](https://evil.example/) <!-- hidden order --> <style>*{display:none}</style>

```html
<script>alert(5)</script>
```
see https://github.com/sgl-project/sglang/pull/1 and [one](https://github.com/sgl-project/sglang/pull/1)"""
HUNK = f"@@ -1,2 +1,2 @@\n def evict():\n-    return '{NASTY}'\n+    return 2"


def hostile_pull() -> ReviewedPull:
    someone = Author(login="<b>mallory</b>", role="maintainer")
    thread = Thread(
        id=f"{REPO}#2/r7", repo=REPO, number=2, kind="inline", resolved=True,
        anchor=Anchor(path=EVICT, side="new", line=13, original_line=13, diff_hunk=HUNK),
        comments=(Comment(id=7, author=someone, body=COMMENT, created_at="2025-01-01T00:00:00Z"),),
    )  # fmt: skip
    described = Description(id=f"{REPO}#2", title="t", body=f"# Why\n{NASTY}\n{COMMENT}", state="merged")
    return ReviewedPull(description=described, threads=(thread,))


@pytest.fixture(scope="module")
def kb(tmp_path_factory):
    """A store whose titles, paths, diffs and comments are hostile."""
    repo = GitRepo(tmp_path_factory.mktemp("history"))
    repo.commit("Add the host pool (#1)", {EVICT: EVICT_OLD.encode()})
    repo.commit(f"Evict from a heap {NASTY} (#2)", {EVICT: EVICT_NEW.encode()})
    code = f"class DeepseekV2:\n    def forward(self):\n        return {NASTY!r}\n"
    repo.commit(
        "[DeepSeek] faster forward (#3)",
        {MODEL: code.encode(), "docs/<img src=x onerror=alert(6)>.md": b"# Words\n"},
    )
    repo.commit(
        "Count heads (#4)\n\nReverts sgl-project/sglang#2", {MODEL: (code + "\n\nHEADS = 128\n").encode()}
    )
    uri = str(tmp_path_factory.mktemp("site") / "kb")
    with open_repository(repo.path) as opened, Store.create(uri, {"created_by": "tests"}) as store:
        build_store(store, opened, Options(REPO, encoder="none", workers=1), lambda done, total: None)
        write_pulls(store, REPO, [hostile_pull()], load_families(), "synced")
    return uri


@pytest.fixture(scope="module")
def site(kb, tmp_path_factory):
    out = tmp_path_factory.mktemp("made") / "site"
    build(Store.open(kb), Plan(out, manuals=1))
    return out


@pytest.fixture(scope="module")
def pages(site):
    return {str(p.relative_to(site)): SeenPage(p.read_text("utf-8")) for p in site.rglob("*.html")}


def test_every_kind_of_page_is_there(pages):
    wanted = {
        "index.html", "search.html", "families.html", "months.html", "months/sglang/2025-01.html",
        "families/deepseek-v2.html", "families/deepseek-v2.sglang.html", "cards/sgl-project/sglang/2.html",
    }  # fmt: skip
    assert wanted <= set(pages)
    assert sum(p.startswith("cards/") for p in pages) == 4


def test_pages_load_files_of_the_site_only(site, pages):
    for name, page in pages.items():
        for address in page.loads():
            assert not urlsplit(address).scheme, (name, address)
            assert not address.startswith("//"), (name, address)
            assert target(site, name, address).is_file(), (name, address)


def test_links_lead_to_pages_or_to_github(site, pages):
    for name, page in pages.items():
        for address in page.links():
            parts = urlsplit(address)
            if parts.scheme:
                assert parts.scheme == "https", (name, address)
                if "cards/" not in name:
                    assert parts.netloc == "github.com", (name, address)
            elif parts.path:
                found = target(site, name, address)
                assert found.is_file(), (name, address)
                assert found.is_relative_to(site)


def test_the_policy_comes_first_and_is_strict(pages):
    for name, page in pages.items():
        assert page.policy == POLICY, name
        assert page.tags[:4] == ["html", "head", "meta", "meta"], name
        assert page.inline == [], name
        assert page.handlers() == [], name
    assert "'unsafe" not in POLICY
    assert POLICY.startswith("default-src 'none'")


def test_hostile_words_stay_words(pages):
    card = pages["cards/sgl-project/sglang/2.html"]
    assert "<script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}" in card.words
    for name, page in pages.items():
        assert not {"img", "iframe", "object", "style", "base"} & set(page.tags), name
        assert all(a.startswith(("assets/", "../")) for a in page.loads()), name
        assert "\u202e" not in page.words, name
        assert not [a for a in page.links() if a.lower().startswith(("javascript:", "data:"))], name


def test_comments_are_read_as_markdown_and_made_harmless(pages):
    card = pages["cards/sgl-project/sglang/2.html"]
    assert "<script>alert(5)</script>" in card.words
    assert "hidden order" not in card.words
    assert "<b>mallory</b>" in card.words
    assert "../../../cards/sgl-project/sglang/1.html" in card.links()
    assert "https://evil.example/" in card.links()
    assert not any("evil.example" in a for a in card.loads())


def test_cards_name_each_other(pages):
    links = pages["cards/sgl-project/sglang/2.html"].links()
    assert "../../../cards/sgl-project/sglang/4.html" in links
    assert "https://github.com/sgl-project/sglang/pull/2" in links
    assert "../../../families/deepseek-v2.html" in pages["cards/sgl-project/sglang/3.html"].links()


def test_a_family_has_its_manual_and_its_files(pages):
    family = pages["families/deepseek-v2.html"]
    assert MODEL in family.words
    assert "deepseek-v2.sglang.html" in family.links()
    manual = pages["families/deepseek-v2.sglang.html"]
    assert "Timeline" in manual.words
    assert any(a.endswith("cards/sgl-project/sglang/3.html") for a in manual.links())


def test_every_card_is_reached_without_a_script(pages):
    months = [p for name, p in pages.items() if name.startswith("months/")]
    found = {a.rpartition("/")[2] for p in months for a in p.links() if "/cards/" in a}
    assert found == {f"{n}.html" for n in (1, 2, 3, 4)}


def test_more_processes_make_the_same_pages(kb, site, tmp_path):
    build(Store.open(kb), Plan(tmp_path / "out", manuals=1, workers=2))

    def content(folder):
        found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != MARK}  # fmt: skip
        return {n: re.sub(rb"Made [\d :-]+UTC", b"", b) for n, b in found.items()}

    assert content(tmp_path / "out") == content(site)


def test_a_folder_with_other_things_is_left_alone(kb, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SiteError, match="something other than a site"):
        build(Store.open(kb), Plan(tmp_path))
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    with pytest.raises(SiteError, match="no folder"):
        build(Store.open(kb), Plan(tmp_path / "link"))


def test_a_site_stands_until_the_next_is_whole(kb, tmp_path):
    out = tmp_path / "site"
    build(Store.open(kb), Plan(out, title="first", manuals=0))

    def stop(part, done, of):
        if part == "cards":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(Store.open(kb), Plan(out, title="second", manuals=0), stop)
    assert "first" in (out / "index.html").read_text("utf-8")
    build(Store.open(kb), Plan(out, title="second", manuals=0))
    assert "second" in (out / "index.html").read_text("utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["site"]


# the browser's index ---------------------------------------------------------------------------------


def opened(index):
    """Word -> [(card, level)] as the browser reads the files."""
    found = {}
    for name, text in index.files.items():
        if name.startswith("w"):
            words, blob = data_of(text)
            raw, at = base64.b64decode(blob), 0

            def read(raw=raw):
                nonlocal at
                value = shift = 0
                while True:
                    byte = raw[at]
                    at += 1
                    value |= (byte & 127) << shift
                    shift += 7
                    if byte < 128:
                        return value

            for word in words.split(" "):
                card, postings = 0, []
                for _ in range(read()):
                    posting = read()
                    card += posting >> 2
                    postings.append((card, posting & 3))
                found[word] = postings
            assert at == len(raw)
    return found


def data_of(text):
    return json.loads(re.fullmatch(r'prlore\("\w+",(.*)\)\n', text, re.DOTALL)[1])


def indexed(number, title="", introduced="", path="", described="", changed="", families=()):
    return IndexedCard("o/r", number, title.upper(), "2026-01-02", "fix", "extracted", families, title, introduced, path, described, changed)  # fmt: skip


WORDS = st.lists(st.sampled_from(["aa", "ab", "b2", "cache", "ccc", "d" * 41, "x/y", "+z"]), max_size=6).map(
    " ".join
)


@given(
    st.lists(st.builds(indexed, st.integers(1, 300), WORDS, WORDS, WORDS, WORDS, WORDS), max_size=20),
    st.integers(1, 60),
)
def test_what_goes_into_the_index_comes_out(cards, size):
    old, search_index.WORD_FILE = search_index.WORD_FILE, size
    try:
        index = build_index(cards, {})
    finally:
        search_index.WORD_FILE = old
    wanted = {}
    for place, card in enumerate(cards):
        fields = ((card.changed_words, 0), (card.description_words, 1), (card.path_words, 1), (card.introduced_words, 2), (f"{card.title_words} {card.number}", 3))  # fmt: skip
        for word in {w for words, _ in fields for w in words.split() if re.fullmatch(r"[a-z0-9]{1,40}", w)}:
            level = max(level for words, level in fields if word in words.split())
            wanted.setdefault(word, []).append((place, level))
    found = opened(index)
    assert found == wanted
    assert index.postings == sum(map(len, wanted.values()))
    head = data_of(index.files["index.js"])
    assert head["firsts"] == sorted(head["firsts"])
    assert len(head["firsts"]) == sum(n.startswith("w") for n in index.files)


def test_words_that_nearly_every_card_has_are_left_out():
    cards = [indexed(n, "common" if n % 2 else "common rare", families=("llama",)) for n in range(600)]
    found = opened(build_index(cards, {"llama": "Llama"}))
    assert "common" not in found
    assert "rare" not in found
    assert len(found["family:llama"]) == 600
    assert found["599"] == [(599, 3)]


def test_titles_in_the_index_can_not_end_a_script():
    index = build_index([indexed(1, "</script><!--\u2028")], {})
    assert not any("<" in text or "\u2028" in text for text in index.files.values())
    assert data_of(index.files["t0.js"])[0][2] == "</SCRIPT><!--\u2028"


def test_the_index_changes_its_folder_with_its_content():
    one, two = build_index([indexed(1, "a")], {}), build_index([indexed(1, "b")], {})
    assert one.version != two.version
    assert one == build_index([indexed(1, "a")], {})


# parts -----------------------------------------------------------------------------------------------


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80), st.sampled_from(["a.py", "b.cu", "c.rs", "d.yaml", "e", "f.json"]))  # fmt: skip
def test_highlighting_loses_no_character_and_makes_no_tag(text, path):
    from kb.reports.safe import plain

    lines = diff_lines(text, path)
    shown = SeenPage("\n".join(f"{line.mark if text else ''}{line.code}" for line in lines))
    assert set(shown.tags) <= {"i"}
    assert [line.mark + SeenPage(str(line.code)).words for line in lines] == [
        line or " " for line in plain(text).rstrip("\n").split("\n")
    ]


@given(st.text(max_size=200))
def test_prose_has_only_the_tags_it_may_have(text):
    page = SeenPage(str(prose_html(text)))
    assert not page.handlers()
    assert not page.loads()
    assert {name for _, name, _ in page.attributes} <= {"href", "rel"}


@pytest.mark.parametrize(
    "card_id", ["o/r", "o/../../x#1", "../r#1", "o/r#x", "o/r#-1", "o r/s#1", "o/.#1", "a/b/c#1", "o/r#1/../../2", "é/r#1"]
)  # fmt: skip
def test_ids_that_make_no_address_have_no_page(card_id):
    assert card_page(card_id) is None
    assert Held.of([card_id]).ids == frozenset()
    assert Held.of([]).link(card_id, "") == ""


def test_links_to_cards_that_are_not_held_go_to_github():
    held = Held.of(["o/r#1"])
    assert held.link("o/r#1", root_of("cards/o/r/2.html")) == "../../../cards/o/r/1.html"
    assert held.link("o/r#9", "") == "https://github.com/o/r/pull/9"


# serving ---------------------------------------------------------------------------------------------


@pytest.fixture
def server(site):
    with SiteServer(site) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def ask(server, path, host="127.0.0.1", method="GET"):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=60)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", f"{host}:{server.server_address[1]}")
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, dict(answer.getheaders()), body


def test_the_server_gives_pages_with_their_policy(server, site):
    status, headers, body = ask(server, "/")
    assert (status, body) == (200, (site / "index.html").read_bytes())
    assert headers["Content-Security-Policy"] == f"{POLICY}; frame-ancestors 'none'"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert ask(server, "/cards/sgl-project/sglang/2.html")[0] == 200
    assert ask(server, "/search.html?q=x")[0] == 200


@pytest.mark.parametrize("path", ["/../kb", "/%2e%2e/%2e%2e/etc/passwd", "/cards/", "/data/", "/none.html", "//etc/passwd"])  # fmt: skip
def test_the_server_gives_nothing_else(server, path):
    assert ask(server, path)[0] == 404


def test_the_server_follows_no_link_out_of_the_site(server, site):
    (site / "out.txt").symlink_to("/etc/hostname")
    try:
        assert ask(server, "/out.txt")[0] == 404
    finally:
        (site / "out.txt").unlink()


def test_the_server_answers_to_its_own_name_only(server):
    assert ask(server, "/", "localhost")[0] == 200
    assert ask(server, "/", "evil.example")[0] == 421
    assert ask(server, "/", method="POST")[0] == 501


def test_a_server_needs_a_site(tmp_path):
    with pytest.raises(SiteError, match="no site at"):
        SiteServer(tmp_path)


# the command -----------------------------------------------------------------------------------------


def test_the_command_says_what_it_made(kb, tmp_path):
    done = CliRunner().invoke(cli, ["site", "build", str(tmp_path / "s"), "--kb", kb, "--workers", "1", "--manuals", "0"])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "4 of cards" in done.output
    done = CliRunner().invoke(
        cli, ["site", "build", str(tmp_path / "s"), "--kb", kb, "--workers", "1", "--json"]
    )
    report = json.loads(done.output)
    assert report["cards"] == 4
    assert report["files"] == sum(p.is_file() for p in (tmp_path / "s").rglob("*"))
