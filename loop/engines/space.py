"""Launch options worth searching, typed, with the combinations that an engine can't take.

The same kinds of choice are offered for all engines: batch size, tokens of a prefill, scheduling, caching, attention.
Options that make several tokens come as one chunk are left out on purpose: they move latency out of sight.
Sources: each engine's own tuning guide and the help texts of SGLang 0.5.17 and 0.5.23, vLLM 0.26 and 0.32.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from loop.engines.flags import Option

Value = str | int | bool


@dataclass(frozen=True)
class Parameter:
    """One option.

    Attributes:
        flag: its name.
        kind: `choice` of `values`, `int` one of `values`, or `switch` that is given or not; a switch with `off` is given
            under that name when it is off.
        values: what it may be, the first being what the engine does by itself ("" leaves the option out).
        devices: where it means something.
    """

    flag: str
    kind: Literal["choice", "int", "switch"]
    values: tuple[str, ...] = ()
    off: str = ""
    devices: tuple[str, ...] = ("cpu", "cuda")

    def words(self, value: str) -> tuple[str, ...]:
        """The option as words of a command."""
        if self.kind == "switch":
            return (self.flag,) if value == "on" else (self.off,) if self.off else ()
        return (self.flag, value) if value else ()

    @property
    def choices(self) -> tuple[str, ...]:
        """All values; the first is the default."""
        return self.values or ("off", "on")


@dataclass(frozen=True)
class Constraint:
    """Values that can't stand together; an assignment that has all of them is infeasible, and `reason` says why."""

    values: tuple[tuple[str, str], ...]
    reason: str

    def broken(self, chosen: Mapping[str, str]) -> bool:
        """Whether an assignment has all of them."""
        return all(chosen.get(flag) == value for flag, value in self.values)


@dataclass(frozen=True)
class Space:
    """What is searched for one engine.

    Attributes:
        left_out: options that this version doesn't offer, each with the reason.
    """

    engine: str
    parameters: tuple[Parameter, ...]
    constraints: tuple[Constraint, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def default(self) -> dict[str, str]:
        """What the engine does by itself: the first trial of every search."""
        return {p.flag: p.choices[0] for p in self.parameters}

    def flags(self, chosen: Mapping[str, str]) -> tuple[str, ...]:
        """An assignment as words of a command; equal assignments are equal words."""
        return tuple(word for p in self.parameters if p.flag in chosen for word in p.words(chosen[p.flag]))

    def infeasible(self, chosen: Mapping[str, str]) -> str | None:
        """Why an assignment can't be started, None if it can."""
        return next((c.reason for c in self.constraints if c.broken(chosen)), None)

    @property
    def size(self) -> int:
        """Number of assignments."""
        found = 1
        for p in self.parameters:
            found *= len(p.choices)
        return found


def _choice(flag: str, *values: str, devices: tuple[str, ...] = ("cpu", "cuda")) -> Parameter:
    return Parameter(flag, "choice", values, devices=devices)


def _int(flag: str, *values: str, devices: tuple[str, ...] = ("cpu", "cuda")) -> Parameter:
    return Parameter(flag, "int", values, devices=devices)


def _switch(
    flag: str, *, off: str = "", devices: tuple[str, ...] = ("cpu", "cuda"), on: bool = False
) -> Parameter:
    return Parameter(flag, "switch", ("on", "off") if on else ("off", "on"), off, devices)


SPACES: dict[str, tuple[tuple[Parameter, ...], tuple[Constraint, ...]]] = {
    "sglang": (
        (
            _int("--chunked-prefill-size", "", "512", "2048", "8192"),
            _int("--max-running-requests", "", "8", "16", "32", "64"),
            _choice("--schedule-policy", "", "lpm", "fcfs"),
            _switch("--disable-radix-cache"),
            _switch("--disable-overlap-schedule"),
            _switch("--enable-mixed-chunk"),
            _int("--page-size", "", "16", "64", devices=("cuda",)),
            _choice("--attention-backend", "", "triton", "fa3", "flashinfer", devices=("cuda",)),
            _switch("--enable-torch-compile", devices=("cuda",)),
        ),
        (
            Constraint(
                (("--disable-radix-cache", "on"), ("--schedule-policy", "lpm")),
                "longest prefix match needs the radix cache",
            ),
        ),
    ),
    "vllm": (
        (
            _int("--max-num-batched-tokens", "", "512", "2048", "8192"),
            _int("--max-num-seqs", "", "8", "16", "32", "64"),
            _int("--block-size", "", "16", "32", "64", "128"),
            _switch("--enable-prefix-caching", off="--no-enable-prefix-caching", on=True),
            _switch("--async-scheduling", off="--no-async-scheduling", on=True),
            _switch("--enable-chunked-prefill", off="--no-enable-chunked-prefill", on=True),
            _choice("--attention-backend", "", "FLASH_ATTN", "TRITON_ATTN", devices=("cuda",)),
        ),
        (
            Constraint(
                (("--enable-chunked-prefill", "off"), ("--max-num-batched-tokens", "512")),
                "without chunked prefill a batch has to hold the longest prompt",
            ),
        ),
    ),
    "trtllm": (
        (
            _int("--max_batch_size", "", "16", "32", "64", devices=("cuda",)),
            _int("--max_num_tokens", "", "2048", "8192", devices=("cuda",)),
            _choice("--kv_cache_free_gpu_memory_fraction", "", "0.8", "0.9", devices=("cuda",)),
        ),
        (),
    ),
    "fake": (
        (
            _choice("--attention-backend", "plain", "fused", "paged"),
            _int("--page-size", "16", "8", "32", "64"),
            _int("--prefill-batch", "2", "1", "4"),
            _switch("--overlap-schedule"),
        ),
        (
            Constraint(
                (("--attention-backend", "paged"), ("--page-size", "8")),
                "the paged attention backend supports pages of at least 16 tokens",
            ),
        ),
    ),
}


def space_of(engine: str, device: str, known: Mapping[str, Option], fixed: tuple[str, ...] = ()) -> Space:
    """The options of an engine that this version offers on this device.

    Args:
        engine: its name.
        device: `cpu` or `cuda`.
        known: options of its `--help`; where none could be read, all are believed.
        fixed: options that the campaign gives; what it fixes is not searched.
    """
    parameters, constraints = SPACES.get(engine, ((), ()))
    kept: list[Parameter] = []
    left: list[str] = []
    for p in parameters:
        if device not in p.devices or p.flag in fixed or (p.off and p.off in fixed):
            continue
        option = known.get(p.flag.replace("_", "-"))
        if known and option is None:
            left.append(f"{p.flag}: this version has no such option")
            continue
        offered = option.choices if option else ()
        values = (
            tuple(v for v in p.values if not offered or not v or v in offered)
            if p.kind != "switch"
            else p.values
        )
        gone = [v for v in p.values if v not in values]
        left += [f"{p.flag} {v}: this version does not offer it" for v in gone]
        if p.kind == "switch" or len(values) > 1:
            kept.append(Parameter(p.flag, p.kind, values, p.off, p.devices))
    flags = {p.flag for p in kept}
    mine = tuple(c for c in constraints if all(flag in flags for flag, _ in c.values))
    return Space(engine, tuple(kept), mine, tuple(left))
