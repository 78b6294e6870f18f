"""A driver's sitting: take the lock, go on, close, render, seal."""

from __future__ import annotations

from pathlib import Path

from loop.campaign import seal
from loop.campaign.errors import Busy, CampaignError, Corrupt
from loop.campaign.folder import Folder
from loop.campaign.progress import Progress, State
from loop.campaign.steps import Runner
from loop.driver.drive import Driver, Listener
from loop.protocols import Trees
from loop.records import CampaignSpec
from loop.redaction import Redactor
from loop.workbench.perform import SIMULATED


def sit(
    path: Path, listen: Listener | None = None, runner: Runner | None = None, *, sync: bool = True
) -> Progress:
    """Drive a campaign as far as it goes; a closed one is only rendered and sealed where that is missing.

    Raises:
        PrloreError: something that a user can mend; the campaign can be resumed.
    """
    folder = Folder(path.absolute(), sync)
    with folder.driving():
        at = state_of(folder)
        if at.state != State.CLOSED:
            driver = Driver(folder, runner, trees_of(folder), listen)
            try:
                at = driver.run()
            finally:
                driver.close()
        if at.state == State.CLOSED and not (folder.path / seal.NAME).exists():
            render_and_seal(folder)
    return at


def render_and_seal(folder: Folder) -> None:
    """Write the views, then the seal over everything."""
    from loop.reports.views import render

    render(folder, folder.views)
    seal.seal(folder.path, sync=folder.sync)


def report(path: Path) -> str:
    """Render everything anew; the report's text. A closed campaign is sealed anew.

    Raises:
        PrloreError: something stored is not what was stored, or another process drives it.
    """
    from loop.reports.views import render

    folder = Folder(path.absolute())
    with folder.driving():
        changed = [problem for problem in seal.broken(folder.path) if not problem.startswith("run/")]
        if changed:
            raise Corrupt(
                f"{path}: {changed[0]} since it was sealed; `prlore loop verify {path}` says what else"
            )
        render(folder, folder.views)
        if state_of(folder).state == State.CLOSED:
            seal.seal(folder.path)
    return (folder.views / "final_report.md").read_text("utf-8")


def state_of(folder: Folder) -> Progress:
    """Where a campaign is, without changing its file."""
    database = folder.open(read_only=True)
    try:
        return database.progress()
    finally:
        database.close()


def spec_of(folder: Folder) -> CampaignSpec:
    """What a campaign is about."""
    database = folder.open(read_only=True)
    try:
        return folder.spec(database)
    finally:
        database.close()


def trees_of(folder: Folder) -> Trees | None:
    """The target's source, None for campaigns that have none."""
    spec = spec_of(folder)
    if spec.target.name == SIMULATED or spec.target.repository is None:
        return None
    from loop.trees.campaign import CampaignTrees

    return CampaignTrees(folder.git)


def cancel(path: Path, reason: str) -> Progress:
    """Ask the driver to end; where nobody drives, end it here.

    Raises:
        CampaignError: it is closed.
    """
    folder = Folder(path.absolute())
    if state_of(folder).state == State.CLOSED:
        raise CampaignError(f"the campaign in {path} is closed already")
    database = folder.open()
    try:
        database.request("cancel", reason)
    finally:
        database.close()
    try:
        return sit(path)
    except Busy:
        return state_of(folder)  # whoever drives it sees the request at the next turn


def submit(path: Path, patch: bytes, evidence: str, source: str) -> str:
    """Hand in a patch; the digest it is kept under.

    Raises:
        CampaignError: the campaign is closed, the patch is empty or was handed in before.
    """
    folder = Folder(path.absolute())
    at = state_of(folder)
    if at.end is not None:
        raise CampaignError(
            f"the campaign in {path} is on its way out ({at.end}); init a new one with parent"
        )
    if not patch.strip():
        raise CampaignError("the patch is empty")
    database = folder.open()
    try:
        known = {row.body for row in database.ledger() if row.kind == "source_idea"}
        named = [digest for digest in sorted(known) if evidence and digest.startswith(evidence)]
        if evidence and len(named) != 1:
            raise CampaignError(f"no evidence {evidence!r}; `prlore loop status {path}` lists what there is")
        digest = folder.blobs(Redactor()).put(patch)
        if not database.submit(digest, named[0] if named else "", source):
            raise CampaignError("this patch was handed in before")
        return digest
    finally:
        database.close()
