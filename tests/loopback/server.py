"""The loop-back GitHub's HTTP: paging with Link headers, entity tags, quotas, redirects, faults.

with Loopback(make_world()) as hub:
    Client(token, hub.url) …
"""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from loopback import posting, render
from loopback.faults import Fault, Switch
from loopback.graphql import Executor, GraphQLError
from loopback.world import World

TOKEN = "ghp_canaryCANARYcanary0123456789abcdefgh"
_LIMIT = 5000
_LINES = 20_000  # of patches in one answer; files behind them are listed with zeros
_MOST_FILES = 3000


class Loopback:
    """A running server."""

    def __init__(self, world: World, *, secondary: bool = False) -> None:
        self.world = world
        self.switches: list[Switch] = []
        self.requests: Counter[str] = Counter()
        self.log: list[tuple[str, str, int]] = []
        self.seen_tokens: set[str] = set()
        self.renamed_from = ""
        self.off_host = ""
        self.secondary = secondary
        self.limit = _LIMIT
        self.too_many_files: set[int] = set()
        self.posted: list[dict[str, Any]] = []
        self._used: Counter[str] = Counter()
        self._reset = time.time() + 3600
        self._minute: list[float] = []
        self.lock = threading.Lock()
        hub = self

        class Handler(_Handler):
            server_hub = hub

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                if not isinstance(sys.exc_info()[1], ConnectionError):  # clients are killed in some tests
                    super().handle_error(request, client_address)  # type: ignore[arg-type]

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Loopback:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def switch(self, name: str, times: int = 1, path: str = "", after: int = 0) -> None:
        """Switch a fault on."""
        self.switches.append(Switch(name, times, path, after))

    def quota(self, resource: str, points: int) -> tuple[int, dict[str, str]]:
        """(left, headers) after a request of some points; negative when there was too little."""
        if time.time() > self._reset:
            self._used.clear()
            self._reset = time.time() + 3600
        self._used[resource] += points
        left = self.limit - self._used[resource]
        return left, self.headers(resource, max(left, 0))

    def headers(self, resource: str, left: int, reset: float | None = None) -> dict[str, str]:
        return {
            "X-RateLimit-Limit": str(self.limit), "X-RateLimit-Remaining": str(left), "X-RateLimit-Used": str(self.limit - left),
            "X-RateLimit-Reset": str(int(reset or self._reset)), "X-RateLimit-Resource": resource,
        }  # fmt: skip

    def too_fast(self) -> bool:
        """Whether more than 900 requests came within a minute."""
        now = time.time()
        self._minute = [t for t in self._minute if t > now - 60] + [now]
        return self.secondary and len(self._minute) > 900


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_hub: Loopback
    timeout = 30
    wbufsize = 1 << 16
    disable_nagle_algorithm = True

    def log_message(self, *args: object) -> None:
        pass

    # answers -----------------------------------------------------------------------------------------

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        content: str = "application/json; charset=utf-8",
    ) -> None:
        fault = self._fault
        if fault and fault.hang_up:
            self.close_connection = True
            return
        if fault and fault.cut is not None:
            body = body[: int(len(body) * fault.cut)]
        self.send_response_only(status)
        self.send_header("Date", formatdate(self.server_hub.world.now, usegmt=True))
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Type", content)
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault and fault.break_at is not None:
            body = body[: int(len(body) * fault.break_at)]
            self.close_connection = True
        if status != 304 and self.command != "HEAD":
            self.wfile.write(body)
        self.wfile.flush()

    def _json(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(data).encode("ascii"), headers or {})

    def _admitted(self, resource: str) -> bool:
        """Whether faults, rights and quotas let a request pass; answers it where not."""
        hub, path = self.server_hub, urlsplit(self.path).path
        self._fault: Fault | None = None
        hub.requests[path] += 1
        given = self.headers.get("Authorization", "")
        hub.seen_tokens.add(given)
        for switch in hub.switches:
            if switch.applies(self.path):
                fault = switch.fault
                self._fault = fault
                if fault.hang_up or fault.cut is not None or fault.break_at is not None:
                    break
                quota = hub.headers(resource, 0, time.time() + 1) if fault.spent else {}
                self._send(fault.status, fault.body, fault.headers | quota, fault.content)
                return False
        if not self.headers.get("User-Agent"):
            self._json(
                403,
                {
                    "message": "Request forbidden by administrative rules. Please make sure your request has a User-Agent header."
                },
            )
        elif given.removeprefix("token ").removeprefix("Bearer ") != TOKEN:
            self._json(401, {"message": "Bad credentials"})
        elif hub.too_fast():
            self._json(403, {"message": "You have exceeded a secondary rate limit."}, {"Retry-After": "60"})
        else:
            return True
        return False

    def do_GET(self) -> None:
        hub = self.server_hub
        with hub.lock:
            if self._admitted("core"):
                parts = urlsplit(self.path)
                self._rest(parts.path, dict(parse_qsl(parts.query)))
            hub.log.append(("GET", self.path, 0))

    def do_POST(self) -> None:
        hub = self.server_hub
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        with hub.lock:
            if urlsplit(self.path).path.endswith("/reviews"):
                if self._admitted("core"):
                    self._review(body)
            elif self._admitted("graphql"):
                self._graphql(body)
            hub.log.append(("POST", self.path, 0))

    # REST --------------------------------------------------------------------------------------------

    def _rest(self, path: str, query: dict[str, str]) -> None:
        hub = self.server_hub
        if hub.off_host and path.startswith("/repos"):
            return self._send(302, b"", {"Location": f"{hub.off_host}{self.path}"})
        if hub.renamed_from and path.startswith(f"/repos/{hub.renamed_from}/"):
            rest = path.removeprefix(f"/repos/{hub.renamed_from}")
            where = f"{hub.url}/repositories/1{rest}" + (f"?{urlencode(query)}" if query else "")
            return self._send(
                301, json.dumps({"message": "Moved Permanently", "url": where}).encode(), {"Location": where}
            )
        root = next(
            (
                r
                for r in (f"/repos/{hub.world.repo}", "/repositories/1")
                if path.lower().startswith(r.lower() + "/")
            ),
            "",
        )
        place = path[len(root) :].strip("/").split("/") if root else []
        world = hub.world
        if place == ["pulls"]:
            return self._pulls(path, query)
        if place == ["pulls", "comments"] or place == ["issues", "comments"]:
            kind = "inline" if place[0] == "pulls" else "conversation"
            since = _seconds(query.get("since", ""))
            rows = world.since(kind, since) if since else world.listed(kind)
            if query.get("direction", "desc" if "sort" in query else "asc") == "desc":
                rows = rows[::-1]
            return self._page(path, query, rows, lambda c: render.comment(world, c, hub.url))
        if (
            len(place) == 3
            and place[0] == "pulls"
            and place[2] == "files"
            and place[1].isdigit()
            and int(place[1]) in world.pulls
        ):
            return self._files(path, query, int(place[1]))
        if len(place) == 3 and place[1].isdigit() and int(place[1]) in world.pulls:
            what = {
                ("pulls", "reviews"): "reviews",
                ("pulls", "comments"): "pull comments",
                ("issues", "comments"): "issue comments",
            }
            if found := what.get((place[0], place[2])):
                return self._of_pull(path, query, int(place[1]), found)
        if len(place) == 2 and place[0] == "pulls" and place[1].isdigit() and int(place[1]) in world.pulls:
            return self._entity(render.pull(world, world.pulls[int(place[1])], hub.url))
        _, headers = hub.quota("core", 1)
        return self._json(
            404, {"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}, headers
        )

    def _review(self, body: bytes) -> None:
        """A review that is submitted."""
        hub, world = self.server_hub, self.server_hub.world
        parts = urlsplit(self.path).path.strip("/").split("/")
        number = int(parts[-2]) if parts[-2].isdigit() else 0
        headers = hub.quota("core", 5)[1]
        if "/".join(parts[:3]).lower() != f"repos/{world.repo}".lower() or number not in world.pulls:
            return self._json(404, {"message": "Not Found"}, headers)
        asked = json.loads(body)
        hub.posted.append(asked)
        status, answer = posting.submit(world, number, asked)
        return self._json(status, answer, headers)

    def _of_pull(self, path: str, query: dict[str, str], number: int, what: str) -> None:
        """The comments or submissions of one pull request."""
        hub, world = self.server_hub, self.server_hub.world
        if what == "reviews":
            rows = sorted((r for r in world.reviews.values() if r.number == number), key=lambda r: r.id)
            self._page(
                path,
                query,
                rows,
                lambda r: {
                    "id": r.id,
                    "user": render.user(r.user, hub.url),
                    "body": r.body,
                    "state": r.state,
                },
            )
            return
        kind = "inline" if what == "pull comments" else "conversation"
        found = sorted(
            (c for c in world.comments.values() if c.number == number and c.kind == kind), key=lambda c: c.id
        )
        self._page(path, query, found, lambda c: render.comment(world, c, hub.url))

    def _pulls(self, path: str, query: dict[str, str]) -> None:
        world = self.server_hub.world
        rows = list(world.sorted_pulls("updated" if query.get("sort") == "updated" else "created"))
        state = query.get("state", "open")
        if state != "all":
            rows = [p for p in rows if p.state == state]
        if query.get("direction", "asc" if query.get("sort") else "desc") == "desc":
            rows.reverse()
        self._page(path, query, rows, lambda p: render.pull(world, p, self.server_hub.url))

    def _files(self, path: str, query: dict[str, str], number: int) -> None:
        hub = self.server_hub
        if number in hub.too_many_files:
            _, headers = hub.quota("core", 1)
            return self._json(
                406,
                {
                    "message": "Sorry, the diff exceeded the maximum number of files (300).",
                    "errors": [{"resource": "PullRequest", "field": "diff", "code": "too_large"}],
                },
                headers,
            )
        lines = 0

        def row(f: Any) -> dict[str, Any]:
            nonlocal lines
            made = render.changed_file(f)
            lines += f.patch.count("\n")
            if lines > _LINES:  # unmarked, as GitHub does it
                made |= {"additions": 0, "deletions": 0, "changes": 0}
                made.pop("patch", None)
            return made

        return self._page(path, query, hub.world.pulls[number].files[:_MOST_FILES], row)

    def _page(self, path: str, query: dict[str, str], rows: list[Any], form: Any) -> None:
        size = min(max(int(query.get("per_page", "30")), 1), 100)
        number = max(int(query.get("page", "1")), 1)
        last = max(1, -(-len(rows) // size))
        links = []
        for name, at in (("prev", number - 1), ("next", number + 1), ("last", last), ("first", 1)):
            if (name in ("prev", "first") and number > 1) or (name in ("next", "last") and number < last):
                links.append(f'<{self.server_hub.url}{path}?{urlencode(query | {"page": at})}>; rel="{name}"')
        made = [form(r) for r in rows[(number - 1) * size : number * size]]
        self._entity(made, {"Link": ", ".join(links)} if links else {})

    def _entity(self, data: Any, headers: dict[str, str] | None = None) -> None:
        hub = self.server_hub
        body = json.dumps(data).encode("ascii")
        etag = f'W/"{hashlib.sha256(body).hexdigest()}"'
        found = {"ETag": etag, "Cache-Control": "private, max-age=60, s-maxage=60", **(headers or {})}
        if self.headers.get("If-None-Match") == etag:
            return self._send(304, b"", found | hub.quota("core", 0)[1])
        left, quota = hub.quota("core", 1)
        if left < 0:
            return self._json(403, {"message": "API rate limit exceeded for user ID 1."}, quota)
        return self._send(200, body, found | quota)

    # GraphQL -----------------------------------------------------------------------------------------

    def _graphql(self, body: bytes) -> None:
        hub = self.server_hub
        if urlsplit(self.path).path != "/graphql":
            return self._json(404, {"message": "Not Found"})
        try:
            asked = json.loads(body)
            executor = Executor(hub.world, asked["query"], asked.get("variables") or {})
            left, headers = hub.quota("graphql", executor.cost)
            if left < 0:
                return self._json(
                    200,
                    {
                        "errors": [
                            {"type": "RATE_LIMITED", "message": "API rate limit exceeded for user ID 1."}
                        ]
                    },
                    headers,
                )
            answer = executor.run({"remaining": max(left, 0), "resetAt": "2030-01-01T00:00:00Z"})
        except GraphQLError as exc:
            return self._json(
                200, {"errors": [{"type": exc.kind, "message": str(exc)}]}, hub.quota("graphql", 1)[1]
            )
        except (ValueError, KeyError, TypeError) as exc:
            return self._json(400, {"message": f"Problems parsing JSON: {exc}"})
        return self._json(200, answer, headers)


def _seconds(stamp: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()) if stamp else 0
