"""`prlore loop`: campaigns that measure changes of an engine and keep what holds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from loop.campaign.database import Entry
    from loop.campaign.progress import Progress

_FOLDER = click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="CAMPAIGN")
_JSON = click.option("--json", "as_json", is_flag=True, help="Write JSON.")


@click.group()
def loop() -> None:
    """Run optimisation campaigns: measure, propose, check, decide, remember.

    A campaign is a folder. `init` freezes it, `run` and `resume` drive it, `verify` computes every verdict again.
    """


@loop.command()
@click.argument("spec", type=click.Path(path_type=Path), metavar="SPEC.toml")
@click.option("--into", type=click.Path(path_type=Path), metavar="FOLDER", help="Folder of the campaign; its name by default.")  # fmt: skip
def init(spec: Path, into: Path | None) -> None:
    """Freeze a campaign: spec, commits, digests of the model, policy, budgets, a secret seed."""
    from ingest.git import open_repository
    from loop.campaign.begin import begin
    from loop.campaign.spec_file import read_spec

    def resolve(repository: str, revision: str) -> str:
        with open_repository(Path(repository)) as found:
            return found.resolve(revision)

    frozen = read_spec(spec, resolve)
    folder = begin(into or Path(frozen.name), frozen)
    click.echo(f"{folder.path}: frozen as {frozen.name}; `prlore loop run {into or frozen.name}` drives it")


@loop.command()
@_FOLDER
@click.option("--quiet", is_flag=True, help="Say only how it ends.")
def run(folder: Path, quiet: bool) -> None:
    """Drive a campaign until it ends. Interrupt it at any time; `resume` goes on."""
    _drive(folder, quiet)


@loop.command()
@_FOLDER
@click.option("--quiet", is_flag=True, help="Say only how it ends.")
def resume(folder: Path, quiet: bool) -> None:
    """Go on where a campaign was stopped or killed; finished and running steps are adopted."""
    _drive(folder, quiet)


def _drive(folder: Path, quiet: bool) -> None:
    from kb.reports.safe import one_line
    from loop.driver.session import sit

    def listen(at: Progress, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            click.echo(
                f"{at.state:9} round {at.round} candidate {at.candidate}: {one_line(entry.text)}", err=True
            )

    at = sit(folder, None if quiet else listen)
    click.echo(f"{at.end or at.state}: {one_line(at.end_reason)}")
    click.echo(f"report: {folder / 'run' / 'final_report.md'}")


def _listener() -> Callable[[Progress, tuple[Entry, ...]], None]:
    """Says every ledger row as it is written."""
    from kb.reports.safe import one_line

    def listen(at: Progress, entries: tuple[Entry, ...]) -> None:
        for entry in entries:
            click.echo(
                f"{at.state:9} round {at.round} candidate {at.candidate}: {one_line(entry.text)}", err=True
            )

    return listen


@loop.command()
@_FOLDER
@_JSON
def status(folder: Path, as_json: bool) -> None:
    """Say where a campaign is, what it used, and which evidence patches can be handed in for."""
    from loop.reports.status import as_text, status_of

    found = status_of(folder)
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        click.echo(as_text(found))


@loop.command()
@_FOLDER
@click.argument("patch", type=click.Path(path_type=Path, allow_dash=True))
@click.option("--evidence", default="", metavar="ID", help="Evidence from `status`; by default the first whose file the patch changes.")  # fmt: skip
@click.option("--from", "source", default="", metavar="NAME", help="Whose patch it is.")
def submit(folder: Path, patch: Path, evidence: str, source: str) -> None:
    """Hand in a patch; it passes the same gates as any other."""
    from loop.campaign.errors import CampaignError
    from loop.driver.session import submit as hand_in

    try:
        raw = sys.stdin.buffer.read() if str(patch) == "-" else patch.read_bytes()
    except OSError as exc:
        raise CampaignError(f"can't read the patch {patch}: {exc.strerror}") from exc
    digest = hand_in(folder, raw, evidence, source or "human")
    click.echo(f"handed in as {digest[:12]}; it is taken before any other proposal")


@loop.command()
@_FOLDER
@click.option("--reason", default="cancelled by its user", show_default=True, help="Kept in the ledger.")
def cancel(folder: Path, reason: str) -> None:
    """End a campaign; everything measured stays and is reported."""
    from loop.driver.session import cancel as ask

    at = ask(folder, reason)
    click.echo(f"{at.end or at.state}" if at.end else "asked; the driver ends at its next turn")


@loop.command()
@_FOLDER
def report(folder: Path) -> None:
    """Write the report and all views anew and print the report."""
    from loop.driver.session import report as write

    click.echo(write(folder))


@loop.command()
@_FOLDER
@_JSON
def verify(folder: Path, as_json: bool) -> None:
    """Compute every verdict again from raw rows and find any changed byte; exit status 1 if something is wrong."""
    from loop.campaign.folder import Folder
    from loop.campaign.verify import verify as check

    found = check(Folder(folder.absolute()))
    if as_json:
        import msgspec

        click.echo(msgspec.json.encode(found).decode())
    else:
        from kb.reports.safe import one_line

        for line in (*found.problems, *(f"note: {note}" for note in found.notes)):
            click.echo(one_line(line))
        click.echo(
            f"{found.blobs} stored files, {found.rows} ledger rows, {found.blocks} blocks, {found.comparisons}"
            f" comparisons, {found.verdicts} verdicts: {'NOT as stored' if found.problems else 'as stored'}"
        )
    if found.problems:
        sys.exit(1)


@loop.command()
@_FOLDER
@click.option(
    "--to", "into", type=click.Path(path_type=Path), required=True, metavar="FOLDER", help="A new folder."
)
def export(folder: Path, into: Path) -> None:
    """Write the run folder, the ledger as JSON lines and all that they link to, for somebody else."""
    from loop.reports.export import export as write

    click.echo(f"{into}: {write(folder, into)} files")


@loop.command()
@click.option("--null-campaigns", type=click.IntRange(0), default=20, show_default=True, metavar="N", help="Campaigns of 20 candidates that change nothing.")  # fmt: skip
@click.option("--planted", type=click.IntRange(0), default=40, show_default=True, metavar="N", help="Campaigns with a candidate of +3 % and one of +2 %.")  # fmt: skip
@click.option("--noise", type=click.FloatRange(0.0001, 0.5), default=0.01, show_default=True, help="Standard deviation of a run.")  # fmt: skip
@click.option("--drift", type=click.FloatRange(0, 0.5), default=0.02, show_default=True, help="Standard deviation of the slow drift.")  # fmt: skip
@click.option("--seed", default="selftest", show_default=True, help="The same seed gives the same campaigns.")
@_JSON
def selftest(null_campaigns: int, planted: int, noise: float, drift: float, seed: str, as_json: bool) -> None:
    """Play campaigns whose truth is known through the real driver: does it lie, does it find what is there."""
    from loop.selftest.run import as_text
    from loop.selftest.run import selftest as play
    from loop.workbench.simulated import Noise

    found = play(
        null_campaigns,
        planted,
        Noise(run=noise, drift=drift),
        seed,
        None if as_json else lambda text: click.echo(text, err=True),
    )
    if as_json:
        import msgspec

        click.echo(msgspec.json.format(msgspec.json.encode(found), indent=1).decode())
    else:
        click.echo(as_text(found))
    if not found.passed:
        sys.exit(1)


@loop.command()
@click.option("--into", type=click.Path(path_type=Path), default=Path("demo-loop"), show_default=True, metavar="FOLDER", help="A new folder.")  # fmt: skip
def demo(into: Path) -> None:
    """Run a whole campaign on the fake engine: gap, profile, cards, a person's patch, a backport, options, report."""
    from loop.campaign.errors import CampaignError
    from loop.selftest.demo import demo as play

    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise CampaignError(f"{into} is not empty: name a new folder with --into")
    folder = play(into, lambda text: click.echo(text, err=True), _listener())
    click.echo((folder.views / "final_report.md").read_text("utf-8"))
