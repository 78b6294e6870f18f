"""The driver's side of the generator: start it, let it go, read what it saw."""

from __future__ import annotations

import hashlib
import statistics
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from loop.engines.errors import EngineFailed
from loop.engines.process import Talker, environment
from loop.load.errors import LoadFailed
from loop.load.spec import FEWEST_CHUNKS, Done, LoadSpec, Ready, Refused, Reply, Word
from loop.records import RequestRow, Workload

_WARM_S = 600.0
_BUSY = 0.7  # share of one core from which the generator's own work may have bent its times

_words = msgspec.json.Decoder(Word)
_replies = msgspec.json.Decoder(Reply)


@dataclass(frozen=True)
class LoadRun:
    """What a run saw.

    Attributes:
        replies: a reply a prompt, in order of sending.
        duration_ns: first request sent to last answer ended.
        generator_cpu_ns: the generator's CPU time meanwhile.
        server_cpu_ns: what `cpu_ns` counted meanwhile, None where it wasn't asked.
    """

    spec: LoadSpec
    replies: tuple[Reply, ...]
    duration_ns: int
    generator_cpu_ns: int
    server_cpu_ns: int | None = None

    @property
    def rows(self) -> tuple[RequestRow, ...]:
        """As a campaign keeps them."""
        joined = streams_joined(self.replies, self.spec)
        return tuple(request_row(reply, self.spec, joined) for reply in self.replies)

    @property
    def too_busy(self) -> bool:
        """Whether the generator may have been the bottleneck."""
        return self.generator_cpu_ns > _BUSY * max(self.duration_ns, 1)


def streams_joined(replies: Sequence[Reply], spec: LoadSpec) -> bool:
    """Whether a run has far fewer chunks than tokens: then its latencies are not the server's, and none of it counts."""
    whole = [len(reply.chunk_ns) for reply in replies if reply.shortfall(spec) is None]
    return spec.ignore_eos and bool(whole) and statistics.median(whole) < FEWEST_CHUNKS * spec.output_len


def request_row(reply: Reply, spec: LoadSpec, joined: bool = False) -> RequestRow:
    """A reply as a campaign keeps it: a request that wasn't served in full is not ok, and says why."""
    shortfall = reply.shortfall(spec) or (reply.joined(spec) if joined else None)
    full = spec.output_len if spec.ignore_eos else reply.text_tokens
    return RequestRow(
        index=reply.index,
        sent_ns=reply.sent_ns,
        first_ns=reply.chunk_ns[0] if reply.chunk_ns else reply.last_ns,
        done_ns=reply.last_ns,
        input_tokens=reply.input_tokens,
        output_tokens=len(reply.chunk_ns) if shortfall else full,
        ok=shortfall is None,
        finish=reply.finish or "",
        text=hashlib.sha256(reply.text.encode("utf-8", "surrogatepass")).hexdigest(),
        error=shortfall or "",
        chunk_ns=reply.chunk_ns,
    )


def generate(spec: LoadSpec, cpu_ns: Callable[[], int] | None = None, log: Path | None = None) -> LoadRun:
    """One run in a process of its own.

    Args:
        spec: what to send.
        cpu_ns: reads the server's CPU clock; called just before and just after.
        log: gets what the generator complains about.

    Raises:
        LoadFailed: the generator could not do it, or was killed. Requests that fail are rows, not errors.
    """
    try:
        talker = Talker([sys.executable, "-m", "loop.load"], environment(_paths()), log)
    except EngineFailed as exc:
        raise LoadFailed(f"the load generator can't be started: {exc}") from exc
    try:
        talker.say(msgspec.json.encode(spec))
        ready = _hear(talker, _WARM_S)
        if not isinstance(ready, Ready):
            raise LoadFailed(f"the load generator said {ready!r} out of turn")
        before = cpu_ns() if cpu_ns else 0
        talker.say(b"go")
        rounds = max(1, -(-(len(spec.prompts) or spec.num_prompts) // spec.concurrency))
        done = _hear(talker, spec.timeout_s * rounds + 60)
        used = cpu_ns() - before if cpu_ns else None
        if not isinstance(done, Done):
            raise LoadFailed(f"the load generator said {done!r} out of turn")
        replies = tuple(_replies.decode(_line(talker, 60.0)) for _ in range(done.replies))
    finally:
        talker.end()
    return LoadRun(spec, replies, done.duration_ns, done.cpu_ns, used)


def _paths() -> dict[str, str]:
    """The generator finds this program where we did, and nothing else of a server's."""
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}


def _line(talker: Talker, timeout_s: float) -> bytes:
    line = talker.hear(timeout_s)
    if line is None:
        raise LoadFailed(f"the load generator ended or was silent for {timeout_s:g} s; run it again")
    return line


def _hear(talker: Talker, timeout_s: float) -> Ready | Done:
    word = _words.decode(_line(talker, timeout_s))
    if isinstance(word, Refused):
        raise LoadFailed(word.reason)
    return word


class HttpBencher:
    """`Bencher` of a campaign: prompts by workload and seed, answers as rows.

    Attributes:
        runs: every run that was made, with what the rows leave out.
    """

    def __init__(
        self, tokenizer: Path, *, warmup: int = 0, timeout_s: float = 300.0, log: Path | None = None
    ) -> None:
        self._tokenizer, self._warmup, self._timeout_s, self._log = tokenizer, warmup, timeout_s, log
        self.runs: list[LoadRun] = []

    def run(
        self, url: str, model: str, workload: Workload, seed: int, cpu_ns: Callable[[], int] | None = None
    ) -> tuple[RequestRow, ...]:
        """One arm under one workload.

        Raises:
            LoadFailed: the server can't be reached, or the generator could not do it.
        """
        made = generate(self.spec(url, served_name(url, model), workload, seed), cpu_ns, self._log)
        self.runs.append(made)
        return made.rows

    def spec(self, url: str, model: str, workload: Workload, seed: int) -> LoadSpec:
        """What the generator is told for a workload.

        Raises:
            LoadFailed: prompts of this kind can't be made.
        """
        if workload.kind not in ("random", "text", "shared_prefix"):
            raise LoadFailed(f"workload {workload.name}: no prompts of kind {workload.kind!r} can be drawn")
        return LoadSpec(
            url=url,
            model=model,
            tokenizer=str(self._tokenizer),
            seed=f"{workload.name}/{seed}",
            input_len=workload.input_len,
            output_len=workload.output_len,
            num_prompts=workload.num_prompts,
            concurrency=workload.concurrency or workload.num_prompts,
            request_rate=workload.request_rate,
            shared_prefix=workload.input_len // 2 if workload.kind == "shared_prefix" else 0,
            warmup=self._warmup,
            endpoint=workload.endpoint,
            ignore_eos=workload.ignore_eos,
            temperature=workload.temperature,
            timeout_s=self._timeout_s,
        )


class _Model(msgspec.Struct):
    id: str


class _Models(msgspec.Struct):
    data: list[_Model]


def served_name(url: str, model: str) -> str:
    """The name that the server answers to: the one asked for, or the only one it has.

    Raises:
        LoadFailed: the server can't be reached or serves other models.
    """
    try:
        with urllib.request.urlopen(f"{url}/v1/models", timeout=30) as answer:
            names = [entry.id for entry in msgspec.json.decode(answer.read(1 << 20), type=_Models).data]
    except (OSError, urllib.error.URLError, msgspec.DecodeError) as exc:
        raise LoadFailed(f"{url}: no list of models ({exc}); is the server up?") from exc
    if model in names:
        return model
    if len(names) == 1:
        return names[0]
    raise LoadFailed(f"{url} serves {', '.join(names[:5])} and not {model!r}")
