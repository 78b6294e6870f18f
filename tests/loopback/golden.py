"""Recorded exchanges: what the client asked and what came back, without the token; and a server that gives them again.

python tests/loopback/golden.py    # records them anew, into tests/golden
"""

from __future__ import annotations

import json
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "golden"
_KEPT = ("etag", "link", "date", "content-type", "x-ratelimit-limit", "x-ratelimit-remaining")
HOST = "http://recorded.invalid"


class Replay:
    """A server that knows the recorded answers and nothing else; a request that was not recorded gets 599."""

    def __init__(self, name: str) -> None:
        self.left: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
        self.unknown: list[str] = []
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: object) -> None:
                pass

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                asked = {"method": self.command, "path": self.path, "body": self.rfile.read(size).decode()}
                place = next(
                    (i for i, e in enumerate(replay.left) if all(e[k] == v for k, v in asked.items())), None
                )
                if place is None:
                    replay.unknown.append(f"{self.command} {self.path}")
                    found = {"status": 404, "headers": {}, "answer": '{"message": "Not Found"}'}
                else:
                    found = replay.left.pop(place)
                body = found["answer"].replace(HOST, replay.url).encode()
                self.send_response_only(found["status"])
                for header, value in found["headers"].items():
                    self.send_header(header, value.replace(HOST, replay.url))
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Replay:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def record(name: str, hub: Any, work: Any) -> None:
    """Run some work against a server and write down its exchanges."""
    from github.Requester import RequestsResponse

    from ingest.github.connection import Connection

    exchanges = []
    original = Connection.getresponse

    def spy(self: Connection) -> RequestsResponse:
        answer = original(self)
        verb, path, body, _ = self._request
        headers = {
            k.title(): v.replace(hub.url, HOST) for k, v in answer.headers.items() if k.lower() in _KEPT
        }
        exchanges.append({"method": verb, "path": path, "body": body or "", "status": answer.status, "headers": headers, "answer": self.body.decode().replace(hub.url, HOST)})  # fmt: skip
        return answer

    Connection.getresponse = spy  # type: ignore[method-assign]
    try:
        work()
    finally:
        Connection.getresponse = original  # type: ignore[method-assign]
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.json").write_text(json.dumps(exchanges, indent=1) + "\n", "utf-8")


def main() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from ingest.github.authors import Bots
    from ingest.github.openpulls import open_pulls, patched_files
    from loopback.clients import client_of, sync_once
    from loopback.server import Loopback
    from loopback.world import make_world

    world = make_world(8, 14, 8, 8, 2)
    with Loopback(world) as hub, tempfile.TemporaryDirectory() as folder:
        record("first_sync", hub, lambda: sync_once(hub, Path(folder)))
        record("unchanged_sync", hub, lambda: sync_once(hub, Path(folder)))

        def watch() -> None:
            with client_of(hub) as client:
                for pull in open_pulls(client, world.repo, Bots(), lambda done, total: None):
                    patched_files(client, world.repo, pull.number)

        record("open_pulls", hub, watch)


if __name__ == "__main__":
    main()
