"""Which answers are tried again and after how long: PyGithub's retry with the cases that it gives up on.

PyGithub raises at once on a 429 without Retry-After. Here 403 and 429 are alike and read in GitHub's order:
Retry-After; a spent primary quota, until it comes back; otherwise at least a minute, doubled each time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from github.GithubException import GithubException
from github.GithubRetry import GithubRetry
from github.Requester import Requester
from urllib3.util import Retry

from ingest.github.pace import Pace, RequestBudgetSpent, number

_SERVER_FAULTS = frozenset((500, 502, 503, 504, 520, 521, 522, 523, 524, 525, 527, 529))
_LIMITS = frozenset((403, 429))
_WORDS = ("rate limit", "abuse detection", "please wait a few minutes", "please retry your request")
_MOST_BYTES = 1 << 20


def limit_wait(
    status: int, headers: Mapping[str, str], message: str, earlier: int, pace: Pace
) -> float | None:
    """Seconds to wait before a refused request is sent again, None where waiting does not help.

    Args:
        status: of the answer.
        headers: of the answer, names in lower case.
        message: GitHub's words, empty where the body had none.
        earlier: how often this request was refused before.
        pace: knows the clock.
    """
    after = number(headers.get("retry-after"))
    if after is not None:
        return after
    if headers.get("x-ratelimit-remaining") == "0":
        reset = number(headers.get("x-ratelimit-reset"))
        if reset is not None:
            return max(reset + 1 - pace.clock.now(), 1.0)
    if status == 429 or any(word in message.lower() for word in _WORDS):
        return float(pace.secondary_wait * 2**earlier)
    return None


class PatientRetry(GithubRetry):
    """Tries again what is worth trying, waits on the given pace, and counts every request against its budget.

    With `faults` false a 5xx is handed to the caller: a GraphQL query that timed out has to be made smaller.
    """

    def __init__(self, *, pace: Pace, resource: str, faults: bool = True, wait: float | None = None, **kw: Any) -> None:  # fmt: skip
        self.pace, self.resource, self.faults, self._wait = pace, resource, faults, wait
        kw.setdefault("total", 6)
        kw.setdefault("raise_on_status", False)
        kw["status_forcelist"] = sorted({429} | (_SERVER_FAULTS if faults else set()))
        super().__init__(**kw)

    def new(self, **kw: Any) -> PatientRetry:
        """A copy with one attempt less; urllib3 asks for it."""
        kw.pop("status_forcelist", None)
        made = Retry.new(
            self, secondary_rate_wait=self.secondary_rate_wait, max_rate_limit_wait=None, pace=self.pace,
            resource=self.resource, faults=self.faults, **kw,
        )  # fmt: skip
        assert isinstance(made, PatientRetry)
        return made

    def increment(self, method: Any = None, url: Any = None, response: Any = None, error: Any = None, _pool: Any = None, _stacktrace: Any = None) -> PatientRetry:  # fmt: skip
        """Decide on one answer.

        Raises:
            GithubException: the answer is a refusal that no waiting mends.
            MaxRetryError: it was tried often enough.
        """
        wait = None
        if response is not None and response.status in _LIMITS:
            headers = {k.lower(): v for k, v in response.headers.items()}
            content = GithubRetry.get_content(response, url or "")[:_MOST_BYTES]
            data = _json(content)
            message = str(data.get("message") or "")
            earlier = sum(1 for past in self.history if past.status in _LIMITS)
            wait = limit_wait(response.status, headers, message, earlier, self.pace)
            if wait is None:
                raise Requester.createException(response.status, headers, data)
        made = Retry.increment(self, method, url, response, error, _pool, _stacktrace)
        assert isinstance(made, PatientRetry)
        made._wait = wait
        return made

    def sleep(self, response: Any = None) -> None:
        """Wait as decided, then count the request that follows.

        Raises:
            RequestBudgetSpent: no request is left for another attempt.
        """
        attempt = len(self.history)
        if self._wait is not None:
            self.pace.wait(self._wait, "GitHub asks for a pause")
        else:
            after = number(response.headers.get("Retry-After")) if response is not None else None
            self.pace.wait(after if after is not None else self.pace.backoff(attempt), "GitHub failed")
        self.pace.counts.retries += 1
        self.pace.before(self.resource)


def _json(content: bytes) -> dict[str, Any]:
    try:
        data = json.loads(content)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


__all__ = ["GithubException", "PatientRetry", "RequestBudgetSpent", "limit_wait"]
