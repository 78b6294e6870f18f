"""`prlore doctor`: what is missing here."""

from __future__ import annotations

import dataclasses
import json

import click

from kb.commands.options import json_option, kb_option


@click.command("doctor")
@kb_option
@json_option
def doctor(kb: str | None, as_json: bool) -> int:
    """Find what is missing on this machine and the command that mends it. Exit status 1 when something needed is."""
    from kb.doctor import run_checks
    from kb.location import default_uri
    from kb.reports.safe import one_line

    checks = run_checks(kb or default_uri())
    failed = any(c.state in ("missing", "broken") for c in checks)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(c) for c in checks]))
    else:
        for check in checks:
            mend = f"  ->  {check.mend}" if check.mend else ""
            click.echo(f"{check.state:<8}  {check.name:<15} {one_line(check.found)}{mend}")
    return 1 if failed else 0
