"""`prlore mcp`: the knowledge base for coding agents."""

from __future__ import annotations

import click

from ingest.errors import PrloreError
from kb.commands.options import kb_option


class MissingExtra(PrloreError):
    """A command needs packages that are not installed; the message names the extra."""


@click.command("mcp")
@click.option("--http", "http", is_flag=True, help="Serve streamable HTTP instead of stdin and stdout.")
@click.option("--host", default="127.0.0.1", show_default=True, metavar="ADDRESS", help="With --http: where to listen. Other than loopback needs a token in PRLORE_MCP_TOKEN.")  # fmt: skip
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True, help="With --http; 0 for any free one.")  # fmt: skip
@kb_option
def mcp(http: bool, host: str, port: int, kb: str | None) -> None:
    """Serve the knowledge base to coding agents over the Model Context Protocol; read-only.

    Register it with an agent as the command `prlore mcp`. Needs `pip install 'prlore[mcp]'`.
    """
    from kb.commands.options import open_store
    from kb.location import default_uri
    from kb.mcp.http import serve, token_for

    if http:
        token_for(host)  # refused before the store is read
    open_store(kb)  # likewise a store that isn't there
    try:
        from kb.mcp.server import make_server
    except ModuleNotFoundError as exc:
        if (exc.name or "").split(".")[0] not in ("mcp", "mcp_types", "pydantic", "starlette"):
            raise
        raise MissingExtra("prlore mcp needs the mcp package: pip install 'prlore[mcp]'") from exc
    server = make_server(kb or default_uri())
    if http:
        serve(server, host, port)
    else:
        server.run("stdio")
