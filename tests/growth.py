"""How the CPU time of some work grows with its input; wall clock on a shared machine would measure the neighbours."""

from __future__ import annotations

import time
from collections.abc import Callable

_TIMES = 8
# linear work costs 8 times as much, quadratic 64 times; halfway between them on a log scale
_MOST = (_TIMES * _TIMES**2) ** 0.5
_CLOCK_S = 0.01


def is_linear(work: Callable[[int], object], size: int) -> bool:
    """Whether work of 8 times the size takes less than 23 times the process time; the best of three runs each."""
    return _cpu_s(work, _TIMES * size) < _MOST * max(_cpu_s(work, size), _CLOCK_S / _TIMES)


def _cpu_s(work: Callable[[int], object], size: int) -> float:
    def once() -> float:
        began = time.process_time()
        work(size)
        return time.process_time() - began

    return min(once() for _ in range(3))
