"""Changes to the fake engine with known truth: gains, a regression, and cheats that a campaign has to see through.

Each is an exact replacement in a file of `data/fake_engine`, so that it is a patch like any other. A cheat says what
must catch it: `length` (the generator's own count of chunks and text), `answers` (greedy answers differ from the
parent's), `seeds` (prompts that are new in every block leave it nothing to gain), `clock` (the generator's clock isn't
the server's), `pause` (a server that isn't measured is stopped).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loop.engines.errors import EngineFailed


@dataclass(frozen=True)
class Planted:
    """A change.

    Attributes:
        name: of the change.
        path: file in the tree; `old` stands in it once and `new` takes its place.
        true_gain: what it is worth in decode throughput, as a fraction; None for cheats.
        caught_by: what must see through it; empty for honest changes.
    """

    name: str
    path: str
    old: str
    new: str
    true_gain: float | None = None
    caught_by: str = ""

    def apply(self, tree: Path) -> None:
        """Change the file.

        Raises:
            EngineFailed: the tree isn't the one this was made for.
        """
        file = tree / self.path
        text = file.read_text("utf-8") if file.is_file() else ""
        if text.count(self.old) != 1:
            raise EngineFailed(f"{self.path}: {self.name} does not apply to this tree")
        file.write_text(text.replace(self.old, self.new), "utf-8")


REGRESSION = Planted(
    "a second write of the cache in every layer",
    "tinyserve/layers.py",
    '        self._run("tinyserve::reshape_and_cache", "cache", cost, batch, 3 * layer + 4)\n',
    '        self.device.launch("tinyserve::reshape_and_cache_copy", 3 * tuning.LAUNCH_US["cache"] + cost, [[batch.tokens]])\n'
    '        self._run("tinyserve::reshape_and_cache", "cache", cost, batch, 3 * layer + 4)\n',
)


def gain(percent: float) -> Planted:
    """A faster MLP kernel worth about this many percent of a decode step."""
    # each of the 8 layers launches the MLP's kernel twice
    saved = step_us() * (percent / 100) / (1 + percent / 100)
    launch = 30.0 - saved / 16
    return Planted(
        f"a {percent:g} % gain",
        "tinyserve/tuning.py",
        '    "mlp": 30.0,\n',
        f'    "mlp": {launch:.4f},\n',
        percent / 100,
    )


def step_us(layers: int = 8, batch: int = 8, context: int = 64) -> float:
    """Cost of one decode step by the shipped tuning."""
    launches = 4 + 14 + 4 + 5 + 22 + 9 + 4 + 30 + 4 + 30
    tokens = 0.10 + 0.70 + 0.10 + 0.15 + 0.55 + 0.35 + 0.10 + 1.30 + 0.10
    per_layer = launches + tokens * batch + 40 * batch * context / 1000
    return layers * per_layer + 60 + 0.70 * batch + 12 + 20


CHEATS: tuple[Planted, ...] = (
    Planted(
        "output cache by prompt",
        "tinyserve/scheduler.py",
        "        self.layers.forward(batch)\n",
        "        cache = self.__dict__.setdefault('seen', {})\n"
        "        known = [cache.get((tuple(r.prompt), r.made)) for r in requests]\n"
        "        if all(state is not None for state in known):\n"
        "            batch.states[:] = known\n"
        "            for request, state in zip(requests, batch.states, strict=True):\n"
        "                request.state = state\n"
        "            return\n"
        "        self.layers.forward(batch)\n"
        "        for r, state in zip(requests, batch.states, strict=True):\n"
        "            cache[tuple(r.prompt), r.made] = state\n",
        caught_by="seeds",
    ),
    Planted(
        "early stop",
        "tinyserve/scheduler.py",
        'reason = "length" if request.made >= request.wanted else None',
        'reason = "length" if request.made * 2 >= request.wanted else None',
        caught_by="length",
    ),
    Planted(
        "early stop with a false count",
        "tinyserve/launch_server.py",
        "                text, logprob, reason = await queue.get()\n",
        "                text, logprob, reason = await queue.get()\n"
        "                if reason is None and request.made * 2 >= request.wanted:\n"
        "                    reason, request.made = 'length', request.wanted\n",
        caught_by="length",
    ),
    Planted(
        "every second token in one chunk",
        "tinyserve/launch_server.py",
        "                text, logprob, reason = await queue.get()\n",
        "                text, logprob, reason = await queue.get()\n"
        "                if reason is None:\n"
        "                    more, logprob, reason = await queue.get()\n"
        "                    text += more\n",
        caught_by="length",
    ),
    Planted(
        "skipped layers",
        "tinyserve/layers.py",
        "        for layer in range(self.count):\n",
        "        for layer in range(0, self.count, 2):\n",
        caught_by="answers",
    ),
    Planted(
        "skipped attention",
        "tinyserve/layers.py",
        "            self.attention(batch, layer)\n",
        "",
        caught_by="answers",
    ),
    Planted(
        "draft tokens that nobody verifies",
        "tinyserve/scheduler.py",
        "            self._forward(self.running, len(self.running), context)\n",
        "            if self.steps % 2:\n"
        "                for request in self.running:\n"
        "                    request.state ^= 1\n"
        "            else:\n"
        "                self._forward(self.running, len(self.running), context)\n",
        caught_by="answers",
    ),
    Planted(
        "answers by seed of the warm-up",
        "tinyserve/sampler.py",
        "    return mix(state, 11) % vocabulary\n",
        "    import os\n\n"
        "    return (mix(state, 11) + len(os.environ.get('PRLORE_SEED', ''))) % vocabulary\n",
        caught_by="seeds",
    ),
    Planted(
        "a slow clock",
        "tinyserve/__init__.py",
        '__version__ = "1.0.0"\n',
        '__version__ = "1.0.0"\n\nimport time as _time\n\n_real = _time.perf_counter\n'
        "_time.perf_counter = lambda: _real() / 2\n_real_ns = _time.perf_counter_ns\n"
        "_time.monotonic = lambda _m=_time.monotonic: _m() / 2\n",
        caught_by="clock",
    ),
    Planted(
        "disturbs its competitor",
        "tinyserve/launch_server.py",
        "    time.sleep(args.slow_start)\n",
        "    time.sleep(args.slow_start)\n    import threading\n\n    def burn():\n        while True:\n            sum(range(1000))\n\n"
        "    threading.Thread(target=burn, daemon=True).start()\n",
        caught_by="pause",
    ),
)
