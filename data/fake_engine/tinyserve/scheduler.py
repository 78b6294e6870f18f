"""Continuous batching: new prompts are prefilled first, then all running requests decode one token together."""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tinyserve import tuning
from tinyserve.device import Device
from tinyserve.layers import Batch, Layers
from tinyserve.model import Model
from tinyserve.sampler import logprob_of, prompt_state, token_of


@dataclass
class Request:
    """One request; `emit` gets (text, logprob, reason for ending or None) for each token."""

    prompt: list[int]
    wanted: int
    emit: Callable[[str, float, str | None], None]
    state: int = 0
    made: int = 0
    gone: threading.Event = field(default_factory=threading.Event)


class Scheduler:
    """Serves requests on a thread of its own."""

    def __init__(
        self, model: Model, device: Device, layers: Layers, running: int, prefill: int, overlap: bool
    ) -> None:
        self.model, self.device, self.layers = model, device, layers
        self.max_running, self.prefill_batch, self.overlap = running, prefill, overlap
        self.waiting: deque[Request] = deque()
        self.running: list[Request] = []
        self.steps = 0
        self.after_step: Callable[[str], None] = lambda stage: None
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="scheduler", daemon=True)

    def start(self) -> None:
        """Begin serving."""
        self._thread.start()

    def add(self, request: Request) -> None:
        """Queue a request."""
        request.state = prompt_state(request.prompt)
        self.waiting.append(request)
        self._wake.set()

    def _loop(self) -> None:
        self.device.pid_thread = threading.get_native_id()
        while True:
            if not self.waiting and not self.running:
                self._wake.wait()
                self._wake.clear()
                continue
            self.step()

    def step(self) -> None:
        """One step: a prefill if there is room for a prompt, else a decode."""
        self.running = [r for r in self.running if not r.gone.is_set()]
        room = min(self.max_running - len(self.running), self.prefill_batch)
        fresh = [self.waiting.popleft() for _ in range(min(room, len(self.waiting)))]
        self.device.begin()
        start = self.device.now
        if not self.overlap:
            self.device.launch("tinyserve::schedule", tuning.LAUNCH_US["schedule"], [])
        if fresh:
            tokens = sum(len(r.prompt) for r in fresh)
            self._forward(fresh, tokens, 0)
            name, stage = f"step[EXTEND bs={len(fresh)} toks={tokens}]", "prefill"
            self.running += fresh
        else:
            context = sum(len(r.prompt) + r.made for r in self.running)
            self._forward(self.running, len(self.running), context)
            name, stage = f"step[DECODE bs={len(self.running)}]", "decode"
        self.device.step(name, start, self.device.wait())
        self._hand_out(fresh or self.running)
        self.steps += 1
        self.after_step(stage)

    def _forward(self, requests: list[Request], tokens: int, context: int) -> None:
        batch = Batch([r.state for r in requests], tokens, context)
        self.layers.forward(batch)
        self.layers.head(batch)
        self.device.launch("tinyserve::argmax_sampling", tuning.LAUNCH_US["sample"], [])
        for request, state in zip(requests, batch.states, strict=True):
            request.state = state

    def _hand_out(self, requests: list[Request]) -> None:
        for request in requests:
            request.made += 1
            token = token_of(request.state, len(self.model.words))
            reason = "length" if request.made >= request.wanted else None
            request.emit(self.model.decode(token), logprob_of(request.state), reason)
            if reason:
                request.gone.set()
        self.running = [r for r in self.running if not r.gone.is_set()]


def idle(scheduler: Scheduler) -> bool:
    """Whether nothing is waiting or running."""
    return not scheduler.waiting and not scheduler.running


def drain(scheduler: Scheduler, seconds: float) -> bool:
    """Wait until nothing runs any more; whether it came to that."""
    until = time.monotonic() + seconds
    while not idle(scheduler) and time.monotonic() < until:
        time.sleep(0.01)
    return idle(scheduler)
