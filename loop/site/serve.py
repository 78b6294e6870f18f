"""A server for the site on this machine: files of one folder, nothing else, with the pages' policy as a header too."""

from __future__ import annotations

import functools
import ipaddress
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from kb.reports.safe import one_line
from loop.site.build import MARK, SiteError
from loop.site.pages import POLICY

_REPORTS = ("/traces/", "/benches/", "/campaigns/")  # pages with policies of their own, by hashes


class _Handler(SimpleHTTPRequestHandler):
    """GET and HEAD of files; folders show their index.html or nothing."""

    protocol_version = "HTTP/1.1"
    server: SiteServer
    extensions_map = {  # noqa: RUF012  as its base has it: of the class
        "": "application/octet-stream", ".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml", ".json": "application/json",
    }  # fmt: skip

    def send_head(self) -> Any:
        """Refuse requests that a page of another name has sent here (DNS rebinding)."""
        if not self.server.serves(self.headers.get("Host", "")):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this server has another name")
            return None
        place = Path(self.translate_path(self.path))
        if not place.resolve().is_relative_to(self.server.folder):
            self.send_error(HTTPStatus.NOT_FOUND, "no such page")
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> Any:
        """Folders are not listed."""
        self.send_error(HTTPStatus.NOT_FOUND, "no such page")

    def end_headers(self) -> None:
        """Headers that a meta element can't give, and the policy itself."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Opener-Policy", "same-origin-allow-popups")
        framed = "frame-ancestors 'none'"
        own = self.path.startswith(_REPORTS)
        self.send_header("Content-Security-Policy", framed if own else f"{POLICY}; {framed}")
        self.send_header(
            "Cache-Control", "no-cache" if not self.path.startswith("/data/") else "max-age=86400"
        )
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Only what went wrong, and harmless for a terminal."""
        if self.server.log is not None:
            self.server.log(one_line(format % args))


class SiteServer(ThreadingHTTPServer):
    """Serves a folder.

    Args:
        folder: a site that `prlore site build` made.
        host: an address of this machine.
        port: 0 for any that is free.
        log: is told each request.

    Raises:
        SiteError: there is no site, or the address can't be listened on.
    """

    daemon_threads = True

    def __init__(self, folder: Path, host: str = "127.0.0.1", port: int = 0, log: Any = None) -> None:
        if not (folder / MARK).is_file():
            raise SiteError(f"no site at {folder}: make one with `prlore site build {folder}`")
        self.folder = folder.resolve()
        self.log = log
        handler = functools.partial(_Handler, directory=str(self.folder))
        try:
            super().__init__((host, port), handler)
        except (OSError, OverflowError) as exc:
            raise SiteError(f"can't listen on {host}:{port}: {exc}; choose another --port") from exc
        self._host = host
        self._only_loopback = ipaddress.ip_address(str(self.server_address[0])).is_loopback

    @property
    def url(self) -> str:
        """Where the site is."""
        return f"http://{self._host}:{self.server_address[1]}/"

    def serves(self, host: str) -> bool:
        """Whether a request's host is ours; beyond this machine any name may be."""
        if not self._only_loopback:
            return True
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        return name in ("localhost", "127.0.0.1", "[::1]", self._host)
