"""Options that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from analysis.steps import Stage

_Command = TypeVar("_Command", bound=Callable[..., Any])
PATH = click.Path(path_type=Path)
# those of `analysis.steps.Stage`, and SGLang's word for prefill
STAGES = ("prefill", "extend", "decode", "mixed", "target-verify", "draft", "idle", "unknown")


def files_argument(what: str = "FILE…") -> Callable[[_Command], _Command]:
    """One file or more, as `files`."""
    return click.argument("files", nargs=-1, required=True, metavar=what, type=PATH)


def format_option(forms: Iterable[str], more: str = "") -> Callable[[_Command], _Command]:
    """How to write it, as `form`; the first form is the default."""
    names = list(forms)
    return click.option(
        "--format", "form", type=click.Choice(names), default=names[0], show_default=True, help=f"How to write it{more}."
    )  # fmt: skip


def top_option(default: int, what: str) -> Callable[[_Command], _Command]:
    """How many rows, as `top`."""
    return click.option("--top", type=click.IntRange(1), default=default, show_default=True, help=what)


def config_option(what: str) -> Callable[[_Command], _Command]:
    """A model's configuration, as `config`."""
    return click.option("--config", type=PATH, metavar="FILE", help=f"The model's config.json: {what}.")


def output_option(command: _Command) -> _Command:
    """Where to write it, as `output`."""
    return click.option("--output", type=PATH, metavar="FILE", help="Write to this file.")(command)


def stage_option(*, multiple: bool = False) -> Callable[[_Command], _Command]:
    """A stage (stages, where several may be named), as `stage`."""
    what = "Only this stage; may be repeated." if multiple else "One stage alone."
    return click.option(
        "--stage", type=click.Choice(STAGES), multiple=multiple, callback=_stages if multiple else _stage, help=what
    )  # fmt: skip


def _stage(ctx: click.Context, param: click.Parameter, name: str | None) -> Stage | None:
    from analysis.steps import Stage  # numpy isn't needed for --help

    return None if name is None else Stage("prefill" if name == "extend" else name)


def _stages(ctx: click.Context, param: click.Parameter, names: Iterable[str]) -> tuple[Stage, ...]:
    found = (_stage(ctx, param, name) for name in names)
    return tuple(stage for stage in found if stage is not None)


def say_what_is_missing(file: str, wanted: Iterable[Stage], there: Iterable[Stage]) -> None:
    """A line on stderr for stages that were asked for and that a trace doesn't have."""
    have = set(there)
    if lacking := [stage for stage in wanted if stage not in have]:
        others = ", ".join(stage for stage in STAGES if stage in have) or "none"
        click.echo(f"prlore: {file}: no {', '.join(lacking)} in this trace; its stages: {others}", err=True)
