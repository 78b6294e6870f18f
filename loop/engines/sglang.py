"""SGLang as a process: `python -m sglang.launch_server`."""

from __future__ import annotations

from pathlib import Path

from loop.engines.base import PythonEngine
from loop.engines.http import get_json, post_json
from loop.records import Launch, Stage


class Sglang(PythonEngine):
    """SGLang on CUDA or on a CPU."""

    name = "sglang"
    package = "sglang"
    distributions = ("sglang",)
    source_folder = "python"

    def program(self, python: str, launch: Launch) -> tuple[str, ...]:
        """The server's module."""
        return (python, "-m", "sglang.launch_server")

    def own_options(self, launch: Launch, port: int) -> tuple[str, ...]:
        """Model and address."""
        return ("--model-path", launch.model, "--host", "127.0.0.1", "--port", str(port))

    def defaults(self, launch: Launch) -> tuple[str, ...]:
        """What a CPU without its kernels needs; an idle scheduler must not burn the CPU that another arm is measured on."""
        if launch.device != "cpu":
            return ("--sleep-on-idle",)
        return (
            "--device", "cpu", "--attention-backend", "torch_native", "--sampling-backend", "pytorch", "--sleep-on-idle",
        )  # fmt: skip

    def variables(self, launch: Launch) -> dict[str, str]:
        """One thread a server on shared CPUs: two of them spin against each other."""
        return {"OMP_NUM_THREADS": "1"} if launch.device == "cpu" else {}

    def version_of(self, url: str) -> str:
        """SGLang tells its version among its server's arguments."""
        for route in ("server_info", "get_server_info"):
            if version := get_json(f"{url}/{route}").get("version"):
                return str(version)
        return ""

    def start_profile(self, url: str, stage: Stage, directory: Path) -> None:
        """By stage, which ends by itself and writes a file a stage."""
        body = {
            "output_dir": str(directory), "num_steps": self.steps, "activities": ["CPU", "GPU"], "profile_by_stage": True,
            "with_stack": True, "record_shapes": True, "profile_prefix": "t",
        }  # fmt: skip
        if self._cpu_only(url):
            body["activities"] = ["CPU"]
        post_json(f"{url}/start_profile", body)

    def _cpu_only(self, url: str) -> bool:
        return any(get_json(f"{url}/{r}").get("device") == "cpu" for r in ("server_info", "get_server_info"))
