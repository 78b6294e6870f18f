"""One family for each kernel and operator, by the rules in `rules/kernels.toml` and nothing else."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from analysis.errors import RulesError
from analysis.trace import Kernels, Numbers, Trace

RULES = Path(__file__).with_name("rules")
OTHER = "other"
MEMORY = "memory"
COMMUNICATION = "communication"


@dataclass(frozen=True)
class Family:
    """A family of kernels: the first one with a pattern in the name wins."""

    name: str
    about: str
    pattern: re.Pattern[str]


@cache
def families() -> tuple[Family, ...]:
    """The families in the order in which they are tried.

    Raises:
        RulesError: the data file is malformed.
    """
    path = RULES / "kernels.toml"
    try:
        rows = tomllib.loads(path.read_text("utf-8"))["family"]
        return tuple(
            Family(r["name"], r["about"], re.compile("|".join(r["patterns"]), re.IGNORECASE)) for r in rows
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError, re.error) as exc:
        raise RulesError(f"{path.name}: {exc}") from exc


@cache
def family(name: str) -> str:
    """The family of a kernel's or an operator's name; `other` when no pattern fits."""
    for rule in families():
        if rule.pattern.search(name):
            return rule.name
    return OTHER


def family_names() -> tuple[str, ...]:
    """All families, `other` last."""
    return (*(rule.name for rule in families()), OTHER)


class FamilyCodes:
    """Families of a trace's names as places in `family_names()`; each name is looked at once."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._codes = np.full(len(trace.symbols), -1, np.int8)
        self._order = family_names()

    def of(self, names: Numbers) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """Families of names."""
        for name in np.unique(names[self._codes[names] < 0]).tolist():
            self._codes[name] = self._order.index(family(self._trace.text(name)))
        return self._codes[names]

    def of_kernels(self, kernels: Kernels) -> np.ndarray[tuple[int], np.dtype[np.int8]]:
        """Families of what ran on a device; copies and fills are `memory`."""
        memory = np.int8(self._order.index(MEMORY))
        return np.where(kernels.is_kernel, self.of(kernels.name), memory)


# the functor or the trait that tells apart kernels of one template, in order of what they tell
_TELLING = tuple(
    re.compile(pattern)
    for pattern in (
        r"(FlashAttn\w+|\w*Fmha\w+?(?:Kernel|(?=I)))",
        r"(ArgMaxOps|\w*SoftMax\w*)",
        r"(\w*Functor\w*|\w+_kernel_cuda)",
        r"(gpu_index_kernel|\w+_kernel_impl)",
    )
)


def _telling(text: str) -> str:
    for pattern in _TELLING:
        if found := pattern.search(text):
            return found[1]
    return ""


@cache
def short_name(name: str) -> str:
    """A kernel's name without return type, template arguments and parameters, at most 80 characters."""
    text = re.sub(r"^(?:void|auto|static|int) ", "", name).replace("(anonymous namespace)::", "")
    plain, depth = [], 0
    for at, char in enumerate(text):
        if char == "<":
            depth += 1
        elif char == ">" and depth:
            depth -= 1
        elif char == "(" and not depth and at:
            break
        elif not depth:
            plain.append(char)
    base = "".join(plain).strip() or text
    if base != text and re.search(
        r"elementwise|device_kernel|multi_tensor|reduce_kernel|^cutlass::|kentry", base
    ):
        inner = _telling(text[len(base.split("<")[0]) :])
        if inner and inner not in base:
            base = f"{base}<{inner}>"
    if base.startswith("_Z"):
        base = _mangled(base)
    return base if len(base) <= 80 else f"{base[:60]}…{base[-19:]}"


def _mangled(name: str) -> str:
    """The nested names of an Itanium-mangled symbol (`_ZN5aiter24add_rmsnorm_quant_kernelI…`)."""
    parts: list[str] = []
    at = 3 if name.startswith("_ZN") else 2
    while (found := re.compile(r"(\d+)").match(name, at)) and len(parts) < 6:
        end = found.end() + int(found[1])
        parts.append(name[found.end() : end])
        at = end
    inner = re.sub(r"^[0-9_]+", "", _telling(name[at:]))
    tail = f"<{inner[:48]}>" if inner and parts and parts[-1] == "kentry" else ""
    return "::".join(parts) + tail if parts else name
