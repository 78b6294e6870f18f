"""The root of the command line. It holds names, not imports: `prlore --help` loads nothing else of ours."""

from __future__ import annotations

import difflib
import importlib
import os
import sys
import unicodedata
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# command -> (module, attribute, one line of help, so that the list needs no import)
COMMANDS: dict[str, tuple[str, str, str]] = {
    "ingest": ("kb.commands.ingest", "ingest", "Read pull requests into the knowledge base."),
    "demo": ("kb.commands.demo", "demo", "Ask the embedded knowledge base three questions."),
    "query": ("kb.commands.query", "query", "Find the pull requests that bear on a question."),
    "evidence": ("kb.commands.evidence", "evidence", "Find the changes that bear on a bottleneck."),
    "review": ("kb.commands.review", "review", "Review a change against what past ones taught."),
    "show": ("kb.commands.show", "show", "Show one dossier card."),
    "card": ("kb.commands.card", "card", "Review, edit, export and import dossier cards."),
    "gate": ("kb.commands.gate", "gate", "Check cards against the review gate."),
    "families": ("kb.commands.families", "families", "List model families, or what one covers."),
    "family": ("kb.commands.family", "family", "Write the manual of a model family in one engine."),
    "where": ("kb.commands.where", "where", "Say where something is in an engine's source tree."),
    "mcp": ("kb.commands.mcp", "mcp", "Serve the knowledge base to coding agents."),
    "install": ("kb.commands.install", "install", "Install the skill for a coding agent."),
    "uninstall": ("kb.commands.install", "uninstall", "Remove the skill from a coding agent."),
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
    "loop": (
        "loop.commands.campaign",
        "loop",
        "Run optimisation campaigns that can't lie and can't be killed.",
    ),
    "kb": ("kb.commands.kb", "kb_group", "Maintain and copy a knowledge base."),
    "embed": ("kb.commands.embed", "embed", "Give the cards vectors of a model."),
    "train": ("kb.commands.train", "train", "Make the models and weights in data/ anew."),
    "starter": ("kb.commands.starter", "starter", "Keep the embedded cards in data/cards true."),
    "completion": ("loop.commands.completion", "completion", "Print the completion script of a shell."),
    "reference": (
        "loop.commands.reference",
        "reference",
        "Write the reference of commands, settings and tables.",
    ),
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
        return _with_json(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from names alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Names from the list above: completing must not import every command."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(n, help=text) for n, (_, _, text) in COMMANDS.items() if n.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of a name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; `prlore --help` lists them"
            raise click.UsageError(f"no command named {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


def _with_json(command: click.Command) -> click.Command:
    """`--json` for `--format json` wherever a command has the one and not the other, so that it works everywhere."""
    if isinstance(command, click.Group):
        for below in command.commands.values():
            _with_json(below)
        return command
    forms = [p for p in command.params if isinstance(p, click.Option) and "--format" in p.opts]
    known = {o for p in command.params for o in p.opts}
    for form in forms:
        if "json" in getattr(form.type, "choices", ()) and "--json" not in known:
            command.params.append(
                click.Option(
                    ["--json", form.name or "form"], flag_value="json", help="The same as --format json."
                )
            )
    return command


def _line(text: str) -> str:
    """An error on one line; what it quotes can't control the terminal."""
    kept = "".join(
        c if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") else " " for c in text
    )
    return " ".join(kept.split())


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
        click.echo(f"prlore: {_line(exc.format_message())}", err=True)
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
        click.echo(f"prlore: {_line(str(exc))}", err=True)
        sys.exit(2)
    sys.exit(result if isinstance(result, int) else 0)


def _is_ours(exc: Exception) -> bool:
    """Whether an error is one that a user can mend, by the trees of errors that are loaded; --help loads none."""
    trees = (("ingest.errors", "PrloreError"), ("analysis.errors", "AnalysisError"))
    loaded = [(sys.modules[module], name) for module, name in trees if module in sys.modules]
    return any(isinstance(exc, getattr(module, name)) for module, name in loaded)
