"""Streamable HTTP for the MCP server: loopback without a token if one likes, any other address only with one."""

from __future__ import annotations

import hmac
import ipaddress
import os
from typing import TYPE_CHECKING

from ingest.errors import PrloreError

if TYPE_CHECKING:
    from mcp.server.mcpserver import MCPServer
    from starlette.types import ASGIApp, Receive, Scope, Send

TOKEN = "PRLORE_MCP_TOKEN"  # the name of the variable, no secret
_SHORTEST = 16
_MOST_BYTES = 2_000_000  # of a request: a large patch


class ListenError(PrloreError):
    """An address that can't be served as asked."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def token_for(host: str) -> str:
    """The token that callers have to send, empty where none is asked for.

    Raises:
        ListenError: the address can be reached from elsewhere and there is no token, or the token is short.
    """
    token = os.environ.get(TOKEN, "")
    if not token and not is_loopback(host):
        raise ListenError(
            f"{host} can be reached from other machines: set {TOKEN} to a secret of at least {_SHORTEST} characters"
        )
    if token and (len(token) < _SHORTEST or not token.isascii() or not token.isprintable() or " " in token):
        raise ListenError(f"{TOKEN} has to be at least {_SHORTEST} printable ASCII characters without blanks")
    return token


class TokenGate:
    """Lets requests pass that carry the token, and answers 401 to all others."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._wanted = b"Bearer " + token.encode("ascii")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the server's start and stop, which no token goes with."""
        if scope["type"] == "http":
            sent = [value for name, value in scope["headers"] if name == b"authorization"]
            if len(sent) != 1 or not hmac.compare_digest(sent[0], self._wanted):
                headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
                await send({"type": "http.response.start", "status": 401, "headers": headers})
                await send({"type": "http.response.body", "body": b""})
                return
        await self._app(scope, receive, send)


def serve(server: MCPServer, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises:
        ListenError: see `token_for`; or the address is taken.
    """
    import socket

    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    token = token_for(host)
    # a page in a browser must not reach a loopback server by a name of its own; behind a token it can't anyway
    names = [f"{h}:*" for h in ("127.0.0.1", "localhost", "[::1]")]
    guard = TransportSecuritySettings(
        enable_dns_rebinding_protection=is_loopback(host),
        allowed_hosts=names,
        allowed_origins=[f"http://{n}" for n in names],
    )
    app: ASGIApp = server.streamable_http_app(
        json_response=True, stateless_http=True, transport_security=guard, max_request_body_size=_MOST_BYTES
    )
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except OSError as exc:
        raise ListenError(f"can't listen on {host}:{port}: {exc.strerror or exc}") from exc
    config = uvicorn.Config(TokenGate(app, token) if token else app, log_level="error", access_log=False)
    _say(host, listener.getsockname()[1], token)
    uvicorn.Server(config).run(sockets=[listener])


def _say(host: str, port: int, token: str) -> None:
    import click

    shown = f"[{host}]" if ":" in host else host
    how = f"Authorization: Bearer ${TOKEN}" if token else "no token: this machine only"
    click.echo(f"prlore: serving http://{shown}:{port}/mcp ({how})", err=True)
