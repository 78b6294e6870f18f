"""TensorRT-LLM as a process: `trtllm-serve serve --backend pytorch`, and no other backend.

Where it is not installed it is said to be missing. No other engine stands in for it, and no number is told for it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from loop.engines.base import PythonEngine
from loop.engines.errors import EngineFailed
from loop.engines.flags import grouped
from loop.engines.probe import interpreter
from loop.records import Launch


class TensorRtLlm(PythonEngine):
    """TensorRT-LLM's PyTorch backend; CUDA only."""

    name = "trtllm"
    package = "tensorrt_llm"
    distributions = ("tensorrt-llm", "tensorrt_llm")

    def missing(self, launch: Launch) -> str | None:
        """CUDA, the package and its command have to be there, and nothing may ask for another backend."""
        if launch.device == "cpu":
            return "trtllm is unsupported here: TensorRT-LLM runs on NVIDIA GPUs only"
        other = [
            v
            for name, values in grouped(launch.flags)
            if name == "--backend"
            for v in values
            if v != "pytorch"
        ]
        if other:
            return f"trtllm is driven with --backend pytorch only, not {other[0]}"
        if reason := super().missing(launch):
            return f"trtllm is unsupported here: {reason}"
        try:
            self.program(interpreter(launch), launch)
        except EngineFailed as exc:
            return str(exc)
        return None

    def program(self, python: str, launch: Launch) -> tuple[str, ...]:
        """`trtllm-serve` of the interpreter's own environment."""
        beside = Path(python).parent / "trtllm-serve"
        found = str(beside) if beside.is_file() else shutil.which("trtllm-serve")
        if not found:
            raise EngineFailed(f"trtllm is unsupported here: no trtllm-serve beside {python} or on PATH")
        return (found, "serve")

    def own_options(self, launch: Launch, port: int) -> tuple[str, ...]:
        """Model, address and the one backend."""
        return (launch.model, "--backend", "pytorch", "--host", "127.0.0.1", "--port", str(port))

    def defaults(self, launch: Launch) -> tuple[str, ...]:
        """Nothing beyond that."""
        return ()
