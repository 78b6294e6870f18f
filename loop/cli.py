"""The root of the command line. It holds names, not imports: `prlore --help` loads nothing else of ours."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from typing import Any

import click

# command -> (module, attribute, one line of help, so that the list needs no import)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "ingest": ("kb.commands.ingest", "ingest", "Read pull requests into the knowledge base."),
    "query": ("kb.commands.query", "query", "Find the pull requests that bear on a question."),
    "evidence": ("kb.commands.evidence", "evidence", "Find the changes that bear on a bottleneck."),
    "review": ("kb.commands.review", "review", "Review a change against what past ones taught."),
    "show": ("kb.commands.show", "show", "Show one dossier card."),
    "card": ("kb.commands.card", "card", "Review, edit, export and import dossier cards."),
    "gate": ("kb.commands.gate", "gate", "Check cards against the review gate."),
    "families": ("kb.commands.families", "families", "List model families, or what one covers."),
    "family": ("kb.commands.family", "family", "Write the manual of a model family in one engine."),
    "where": ("kb.commands.where", "where", "Say where something is in an engine's source tree."),
    "status": ("kb.commands.status", "status", "Say what the knowledge base holds."),
    "watch": (
        "kb.commands.watch",
        "watch",
        "List open pull requests on a surface, reviews and overlaps.",
    ),
    "forget": ("kb.commands.forget", "forget", "Remove a person's words everywhere."),
    "doctor": ("kb.commands.doctor", "doctor", "Find what is missing here and the command that mends it."),
    "eval": ("kb.commands.evaluate", "evaluate", "Score retrieval against judged questions."),
    "trace": ("loop.commands.trace", "trace", "Say what took the time of a profiler trace."),
    "layers": ("analysis.commands.layers", "layers", "Find forward passes and layers in a trace."),
    "roofline": (
        "analysis.commands.roofline",
        "roofline",
        "Hold a trace's kernels against the device's peaks.",
    ),
    "ncu": ("analysis.commands.ncu", "ncu", "Digest Nsight Compute counters into one next edit."),
    "bench": ("analysis.commands.bench", "bench", "Compare serving benchmarks of any client."),
    "site": ("loop.commands.site", "site", "Make static pages of all that is held, and show them."),
    "embed": ("kb.commands.embed", "embed", "Give the cards vectors of a model."),
    "train": ("kb.commands.train", "train", "Make the models and weights in data/ anew."),
    "starter": ("kb.commands.starter", "starter", "Keep the embedded cards in data/cards true."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are run."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from names alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of a name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; `prlore --help` lists them"
            raise click.UsageError(f"no command named {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


@click.command(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "PRLORE"}
)
@click.version_option(package_name="prlore", prog_name="prlore")
def cli() -> None:
    """Evidence from merged pull requests of SGLang, vLLM and TensorRT-LLM."""


def main(args: list[str] | None = None) -> None:
    """Run the command line; errors a user can mend are one line on stderr and exit status 2."""
    try:
        result: Any = cli.main(args=args, prog_name="prlore", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("prlore: interrupted", err=True)
        sys.exit(130)
    except click.exceptions.NoArgsIsHelpError as exc:
        exc.show()  # a group without a command is asked what it has
        sys.exit(2)
    except click.ClickException as exc:
        click.echo(f"prlore: {' '.join(exc.format_message().split())}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        # the reader of our output has gone; a second flush at exit must not fail too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except KeyboardInterrupt:
        click.echo("prlore: interrupted", err=True)
        sys.exit(130)
    except Exception as exc:
        if not _is_ours(exc):
            raise
        click.echo(f"prlore: {' '.join(str(exc).split())}", err=True)
        sys.exit(2)
    sys.exit(result if isinstance(result, int) else 0)


def _is_ours(exc: Exception) -> bool:
    """Whether an error is one that a user can mend, by the trees of errors that are loaded; --help loads none."""
    trees = (("ingest.errors", "PrloreError"), ("analysis.errors", "AnalysisError"))
    loaded = [(sys.modules[module], name) for module, name in trees if module in sys.modules]
    return any(isinstance(exc, getattr(module, name)) for module, name in loaded)
