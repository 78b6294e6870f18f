"""One way to GitHub: raw requests through PyGithub, answers as bytes, every fault either mended or one line.

Never PyGithub's objects: reading an attribute of one may send a request. Serial by design; GitHub's own advice
against secondary limits.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import github
from github import Auth
from github.GithubException import BadCredentialsException, GithubException, UnknownObjectException

from ingest.errors import GitHubError, GitHubUnavailable, OffHost
from ingest.github.connection import BROKEN, Connection, Redirected, TooLarge
from ingest.github.pace import Pace
from ingest.github.retry import PatientRetry
from ingest.github.tokens import Token

DEFAULT_API = "https://api.github.com"
API_VERSION = "2022-11-28"
PER_PAGE = 100
_ATTEMPTS = 5
_HOPS = 3
_LINK = re.compile(r"<([^<>]*)>\s*((?:;[^,<]*)*)")
_TOO_MUCH = frozenset(("MAX_NODE_LIMIT_EXCEEDED", "RESOURCE_LIMITS_EXCEEDED", "TIMEOUT"))
_TOO_SLOW = ("something went wrong while executing your query", "timeout", "in time", "node limit")


class QueryTooLarge(Exception):
    """GitHub could not answer a GraphQL query of this size: ask for less at once."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One page as received. `status` is 200 or 304; `next` is the path and query of the page behind it, or empty."""

    status: int
    etag: str
    body: bytes
    date: str
    next: str = ""
    last_page: int = 0
    remaining: int | None = None
    data: Any = None


class Client:
    """Requests of one run. Close it at the end."""

    def __init__(self, token: Token, api_url: str = DEFAULT_API, pace: Pace | None = None) -> None:
        """Make a client.

        Raises:
            GitHubError: the address is none, or would carry the token in the clear.
        """
        self._base = urlsplit(checked_address(api_url))
        self._token = token
        self.pace = pace or Pace()
        if is_loopback(self._base.hostname or ""):  # a server of one's own says itself when it has enough
            self.pace.rest_a_minute = self.pace.graphql_a_minute = 0
        base = self._base.geturl().rstrip("/")
        rest = PatientRetry(pace=self.pace, resource="core")
        self._rest: Any = Connection(base, rest)  # in the form of PyGithub's own
        self._graphql: Any = Connection(base, PatientRetry(pace=self.pace, resource="graphql", faults=False))
        self._github = github.Github(
            auth=Auth.Token(token.reveal()), base_url=base, per_page=PER_PAGE, retry=rest, lazy=True,
            user_agent="prlore", seconds_between_requests=None, seconds_between_writes=None,
        )  # fmt: skip

    def close(self) -> None:
        """Close all connections."""
        self._rest.close()
        self._graphql.close()
        self._github.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # REST --------------------------------------------------------------------------------------------

    def get(self, path: str, parameters: Mapping[str, str | int] | None = None, etag: str = "") -> Answer:
        """One page of a list, or one object.

        Args:
            path: below the API's root, with or without a query.
            parameters: of the query.
            etag: of the page as it was last seen; 304 says that it is the same.

        Raises:
            GitHubError: refused, not there, or no usable answer.
            RequestBudgetSpent: no request is left.
        """
        where = self._relative(path)
        if parameters:
            where += ("&" if "?" in where else "?") + urlencode(parameters)
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
        if etag:
            headers["If-None-Match"] = etag

        def send(where: str) -> tuple[int, dict[str, Any], bytes]:
            status, found, _ = self._github.requester.requestJson(
                "GET", where, headers=dict(headers), cnx=self._rest
            )
            return status, found, self._rest.body

        return self._ask(send, where, "core", 1)

    def post(self, path: str, body: Mapping[str, Any]) -> Answer:
        """Write something. Sent once: only a refusal for its rate, which wrote nothing, is tried again.

        Raises:
            GitHubError: refused, or no usable answer; with status 0 nobody knows whether it was written.
        """
        where = self._relative(path)
        self.pace.before("core", 5)  # what GitHub counts a write against its limit a minute
        headers = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": API_VERSION}
        try:
            status, found, _ = self._github.requester.requestJson(
                "POST", where, headers=headers, input=dict(body), cnx=self._graphql
            )
        except Redirected:
            raise OffHost("GitHub redirects a write: check the repository's name") from None
        except (*BROKEN, TooLarge) as exc:
            raise GitHubError(f"the answer to a write broke off ({type(exc).__name__}); run the same command again, what was written is not repeated") from None  # fmt: skip
        except GithubException as exc:
            raise self._refused(exc, where) from None
        answer = self._token.strip_from(self._graphql.body)
        data, ok = _parsed(answer)
        if status >= 400:
            raise self._refused(GithubException(status, data if ok else {}, found), where)
        return self._answer(status, found, answer, data if ok else None)

    # GraphQL -----------------------------------------------------------------------------------------

    def graphql(self, query: str, variables: Mapping[str, Any], points: int) -> Answer:
        """One GraphQL query; `data` is its data.

        Raises:
            QueryTooLarge: it asks for more than GitHub can give at once.
            GitHubError: refused, or no usable answer.
            RequestBudgetSpent: no request is left.
        """
        address = self._github.requester.graphql_url
        asked = {"query": query, "variables": dict(variables)}

        def send(where: str) -> tuple[int, dict[str, Any], bytes]:
            status, found, _ = self._github.requester.requestJson(
                "POST", where, input=asked, cnx=self._graphql
            )
            if status >= 500:
                raise QueryTooLarge
            return status, found, self._graphql.body

        for attempt in range(1, _ATTEMPTS + 1):
            answer = self._ask(send, address, "graphql", points)
            errors = answer.data.get("errors") or [] if isinstance(answer.data, dict) else [{}]
            data = answer.data.get("data") if isinstance(answer.data, dict) else None
            kinds = {str(e.get("type") or "") for e in errors if isinstance(e, dict)}
            said = "; ".join(str(e.get("message") or "") for e in errors if isinstance(e, dict))
            if "RATE_LIMITED" in kinds:
                self.pace.wait(self.pace.secondary_wait * 2 ** (attempt - 1), "GitHub's GraphQL quota is used up")  # fmt: skip
                continue
            if kinds & _TOO_MUCH or any(words in said.lower() for words in _TOO_SLOW):
                raise QueryTooLarge
            if isinstance(data, dict) and kinds <= {"NOT_FOUND"}:
                return Answer(200, "", answer.body, answer.date, remaining=answer.remaining, data=data)
            raise GitHubError(f"GitHub refused a query: {self._clean(said) or 'no reason given'}")
        raise GitHubUnavailable("GitHub's GraphQL quota stays used up: run the same command again later")

    # both --------------------------------------------------------------------------------------------

    def _ask(self, send: Callable[[str], tuple[int, dict[str, Any], bytes]], where: str, resource: str, points: int) -> Answer:  # fmt: skip
        """Send until an answer is whole: a connection that broke, HTML in JSON's place and cut JSON are tried again."""
        reason = ""
        hops = attempt = 0
        while attempt < _ATTEMPTS:
            if attempt:
                self.pace.counts.retries += 1
                self.pace.wait(self.pace.backoff(attempt), reason)
            attempt += 1
            self.pace.before(resource, points)
            try:
                status, headers, body = send(where)
            except Redirected as moved:
                hops += 1
                where, attempt = self._same_host(moved.location, hops), attempt - 1
                continue
            except (*BROKEN, TooLarge) as exc:
                reason = f"the answer broke off ({type(exc).__name__})"
                continue
            except GithubException as exc:
                raise self._refused(exc, where) from None
            body = self._token.strip_from(body)  # a page that quotes it must not bring it into the archive
            self.pace.after(headers, resource)
            self.pace.counts.bytes += len(body)
            if status == 304:
                self.pace.counts.unchanged += 1
                return self._answer(status, headers, b"", None)
            if status >= 500:
                reason = f"GitHub answers with status {status}"
                break  # the connection has tried it often enough
            data, ok = _parsed(body)
            if not ok:
                reason = "the answer is no JSON"
                continue
            if status >= 400:
                raise self._refused(GithubException(status, data, headers), where)
            return self._answer(status, headers, body, data)
        raise GitHubUnavailable(f"no usable answer from {self._base.hostname} for {_short(where)}: {reason}; run the same command again")  # fmt: skip

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes, data: Any) -> Answer:
        links = link_header(headers.get("link", ""))
        last = dict(parse_qsl(urlsplit(links.get("last", "")).query)).get("page", "")
        remaining = headers.get("x-ratelimit-remaining", "")
        return Answer(
            status=status, etag=headers.get("etag", ""), body=body, date=headers.get("date", ""),
            next=self._same_host(links["next"], 0) if "next" in links else "",
            last_page=int(last) if last.isdigit() else 0,
            remaining=int(remaining) if remaining.isdigit() else None, data=data,
        )  # fmt: skip

    def _relative(self, path: str) -> str:
        return path if path.startswith("/") else f"/{path}"

    def _same_host(self, address: str, hops: int) -> str:
        """The path and query of an address on the API's own host.

        Raises:
            OffHost: it is on another one, or there is no end to the redirects.
        """
        try:
            parts = urlsplit(address)
            there = (parts.scheme, parts.hostname, parts.port)
        except ValueError:
            raise OffHost("GitHub's answer has an address that is none: check --api-url") from None
        here = (self._base.scheme, self._base.hostname, self._base.port)
        prefix = self._base.path.rstrip("/")
        is_relative = not parts.scheme and not parts.netloc and address.startswith("/")
        if not is_relative and there != here:
            raise OffHost(f"GitHub's answer points to another host, {self._clean(parts.hostname or address)[:80]}: refused, so that the token stays here")  # fmt: skip
        if hops > _HOPS or not parts.path.startswith(f"{prefix}/"):
            raise OffHost("GitHub redirects without end or outside its API: check --api-url")
        where = parts.path[len(prefix) :]
        return f"{where}?{parts.query}" if parts.query else where

    def _refused(self, exc: GithubException, where: str) -> GitHubError:
        said = exc.data.get("message") if isinstance(exc.data, dict) else ""
        message = self._clean(str(said or ""))[:200]
        place = _short(where)
        if isinstance(exc, BadCredentialsException) or exc.status == 401:
            return GitHubError(
                f"GitHub does not take the token from {self._token.source}: set a valid one", 401
            )
        if isinstance(exc, UnknownObjectException) or exc.status == 404:
            return GitHubError(f"GitHub has no {place}, or the token may not read it: check the name", 404)
        return GitHubError(
            f"GitHub refused {place} with status {exc.status}: {message or 'no reason given'}", exc.status
        )

    def _clean(self, text: str) -> str:
        return " ".join(self._token.redact(text).split())


def checked_address(address: str) -> str:
    """The address of an API.

    Raises:
        GitHubError: it is no https address (http is for this machine only), or has a user or query in it.
    """
    parts = urlsplit(address)
    try:
        wrong = not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment or parts.port == 0  # fmt: skip
    except ValueError:
        wrong = True
    if wrong or parts.scheme not in ("https", "http"):
        raise GitHubError(f"--api-url {address!r} is no address of an API: write https://HOST or https://HOST/api/v3")  # fmt: skip
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise GitHubError(f"--api-url {address!r} would send the token unencrypted: write https://")
    return address.rstrip("/")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def link_header(text: str) -> dict[str, str]:
    """Addresses of a Link header by their relation."""
    found: dict[str, str] = {}
    for address, rest in _LINK.findall(text[:16384]):
        for name in re.findall(r';\s*rel="?([\w ]+)"?', rest):
            for relation in name.split():
                found.setdefault(relation, address)
    return found


def _parsed(body: bytes) -> tuple[Any, bool]:
    try:
        return json.loads(body), True
    except (ValueError, RecursionError):
        return None, False


def _short(where: str) -> str:
    return urlsplit(where).path.strip("/")[:120]
