"""`prlore completion`: what a shell needs to complete commands, options, families and repositories."""

from __future__ import annotations

import click

_VARIABLE = "_PRLORE_COMPLETE"  # what click looks for


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of a shell.

    bash: `eval "$(prlore completion bash)"` in ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish:
    `prlore completion fish > ~/.config/fish/completions/prlore.fish`.
    """
    from click.shell_completion import get_completion_class

    from loop.cli import cli

    found = get_completion_class(shell)
    assert found is not None
    # the script alone: asking the shell for its version, as click's own way does, needs the shell to be here
    made = found(cli, {}, "prlore", _VARIABLE)
    click.echo(made.source_template % made.source_vars())
