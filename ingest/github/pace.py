"""How fast GitHub may be asked, how long to wait, and when to stop.

Limits as GitHub documents them: a primary quota by the hour (told in every answer), and secondary ones: 900
points of REST a minute (a GET is one) and 2,000 points of GraphQL a minute. A tenth of the primary quota is
left to whatever else uses the token.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ingest.errors import PrloreError

REST_POINTS_A_MINUTE = 900
GRAPHQL_POINTS_A_MINUTE = 2000
_RESERVE = 0.1
_SECONDARY_WAIT = 60.0  # GitHub's rule where an answer names no time
_LONGEST_WAIT = 3700.0  # a primary quota comes back within the hour


class RequestBudgetSpent(Exception):
    """As many requests were sent as were allowed: what is fetched is kept, another run goes on from there."""


class RateLimited(PrloreError):
    """GitHub asks for a longer wait than we are willing to make."""


@dataclass(slots=True)
class Clock:
    """Time, as an argument: tests give one that does not wait."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


@dataclass(slots=True)
class Counts:
    """What was sent so far. `points` are of GraphQL; `waited` is in seconds."""

    requests: int = 0
    retries: int = 0
    unchanged: int = 0
    points: int = 0
    waited: float = 0.0
    bytes: int = 0


@dataclass(slots=True)
class Pace:
    """Keeps one run within the limits.

    Attributes:
        most_requests: requests that may be sent at most, None for any number; what is sent again counts again.
        rest_a_minute: points of REST a minute, 0 for no limit of ours.
        graphql_a_minute: points of GraphQL a minute, 0 for no limit of ours.
        say: told of every wait of more than a few seconds.
    """

    most_requests: int | None = None
    rest_a_minute: int = REST_POINTS_A_MINUTE
    graphql_a_minute: int = GRAPHQL_POINTS_A_MINUTE
    secondary_wait: float = _SECONDARY_WAIT
    longest_wait: float = _LONGEST_WAIT
    clock: Clock = field(default_factory=Clock)
    say: Callable[[str], None] = lambda text: None
    counts: Counts = field(default_factory=Counts)
    remaining: dict[str, int] = field(default_factory=dict)
    _spent: dict[str, deque[tuple[float, int]]] = field(default_factory=dict)

    def before(self, resource: str, points: int = 1) -> None:
        """Wait until a request may be sent, and count it.

        Raises:
            RequestBudgetSpent: no request is left.
        """
        if self.most_requests is not None and self.counts.requests >= self.most_requests:
            raise RequestBudgetSpent
        most = self.graphql_a_minute if resource == "graphql" else self.rest_a_minute
        if most:
            spent = self._spent.setdefault(resource, deque())
            now = self.clock.now()
            while spent and spent[0][0] <= now - 60:
                spent.popleft()
            if spent and sum(p for _, p in spent) + points > most:
                self.wait(spent[0][0] + 60 - now, "this minute's quota is used up")
            spent.append((self.clock.now(), points))
        self.counts.requests += 1
        if resource == "graphql":
            self.counts.points += points

    def after(self, headers: Mapping[str, str], resource: str) -> None:
        """Take note of what an answer says of the primary quota, and wait where only the reserve is left."""
        limit, remaining, reset = (
            number(headers.get(f"x-ratelimit-{name}")) for name in ("limit", "remaining", "reset")
        )
        if remaining is None:
            return
        self.remaining[resource] = int(remaining)
        if limit and reset and remaining < _RESERVE * limit:
            wait = reset + 1 - self.clock.now()
            if wait > 0:
                self.wait(wait, f"{int(remaining)} of {int(limit)} requests are left this hour")

    def wait(self, seconds: float, why: str) -> None:
        """Sleep.

        Raises:
            RateLimited: the wait is too long.
        """
        if seconds > self.longest_wait:
            raise RateLimited(
                f"GitHub asks to wait {seconds / 60:.0f} minutes ({why}): run the same command again then; "
                "what was fetched is kept"
            )
        if seconds > 5:
            self.say(f"waiting {seconds:.0f} s: {why}")
        if seconds > 0:
            self.counts.waited += seconds
            self.clock.sleep(seconds)

    def backoff(self, attempt: int) -> float:
        """Seconds before attempt number `attempt` (1, 2, …) is made again: doubled each time, jittered."""
        return float(min(60.0, 2.0 ** (attempt - 1)) * (0.5 + self.clock.jitter() / 2))


def number(text: str | None) -> float | None:
    """A header's number; GitHub sometimes writes a float, a proxy anything."""
    try:
        found = float(text) if text is not None else None
    except ValueError:
        return None
    return found if found is not None and 0 <= found < 1e12 else None
