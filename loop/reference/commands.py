"""Every command with its arguments and options, as click knows them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from loop.cli import COMMANDS, cli


def commands_page() -> str:
    """The page of the command line."""
    root = click.Context(cli, info_name="prlore", **cli.context_settings)
    lines = [
        "# Command line", "",
        "`prlore --version` says which version this is, `prlore COMMAND --help` prints what stands here. Options of a command can",
        "also be set in the environment: [settings](configuration.md). Exit status: 0 done, 1 something was found or is missing",
        "(each command says what), 2 bad input, with one line that says what and how to mend it, 130 interrupted.", "",
        "| command | what it does |", "|---|---|",
        *(f"| [`{name}`](#prlore-{name}) | {text} |" for name, (_, _, text) in COMMANDS.items()), "",
    ]  # fmt: skip
    for name in cli.list_commands(root):
        command = cli.get_command(root, name)
        assert command is not None
        for path, found in walk(f"prlore {name}", command):
            lines += _section(path, found)
    return "\n".join(lines).rstrip() + "\n"


def walk(path: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """A command and those below it, by what is typed."""
    yield path, command
    if isinstance(command, click.Group):
        for name in sorted(command.commands):
            yield from walk(f"{path} {name}", command.commands[name])


def _section(path: str, command: click.Command) -> list[str]:
    depth = "##" if path.count(" ") == 1 else "###"
    said = _prose(command.help or "")
    lines = [f"{depth} {path}", "", *said, ""]
    if isinstance(command, click.Group):
        return lines
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    usage = " ".join([path, *(_metavar(a) for a in arguments), "[OPTIONS]"])
    lines += [f"`{usage}`", ""]
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    if options:
        lines += ["| option | meaning |", "|---|---|", *(_option(o) for o in options), ""]
    return lines


def _prose(text: str) -> list[str]:
    """A help text as paragraphs of one line."""
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    return [line for p in paragraphs for line in (_cell(p), "")][:-1]


def _metavar(argument: click.Argument) -> str:
    shown = argument.metavar or (argument.name or "").upper()
    return shown if argument.required or shown.startswith("[") else f"[{shown}]"


def _option(option: click.Option) -> str:
    names = ", ".join(f"`{n}`" for n in (*option.opts, *option.secondary_opts))
    value = "" if option.is_flag else f" `{option.metavar or _choices(option)}`"
    about = " ".join((option.help or "").split())
    if option.required:
        about += " Required."
    shown = option.default if option.show_default and isinstance(option.default, (str, int, float)) else None
    if shown not in (None, False, ""):
        about += f" Default: `{shown}`."
    return f"| {names}{_cell(value)} | {_cell(about)} |"


def _choices(option: click.Option) -> str:
    if isinstance(option.type, click.Choice):
        return "|".join(map(str, option.type.choices))
    return option.type.name.upper().split(" ")[0]


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
