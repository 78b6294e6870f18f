"""Options that several commands share, and how a command opens the store."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ingest.errors import PrloreError

if TYPE_CHECKING:
    from kb.store import Store

F = TypeVar("F", bound=Callable[..., Any])


class UsageProblem(PrloreError):
    """An option's value that can't be used."""


def kb_option(command: F) -> F:
    """`--kb URI`."""
    return click.option(
        "--kb", metavar="URI", envvar="PRLORE_KB", help="Knowledge base: a folder or any address LanceDB takes. [default: the user data folder]"
    )(command)  # fmt: skip


def json_option(command: F) -> F:
    """`--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def checkout_options(command: F) -> F:
    """`--checkout PATH` and `--rev REV`."""
    command = click.option(
        "--rev", metavar="REV", default="", help="A branch, tag or commit of the clone.  [default: HEAD]"
    )(command)
    return click.option(
        "--checkout", metavar="PATH", type=click.Path(path_type=Path),
        help="A clone or bare repository of the engine.  [default: the one last named]",
    )(command)  # fmt: skip


def open_store(uri: str | None) -> Store:
    """Open the store of `--kb`; LanceDB is imported here and not before."""
    from kb.location import default_uri
    from kb.store import Store

    return Store.open(uri or default_uri())


def created_by() -> dict[str, str]:
    """What a new store remembers of who made it: the installed prlore."""
    from importlib.metadata import version

    return {"created_by": f"prlore {version('prlore')}"}


def parse_date(text: str | None, option: str) -> str:
    """A date or time of an option as ISO 8601 in UTC, empty for none.

    Raises:
        UsageProblem: it is neither `2026-01-31` nor an ISO 8601 time.
    """
    if not text:
        return ""
    try:
        if len(text) == 10:
            moment = datetime.combine(date.fromisoformat(text), datetime.min.time(), UTC)
        else:
            moment = datetime.fromisoformat(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):
        raise UsageProblem(
            f"{option} {text!r} is no date: write it as 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


def parse_repo(text: str | None) -> str:
    """`owner/name` from what a user types: engine names stand for their upstream repositories.

    Raises:
        UsageProblem: it is neither.
    """
    if not text:
        return ""
    from kb.references import repository_of

    repo = repository_of(text)
    if repo is None:
        raise UsageProblem(f"no repository named {text!r}: write owner/name, or one of sglang, vllm, trtllm")
    return repo


def complete_family(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Families and groups that begin as typed, for the shell."""
    from kb.families import load_families

    entries = load_families().entries
    names = dict.fromkeys(n for f in entries for n in (f.slug, f.group) if n)
    return sorted(n for n in names if n.startswith(incomplete.lower()))


def complete_repo(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Engines and their repositories, for the shell."""
    from kb.references import ENGINES

    return [n for n in (*ENGINES, *ENGINES.values()) if n.startswith(incomplete)]


def is_terminal() -> bool:
    """Whether a person watches stderr, so that a progress bar helps."""
    return sys.stderr.isatty()
