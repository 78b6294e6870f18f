"""`prlore install` and `prlore uninstall`: the skill that tells a coding agent when to ask prlore."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kb.commands.options import complete_family, json_option, kb_option, open_store

if TYPE_CHECKING:
    from kb.skills.install import Change

F = TypeVar("F", bound=Callable[..., Any])


def _place_options(command: F) -> F:
    """Which agent, where, and how careful."""
    for option in (
        click.option("--force", is_flag=True, help="Also files that somebody changed."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        click.option(
            "--project", type=click.Path(path_type=Path, file_okay=False, exists=True), metavar="DIR",
            help="In this project.  [default: for all projects, in the home folder]",
        ),
        click.option(
            "--agent", required=True, type=click.Choice(["claude", "codex", "cursor"]), help="Which coding agent."
        ),
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("install")
@_place_options
@click.option("--family", "families", multiple=True, shell_complete=complete_family, metavar="[ENGINE:]NAME", help="Add the manual of a model family; may be repeated.")  # fmt: skip
@click.option("--checkout", type=click.Path(path_type=Path), metavar="PATH", help="A clone in which the manuals' paths are looked up.")  # fmt: skip
@kb_option
@json_option
def install(
    agent: str, project: Path | None, dry_run: bool, force: bool, families: tuple[str, ...], checkout: Path | None,
    kb: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Install the prlore skill for a coding agent: when to run which command, and what counts as evidence."""
    from kb.skills.agents import AGENTS
    from kb.skills.bundle import SKILL, skill_bundle, wanted
    from kb.skills.install import install as put

    chosen = [wanted(name) for name in families]
    files = skill_bundle(open_store(kb) if chosen else None, chosen, checkout)
    found = AGENTS[agent]  # type: ignore[index]
    folder = found.skills(project or Path.home()) / SKILL
    changes = put(folder, files, force=force, dry_run=dry_run)
    _tell(agent, folder, changes, dry_run=dry_run, as_json=as_json)
    if not as_json:
        click.echo(f"the MCP server, if you want its tools as well: {found.mcp}")


@click.command("uninstall")
@_place_options
@json_option
def uninstall(agent: str, project: Path | None, dry_run: bool, force: bool, as_json: bool) -> None:
    """Remove the prlore skill from a coding agent; files that somebody changed stay."""
    from kb.skills.agents import AGENTS
    from kb.skills.bundle import SKILL
    from kb.skills.install import uninstall as take

    folder = AGENTS[agent].skills(project or Path.home()) / SKILL  # type: ignore[index]
    _tell(agent, folder, take(folder, force=force, dry_run=dry_run), dry_run=dry_run, as_json=as_json)


def _tell(agent: str, folder: Path, changes: Sequence[Change], *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        rows = [{"path": str(c.path), "what": c.what} for c in changes]
        click.echo(json.dumps({"agent": agent, "folder": str(folder), "dry_run": dry_run, "files": rows}))
        return
    for change in changes:
        click.echo(f"{'would ' if dry_run and not change.what.startswith('kept') else ''}{change.what}: {change.path}")  # fmt: skip
