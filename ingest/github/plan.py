"""What a sync will cost, before it is begun: requests and GraphQL points by stream, from counts."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.github.client import PER_PAGE, Client
from ingest.github.queries import WITH_THREADS, WITHOUT_THREADS, points

# shares seen in the public review corpus of SGLang, where nothing better is known before the lists are read
_SHARE_WITH_INLINE = 0.45


@dataclass(frozen=True, slots=True)
class Step:
    """One stream of a sync. `points` are of GraphQL's hourly quota."""

    stream: str
    items: int
    requests: int
    points: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps of a first sync; `probes` are the requests that it took to count."""

    repo: str
    steps: tuple[Step, ...]
    probes: int

    @property
    def requests(self) -> int:
        """Requests in all."""
        return sum(s.requests for s in self.steps)

    @property
    def points(self) -> int:
        """GraphQL points in all."""
        return sum(s.points for s in self.steps)


def plan_first(client: Client, repo: str, since: str = "") -> Plan:
    """Count what a repository has, in a request a list: a page of one item tells the number of the last page.

    Args:
        client: to ask with.
        repo: `owner/name`.
        since: only what changed from this time on; the lists of comments can be counted by it, the pull requests not.

    Raises:
        GitHubError: there is no such repository, or it can't be read.
    """
    lists = {
        "pulls": (f"/repos/{repo}/pulls", {"state": "all"}),
        "inline": (f"/repos/{repo}/pulls/comments", {"since": since} if since else {}),
        "conversation": (f"/repos/{repo}/issues/comments", {"since": since} if since else {}),
    }
    counts = {}
    for name, (path, parameters) in lists.items():
        answer = client.get(path, {**parameters, "per_page": 1})
        counts[name] = answer.last_page or len(answer.data)
    return planned(repo, counts, len(lists))


def planned(repo: str, counts: dict[str, int], probes: int) -> Plan:
    """The plan for given counts."""
    steps = [Step(name, n, max(1, -(-n // PER_PAGE))) for name, n in counts.items()]
    pulls = counts["pulls"]
    threaded = min(pulls, round(_SHARE_WITH_INLINE * pulls), counts["inline"])
    with_, without = -(-threaded // WITH_THREADS), -(-(pulls - threaded) // WITHOUT_THREADS)
    steps.append(Step("reviews", pulls - threaded, without, without * points("reviews", WITHOUT_THREADS)))
    steps.append(Step("reviews and threads", threaded, with_, with_ * points("reviews and threads", WITH_THREADS)))  # fmt: skip
    return Plan(repo, tuple(steps), probes)
