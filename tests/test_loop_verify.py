"""What a campaign claims is computed again from raw rows, and any changed byte is found."""

from __future__ import annotations

import random
import re
import shutil
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from analysis.bench.read import read_files
from ingest.errors import PrloreError
from loop.campaign import seal
from loop.campaign.begin import begin
from loop.campaign.errors import CampaignError, Corrupt
from loop.campaign.folder import Folder
from loop.campaign.seeds import Seeds
from loop.campaign.verify import verify
from loop.driver import session
from loop.records import BenchBlock, Comparison, LedgerRow, decode
from loop.reports.export import export
from loop.reports.status import as_text, status_of
from loop.selftest.campaigns import inline_driver, simulated_spec
from loop.workbench.simulated import Noise

SECRET = "prlore-canary-5ec4e7"


@pytest.fixture(scope="module")
def closed(tmp_path_factory):
    spec = simulated_spec("Verified | campaign", [0.0, 0.03, 0.0], Noise(run=0.004, start=0.001))
    folder = begin(tmp_path_factory.mktemp("closed") / "campaign", spec, Seeds(b"v" * 32), sync=False)
    driver = inline_driver(folder)
    driver.run()
    driver.close()
    session.render_and_seal(folder)
    return folder


@pytest.fixture
def copy(closed, tmp_path):
    shutil.copytree(closed.path, tmp_path / "campaign")
    return Folder(tmp_path / "campaign", sync=False)


def test_a_campaign_is_what_it_says(closed):
    found = verify(closed)
    assert found.problems == []
    assert found.notes == []
    assert found.verdicts == 3
    assert found.comparisons >= 5
    assert found.blocks > 20


def test_reading_a_closed_campaign_changes_nothing_in_it(closed):
    status_of(closed.path)
    verify(closed)
    assert list(seal.broken(closed.path)) == []


def test_any_flipped_byte_is_found(copy):
    """Forty here; a thousand in tests/bench/loop_flips.py."""
    draw = random.Random(1)
    files = [p for p in sorted(copy.path.rglob("*")) if p.is_file() and p.stat().st_size and p.name != "lock"]
    for _ in range(40):
        path = draw.choices(files, [p.stat().st_size for p in files])[0]
        before = path.read_bytes()
        place = draw.randrange(len(before))
        path.chmod(0o600)
        path.write_bytes(
            before[:place] + bytes([before[place] ^ (1 << draw.randrange(8))]) + before[place + 1 :]
        )
        assert verify(copy, stop_at_first=True).problems, (path, place)
        path.write_bytes(before)
    assert verify(copy).problems == []


def test_every_kind_of_file_is_watched(copy):
    for name in ("campaign.db", "seed", "seal", "run/final_report.md"):
        path = copy.path / name
        before = path.read_bytes()
        path.write_bytes(before[:-2] + bytes([before[-2] ^ 1]) + before[-1:])
        assert verify(copy, stop_at_first=True).problems, name
        path.write_bytes(before)
    (copy.path / "extra").write_text("x")
    assert "extra was not there" in verify(copy).problems[0]


def forged(folder, old, new):
    """Another artefact in the place of one, under its own right name, as a careful forger would do it."""
    import sqlite3

    digest = folder.blobs().put(new)
    database = sqlite3.connect(folder.database)
    database.execute("UPDATE block SET id = ? WHERE id = ?", (digest, old))
    database.commit()
    database.close()
    return digest


def test_a_forged_block_is_found_without_the_seal(copy):
    (copy.path / "seal").unlink()
    database = copy.open(read_only=True)
    key = "c2/measure"
    digest = database.blocks(key)[0]
    database.close()
    block = copy.blobs().load(BenchBlock, digest)
    runs = tuple(replace(r, metrics=replace(r.metrics, output_throughput=9e9)) for r in block.runs)
    forged(copy, digest, msgspec.json.encode(replace(block, runs=runs), order="deterministic"))
    assert any("blocks it names" in problem for problem in verify(copy).problems)


def test_a_forged_verdict_does_not_follow_from_its_blocks(copy):
    """A comparison that claims more than its blocks say is found even where chain and names fit."""
    from loop.campaign.verify import _differences

    database = copy.open(read_only=True)
    rows = database.ledger()
    database.close()
    stored = next(
        copy.blobs().load(Comparison, row.body) for row in rows if row.text.startswith("c2/measure")
    )
    for name, value in (("mean", 0.5), ("verdict", "SLOWER"), ("e_value", 1e9), ("n", 99)):
        assert any(name in said for said in _differences(replace(stored, **{name: value}), stored))
    assert list(_differences(stored, stored)) == []


def test_a_lost_ledger_row_breaks_the_chain(copy):
    import sqlite3

    database = sqlite3.connect(copy.database)
    database.execute("DROP TRIGGER ledger_keeps")
    database.execute("DELETE FROM ledger WHERE seq = 5")
    database.commit()
    database.close()
    (copy.path / "seal").unlink()
    assert any("chain" in problem for problem in verify(copy).problems)


def test_a_campaign_that_is_not_closed_says_so(tmp_path):
    folder = begin(tmp_path / "c", simulated_spec("open", [0.0]), Seeds(b"o" * 32), sync=False)
    driver = inline_driver(folder)
    driver.run(turns=5)
    driver.close()
    found = verify(folder)
    assert found.problems == []
    assert "not closed" in found.notes[0]
    assert verify(Folder(tmp_path / "nowhere")).problems


def test_every_link_of_every_view_leads_somewhere(closed):
    headings = {}
    for page in closed.views.rglob("*.md"):
        text = page.read_text("utf-8")
        headings[page.resolve()] = set(re.findall(r"(?m)^## (.*)$", text))
    count = 0
    for page in closed.views.rglob("*.md"):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
            path, _, part = link.partition("#")
            assert (page.parent / path).exists(), (page, link)
            assert not part or part in headings[(page.parent / path).resolve()], (page, link)
            count += 1
    assert count > 50


def test_the_report_is_one_page_and_its_numbers_are_in_the_appendix(closed):
    page = (closed.views / "final_report.md").read_text("utf-8")
    assert len(page.splitlines()) < 70
    assert "faster than at the start" in page
    assert "Verified \\| campaign" in page
    appendix = (closed.views / "appendix.md").read_text("utf-8")
    for number in set(re.findall(r"\[([+-][\d.]+% \[[^\]]+\])\]\(appendix", page)):
        assert number in appendix


def test_the_run_folder_has_the_names_that_the_skills_use(closed):
    for name in (
        "manifest.md", "benchmark/candidates.jsonl", "benchmark/summary.md", "benchmark/winning-commands.md",
        "benchmark/fairness/diagnostics.md", "analysis/root-cause.md", "analysis/layer-pipeline.md",
        "history/model-pr-history-notes.md", "humanize/attempt-ledger.md", "humanize/optimization-ledger.md",
        "humanize/source-idea-ledger.md", "humanize/lineage.jsonl", "humanize/model-loop-checkpoint.md",
        "final_report.md", "appendix.md", "patches/002-accept.patch", "patches/001-reject.patch", "plots/gains.svg",
    ):  # fmt: skip
        assert (closed.views / name).exists(), name


def test_benchmark_rows_are_read_by_our_own_reader(closed):
    runs = read_files([str(closed.views / "benchmark" / "candidates.jsonl")]).runs
    assert len(runs) > 40
    assert {run.result.framework for run in runs} == {"simulated"}


def test_rendering_twice_is_the_same_and_foreign_folders_are_left_alone(closed, tmp_path):
    from loop.reports.views import render

    render(closed, tmp_path / "again")
    for page in closed.views.rglob("*"):
        if page.is_file():
            assert (tmp_path / "again" / page.relative_to(closed.views)).read_bytes() == page.read_bytes()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(CampaignError, match="other files"):
        render(closed, tmp_path / "mine")


def test_an_export_stands_alone(closed, tmp_path):
    assert export(closed.path, tmp_path / "out") > 50
    rows = [decode(LedgerRow, line) for line in (tmp_path / "out" / "ledger.jsonl").read_bytes().splitlines()]
    assert [b.prev for b in rows[1:]] == [a.id for a in rows[:-1]]
    page = tmp_path / "out" / "run" / "appendix.md"
    links = re.findall(r"\]\((\.\./objects[^)]+)\)", page.read_text("utf-8"))
    assert links
    assert all((page.parent / link).exists() for link in links)
    with pytest.raises(CampaignError):
        export(closed.path, tmp_path / "out")


def test_a_changed_campaign_is_not_sealed_anew_by_its_report(copy):
    path = next(p for p in copy.objects.rglob("*") if p.is_file())
    path.chmod(0o600)
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(Corrupt, match="since it was sealed"):
        session.report(copy.path)
    assert verify(copy).problems


def test_the_report_can_be_written_again(copy):
    (copy.views / "final_report.md").write_text("gone")
    assert session.report(copy.path).startswith("# Verified")
    assert verify(copy).problems == []


def test_status_says_where_it_is(closed):
    found = status_of(closed.path)
    assert (found.end, found.candidates, found.accepted) == ("BUDGET", 3, 1)
    assert found.allowed["candidates"] == 3
    assert found.evidence[0].cards == ("simulated#1",)
    assert "3 candidates, 1 accepted" in as_text(found)
    with pytest.raises(PrloreError):
        status_of(Path("/nowhere"))


def test_no_secret_enters_a_campaign(tmp_path, monkeypatch):
    monkeypatch.setenv("CANARY_API_KEY", SECRET)
    folder = begin(tmp_path / "c", simulated_spec("secret", [0.0]), Seeds(b"o" * 32), sync=False)
    session.submit(folder.path, f"diff with {SECRET}\n".encode(), "", "me")
    for path in folder.path.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes()
    assert verify(folder).problems == []
    folder.blobs().put(f"past the redactor: {SECRET}".encode())
    assert any("holds a secret" in problem for problem in verify(folder).problems)
