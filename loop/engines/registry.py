"""Engines by name. A new engine is a class in a file of its own and a line here."""

from __future__ import annotations

from loop.engines.base import PythonEngine
from loop.engines.errors import EngineFailed
from loop.engines.fake import FakeEngine
from loop.engines.sglang import Sglang
from loop.engines.trtllm import TensorRtLlm
from loop.engines.vllm import Vllm

ENGINES: dict[str, type[PythonEngine]] = {kind.name: kind for kind in (Sglang, Vllm, TensorRtLlm, FakeEngine)}


def engine_named(name: str) -> PythonEngine:
    """An engine.

    Raises:
        EngineFailed: there is none of that name.
    """
    if name not in ENGINES:
        raise EngineFailed(f"no engine named {name!r}; there are {', '.join(ENGINES)}")
    return ENGINES[name]()
