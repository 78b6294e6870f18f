"""Campaigns on disk: frozen, driven, killed, resumed, cancelled, and never other than what was stored."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import time

import loop_torture as torture
import pytest
from msgspec.structs import replace

from loop.campaign import durable
from loop.campaign.begin import begin, unfit
from loop.campaign.database import Database, Entry
from loop.campaign.errors import Busy, CampaignError, ClockJump, Corrupt, DiskFull, StepFailed
from loop.campaign.folder import Folder
from loop.campaign.progress import End, Progress, State
from loop.campaign.seeds import Seeds
from loop.campaign.steps import Inline, Steps
from loop.campaign.tasks import Failed, Preflighted, PreflightTask
from loop.driver import session
from loop.driver.drive import Driver
from loop.records import BenchBlock, Budgets, Comparison, HostState, Policy, Verdict, canonical
from loop.selftest.campaigns import inline_driver, play, simulated_spec
from loop.workbench.host import Reading
from loop.workbench.perform import perform_step, workbench_of
from loop.workbench.simulated import Noise

QUIET = Noise(run=0.002, start=0.0005, drift=0.01)
SEEDS = Seeds(b"s" * 32)


def made(path, gains=(0.0, 0.03), noise=QUIET, **changes):
    spec = simulated_spec("test", list(gains), noise)
    return begin(path, replace(spec, **changes), SEEDS, sync=False)


def finish(folder):
    driver = inline_driver(folder)
    try:
        return driver.run()
    finally:
        driver.close()


def rows(folder):
    database = folder.open(read_only=True)
    try:
        return database.ledger()
    finally:
        database.close()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    folder = made(tmp_path_factory.mktemp("played") / "campaign")
    return folder, finish(folder)


# -------------------------------------------------------------------------------------------------- the driver


def test_a_campaign_accepts_what_is_faster_and_nothing_else(played):
    folder, end = played
    assert [kept.candidate for kept in end.accepted] == [2]
    assert end.state == State.CLOSED
    confirmed = folder.blobs().load(Comparison, end.confirm)
    assert confirmed.verdict == "FASTER"
    assert confirmed.mean == pytest.approx(0.03, abs=0.004)
    kinds = [row.kind for row in rows(folder)]
    assert kinds.count("attempt") == kinds.count("verdict") == 2
    assert kinds.count("optimization") == 1
    assert kinds[0] == "init"
    assert "baseline" in kinds


def test_the_rejected_candidate_says_why(played):
    folder, _ = played
    verdicts = [folder.blobs().load(Verdict, row.body) for row in rows(folder) if row.kind == "verdict"]
    assert [v.decision for v in verdicts] == ["reject", "accept"]
    assert verdicts[0].reason.startswith("measure: ")
    assert verdicts[1].tree is not None


def test_both_arms_of_a_block_get_the_same_prompts_in_an_order_nobody_chose(played):
    folder, _ = played
    database = folder.open(read_only=True)
    orders = []
    for digest in database.blocks("confirm"):
        block = folder.blobs().load(BenchBlock, digest)
        texts = {folder.blobs().get(run.rows).split(b'"')[3] for run in block.runs}
        assert len(texts) == 1
        orders.append(block.order)
    database.close()
    assert orders[::2] == ["AB" if o == "BA" else "BA" for o in orders[1::2]]


def test_two_weak_rounds_widen_the_research_and_two_more_end_it(tmp_path):
    spec = simulated_spec("weak", [0.0] * 4, QUIET)
    policy = replace(spec.policy, weak_rounds=2, per_round=1, max_candidates=40)
    folder = begin(
        tmp_path / "c",
        replace(spec, policy=policy, budgets=Budgets(rounds=None, candidates=40)),
        SEEDS,
        sync=False,
    )
    end = finish(folder)
    assert (end.end, end.round, end.candidate, end.widened) == (End.STALLED, 4, 4, 1)
    assert [row.kind for row in rows(folder)].count("stall") == 4


@pytest.mark.parametrize(
    ("budgets", "words"),
    [
        (Budgets(rounds=1, candidates=1), "1 candidates"),
        (Budgets(rounds=0, candidates=2), "0 rounds"),
        (Budgets(candidates=2, disk_bytes=10), "bytes on disk"),
    ],
)
def test_a_budget_is_an_ordinary_end(tmp_path, budgets, words):
    end = finish(made(tmp_path / "c", (0.0, 0.0), budgets=budgets))
    assert (end.state, end.end) == (State.CLOSED, End.BUDGET)
    assert words in end.end_reason


def test_a_machine_that_is_too_noisy_is_refused_not_measured(tmp_path):
    folder = made(tmp_path / "c", (0.03,), Noise(run=0.2))
    end = finish(folder)
    assert (end.end, end.candidate) == (End.BLOCKED, 0)
    assert "too noisy" in end.end_reason
    assert sum(row.text.startswith("noisy") for row in rows(folder)) == 2


class Host:
    """A workbench whose machine can be disturbed."""

    def __init__(self, folder, spoil):
        self._bench = workbench_of(folder, session.spec_of(folder))
        self._spoil = spoil

    def perform(self, task, spool):
        return self._spoil(task) or self._bench.perform(task, spool)


def spoiled(folder, spoil):
    bench = Host(folder, spoil)
    return Driver(folder, Inline(lambda key: perform_step(folder, key, bench)))


def test_what_cannot_run_here_ends_it_with_the_reason(tmp_path):
    folder = made(tmp_path / "c")

    def absent(task):
        return (
            Preflighted(missing=(("target", "no such engine"),)) if isinstance(task, PreflightTask) else None
        )

    driver = spoiled(folder, absent)
    end = driver.run()
    driver.close()
    assert (end.end, end.end_reason) == (End.BLOCKED, "the target can't run here: no such engine")
    assert rows(folder)[-2].kind == "external_block"


def test_a_failure_of_the_machinery_is_tried_again_and_is_no_evidence(tmp_path):
    folder = made(tmp_path / "c", (0.03,))
    failures = {"gate": 1}

    def once(task):
        if task.kind == "gate" and failures["gate"]:
            failures["gate"] -= 1
            return Failed(reason="OUT_OF_LUCK", detail="once")
        return None

    driver = spoiled(folder, once)
    end = driver.run()
    driver.close()
    assert [kept.candidate for kept in end.accepted] == [1]
    assert sum("OUT_OF_LUCK" in row.text for row in rows(folder)) == 1


def test_a_proposer_that_cannot_work_here_ends_its_turn_not_the_campaign(tmp_path):
    folder = made(tmp_path / "c", (0.03,), policy=replace(Policy(), max_candidates=1, weak_rounds=1))

    def no_endpoint(task):
        return Failed(reason="LlmSettingsError", detail="no endpoint") if task.kind == "propose" else None

    driver = spoiled(folder, no_endpoint)
    end = driver.run()
    driver.close()
    assert (end.end, end.candidate) == (End.STALLED, 0)
    assert any(row.text == "scripted can't propose: LlmSettingsError: no endpoint" for row in rows(folder))


# --------------------------------------------------------------------------------------------- what is stored


def test_ledger_rows_cannot_be_changed_or_removed(played):
    folder, _ = played
    database = sqlite3.connect(folder.database)
    for statement in ("UPDATE ledger SET at = 0", "DELETE FROM ledger"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            database.execute(statement)
    database.close()


def test_a_state_may_only_follow_as_agreed(tmp_path):
    folder = made(tmp_path / "c")
    database = folder.open()
    at = database.progress()
    with pytest.raises(CampaignError, match="may not follow"):
        database.turn(at, replace(at, state=State.MEASURE), ())
    database.turn(at, replace(at, state=State.PREFLIGHT), (Entry("note", "b", "t"),))
    with pytest.raises(CampaignError, match="another process"):
        database.turn(at, replace(at, state=State.PREFLIGHT), ())
    assert len(database.ledger()) == 2
    database.close()


def test_one_drives_and_the_kernel_takes_the_lock_back(tmp_path):
    folder = made(tmp_path / "c")
    with folder.driving(), pytest.raises(Busy), folder.driving():
        pass
    with folder.driving():
        pass


def test_a_blob_that_was_changed_is_not_given_out(tmp_path):
    blobs = Folder(tmp_path, sync=False).blobs()
    digest = blobs.put(b"text")
    assert blobs.put(b"text") == digest
    path = tmp_path / "objects" / digest[:2] / digest[2:]
    path.chmod(0o600)
    path.write_bytes(b"next")
    with pytest.raises(Corrupt):
        blobs.get(digest)
    with pytest.raises(Corrupt):
        blobs.get("0" * 64)
    assert Folder(tmp_path).blobs(lambda raw: raw.replace(b"key", b"***")).put(b"a key") != blobs.put(
        b"a key"
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"workloads": ()}, "no workload"),
        ({"policy": Policy(alpha=1.5)}, "alpha"),
        ({"policy": Policy(confirm_pairs=4)}, "confirm_pairs"),
        ({"policy": Policy(max_pairs=8, pairs_per_restart=4)}, "can't show any gain"),
        ({"budgets": Budgets(candidates=50)}, "above"),
    ],
)
def test_a_spec_that_makes_no_sense_is_refused(change, words):
    assert words in unfit(replace(simulated_spec("x", [0.0]), **change))


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CampaignError, match="not empty"):
        begin(tmp_path, simulated_spec("x", [0.0]))
    with pytest.raises(CampaignError, match="no campaign"):
        Folder(tmp_path / "nowhere").open()


# ---------------------------------------------------------------------------------------------- stops and kills


def test_a_full_disk_stops_it_clearly_and_it_goes_on_afterwards(tmp_path):
    want = torture_outcome(tmp_path / "clean")
    folder = made(tmp_path / "c")
    left = {"points": 150}

    def fill(name):
        left["points"] -= 1
        if left["points"] <= 0 and name.startswith(("written", "before commit")):
            raise OSError(errno.ENOSPC, "No space left on device")

    durable.observe(fill)
    try:
        driver = inline_driver(folder)
        with pytest.raises(DiskFull, match="prlore loop resume"):
            driver.run()
        driver.close()
    finally:
        durable._observers.remove(fill)
    finish(folder)
    assert torture.outcome(folder.path) == want


def torture_outcome(path):
    folder = made(path)
    finish(folder)
    return torture.outcome(folder.path)


def test_a_clock_that_was_set_stops_it_clearly_and_the_block_does_not_count(tmp_path, monkeypatch):
    folder = made(tmp_path / "c")
    calls = {"left": 7}

    def set_back():
        calls["left"] -= 1
        wall = -3600 * 10**9 if calls["left"] == 0 else 0
        return Reading(HostState(load=0.0, wall_ns=wall), 0.0, 0.0)

    monkeypatch.setattr("loop.workbench.simulated_bench.simulated_host", set_back)
    driver = inline_driver(folder)
    with pytest.raises(ClockJump, match="does not count"):
        driver.run()
    driver.close()
    end = finish(folder)
    assert end.state == State.CLOSED
    database = folder.open(read_only=True)
    blocks = [folder.blobs().load(BenchBlock, digest) for digest in database.blocks("aa/0")]
    database.close()
    assert [block.reason.partition(" ")[0] for block in blocks if not block.valid] == ["CLOCK"]
    assert sum(block.valid for block in blocks) == 8


def test_a_step_without_a_result_says_what_its_process_said(tmp_path):
    folder = made(tmp_path / "c")
    database = folder.open()

    class Ended:
        def start(self, key, intend):
            from loop.campaign.processes import Identity

            (folder.spool / key / "log").write_text("first\nlast words\n")
            intend(Identity(0, "", ""))

        def ended(self, who):
            return 1

    steps = Steps(folder, database, Ended(), "p")
    with pytest.raises(StepFailed, match="last words"):
        steps.run(PreflightTask(), Preflighted)
    database.close()


def test_killed_in_the_driver_at_any_point_it_ends_the_same(tmp_path):
    """A few points here; all of them in tests/bench/loop_torture.py."""
    torture.make(tmp_path / "clean", [0.04])
    count = torture.points(tmp_path / "clean", inline=True)
    want = torture.outcome(tmp_path / "clean")
    for point in range(random.Random(3).randrange(1, 40), count, count // 5):
        path = tmp_path / f"killed-{point}"
        torture.make(path, [0.04])
        killed = torture.drive(path, point, inline=True)
        killed.communicate(timeout=300)
        assert killed.returncode == -signal.SIGKILL
        torture.points(path, inline=True)
        assert torture.outcome(path) == want, point


def test_killed_with_its_children_it_ends_the_same_and_repeats_a_block_a_kill_at_most(tmp_path):
    torture.make(tmp_path / "clean", [0.04])
    torture.points(tmp_path / "clean")
    want = torture.outcome(tmp_path / "clean")
    path, trace = tmp_path / "killed", tmp_path / "trace"
    torture.make(path, [0.04])
    draw = random.Random(4)
    kills = 0
    for _ in range(3):
        driver = torture.drive(path, None, trace)
        time.sleep(draw.uniform(0.4, 1.4))
        if driver.poll() is None:
            os.kill(driver.pid, signal.SIGKILL)
            kills += 1
        torture.kill_children(path)
        driver.communicate(timeout=60)
    torture.points(path)
    assert torture.outcome(path) == want
    arms, _ = torture.repeated(trace)
    assert arms <= 2 * max(kills, 1)


def test_a_cancelled_campaign_keeps_what_it_measured(tmp_path):
    folder = made(tmp_path / "c")
    driver = inline_driver(folder)
    driver.run(turns=4)
    driver.close()
    at = session.cancel(folder.path, "enough")
    assert (at.end, at.end_reason, at.state) == (End.CANCELLED, "enough", State.CLOSED)
    assert (folder.views / "final_report.md").exists()
    with pytest.raises(CampaignError, match="closed already"):
        session.cancel(folder.path, "again")
    with pytest.raises(CampaignError, match="init a new one"):
        session.submit(folder.path, b"patch", "", "me")


def test_a_patch_is_taken_once(tmp_path):
    folder = made(tmp_path / "c")
    session.submit(folder.path, b"diff", "", "me")
    with pytest.raises(CampaignError, match="before"):
        session.submit(folder.path, b"diff", "", "me")
    with pytest.raises(CampaignError, match="no evidence"):
        session.submit(folder.path, b"other", "abc", "me")
    with pytest.raises(CampaignError, match="empty"):
        session.submit(folder.path, b"\n", "", "me")


def test_a_database_of_another_version_is_named(tmp_path):
    folder = made(tmp_path / "c")
    database = sqlite3.connect(folder.database)
    database.execute("UPDATE campaign SET version = 99")
    database.commit()
    database.close()
    with pytest.raises(CampaignError, match="another version"):
        Database(folder.database)


def test_the_state_in_the_file_is_checked(tmp_path):
    folder = made(tmp_path / "c")
    database = sqlite3.connect(folder.database)
    database.execute("UPDATE campaign SET progress = ?", (canonical(Progress(round=7)),))
    database.commit()
    database.close()
    with pytest.raises(Corrupt):
        session.state_of(folder)


def test_the_same_seed_plays_the_same_campaign(tmp_path):
    spec = simulated_spec("same", [0.0, 0.03], QUIET)
    assert play(tmp_path / "a", spec, "s") == play(tmp_path / "b", spec, "s")
    assert play(tmp_path / "c", spec, "t") != play(tmp_path / "a2", spec, "s")
