"""The fake engine of `data/fake_engine`: a real server of known costs, so that a campaign runs anywhere in seconds."""

from __future__ import annotations

from pathlib import Path

import msgspec

from kb.datafiles import data_file
from loop.engines.base import PythonEngine
from loop.engines.http import post_json
from loop.records import Launch, Stage


class FakeEngine(PythonEngine):
    """tinyserve: the one of the launch's source, else the one that comes with prlore."""

    name = "fake"
    package = "tinyserve"
    ready_s = 60.0
    steps = 8

    def program(self, python: str, launch: Launch) -> tuple[str, ...]:
        """The server's module."""
        return (python, "-m", "tinyserve.launch_server")

    def own_options(self, launch: Launch, port: int) -> tuple[str, ...]:
        """Model and address."""
        return ("--model-path", launch.model, "--host", "127.0.0.1", "--port", str(port))

    def variables(self, launch: Launch) -> dict[str, str]:
        """Without a source of its own it is found among our data."""
        return {} if launch.source else {"PYTHONPATH": str(shipped_tree())}

    def start_profile(self, url: str, stage: Stage, directory: Path) -> None:
        """It ends by itself after that many steps of the stage."""
        body = {
            "output_dir": str(directory), "profile_prefix": "t", "num_steps": self.steps,
            "stage": "prefill" if stage == "prefill" else "decode",
        }  # fmt: skip
        post_json(f"{url}/start_profile", body)

    def stop_profile(self, url: str) -> None:
        """Write what there is."""
        post_json(f"{url}/stop_profile", {})


def shipped_tree() -> Path:
    """The source tree that comes with prlore; copy it before changing it."""
    return data_file("fake_engine")


def write_model(folder: Path, layers: int = 8, hidden: int = 512, words: int = 2048) -> Path:
    """A model for it: a shape and a tokenizer of whole words, so that counts are exact."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["TinyServe"],
        "num_hidden_layers": layers,
        "hidden_size": hidden,
        "vocab_size": words,
    }
    vocabulary = {"<unk>": 0} | {f"w{number}": number for number in range(1, words)}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "normalizer": None, "post_processor": None,
        "added_tokens": [{
            "id": 0, "content": "<unk>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
            "special": True,
        }],
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<unk>"},
    }  # fmt: skip
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    (folder / "tokenizer.json").write_bytes(msgspec.json.encode(tokenizer))
    return folder
