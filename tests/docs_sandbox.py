"""Where the commands of the documentation run: a home folder of its own with the files that the pages name.

Lines are run in this process, in the order of the page, by a reader that knows what the pages use: `prlore …`, `export A=b`,
`cd`, `git`, `> file`, and `# exit status N: why`. Anything else in a block that is to be run is an error, so that nothing is passed over.
"""

from __future__ import annotations

import atexit
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from bench import small_history
from click.testing import CliRunner
from traces.generator import Pass, Spec, generate

from loop.cli import cli

_STARTED: list[tuple[Path, str]] = []
BLOCK = re.compile(r"(?ms)^```sh([^\n]*)\n(.*?)^```")


@dataclass(frozen=True)
class Block:
    """A fenced block of commands: `marks` behind `sh` say what it needs."""

    marks: tuple[str, ...]
    lines: tuple[str, ...]


def blocks(text: str) -> list[Block]:
    """The shell blocks of a page; a line that ends with a backslash goes on in the next."""
    found = []
    for marks, body in BLOCK.findall(text):
        joined = re.sub(r"\\\n\s*", "", body)
        lines = [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]
        found.append(Block(tuple(marks.split()), tuple(lines)))
    return found


class Sandbox:
    """A home folder, and what has been printed last."""

    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = home
        self._patch = monkeypatch
        for name in ("PRLORE_KB", "PRLORE_CACHE", "PRLORE_MCP_TOKEN", "GITHUB_TOKEN", "GH_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(home))
        for name in ("DATA", "CACHE", "STATE", "CONFIG"):
            monkeypatch.setenv(f"XDG_{name}_HOME", str(home / ".local" / name.lower()))
        (home / "work").mkdir(parents=True)
        monkeypatch.chdir(home / "work")
        self._fill()

    def _fill(self) -> None:
        """The files that the pages name."""
        small_history.write(self.home / "src" / "sglang")
        traces = self.home / "traces"
        traces.mkdir()
        for name, batch in (("decode", 8), ("after", 16)):
            made = generate(
                Spec(passes=(Pass("prefill", 1, 2048), Pass("decode", batch)), layers=("fp8", "dense"))
            )
            (traces / f"{name}.trace.json.gz").write_bytes(_gzip(made.json()))
        runs = self.home / "work" / "runs"
        runs.mkdir()
        for name, rate in (("fast_0", 12.0), ("fast_1", 12.1), ("base_0", 10.0), ("base_1", 10.1)):
            (runs / f"{name}.json").write_text(json.dumps(_result(rate)))

    def fill_for_the_readme(self) -> None:
        """The files that the README names beside those of the pages."""
        work, trace = self.home / "work", (self.home / "traces" / "decode.trace.json.gz").read_bytes()
        small_history.write(self.home / "src" / "vllm", small_history.OTHER)
        (work / "capture").mkdir()
        for name in (
            "run", "before", "after", "after2", "rank0", "rank1", "decode.trace", "server-TP-0-DECODE.trace", "capture/bs_32"
        ):  # fmt: skip
            (work / f"{name}.json.gz").write_bytes(trace)
        config = {"hidden_size": 4096, "intermediate_size": 12288, "num_hidden_layers": 2, "num_attention_heads": 32,
                  "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936, "model_type": "qwen3"}  # fmt: skip
        sglang = ["git", "-C", str(self.home / "src" / "sglang")]
        radix = "python/sglang/srt/mem_cache/hiradix_cache.py"
        newest = [*sglang, "log", "-1", "--format=", "--patch", "main", "--", radix]
        change = subprocess.run(newest, capture_output=True, check=True).stdout
        (work / "change.patch").write_bytes(change)
        (work / "config.json").write_text(json.dumps(config))
        for name, rate in (("vllm_0", 12.0), ("vllm_1", 12.1), ("vllm_2", 12.2), ("sglang_0", 11.0)):
            (work / "runs" / f"{name}.json").write_text(json.dumps(_result(rate)))
        for name, rate in (("new", 12.0), ("old", 10.0)):
            (work / name).mkdir()
            (work / name / "r_0.json").write_text(json.dumps(_result(rate)))
        question = {
            "id": "1",
            "class": "known",
            "query": "Ernie4.5 cos/sin cache",
            "relevant": {"sglang#19743": 2},
        }
        (work / "dev.jsonl").write_text(json.dumps(question) + "\n")
        self.run("prlore ingest starter")
        self.run("prlore ingest starter --kb KB")

    def run(self, line: str) -> str:
        """Run one line as a shell would; its output."""
        expected = int(m[1]) if (m := re.search(r"# exit status (\d+)(?::|$)", line)) else 0
        words = [self._expand(w) for w in shlex.split(re.sub(r"\s#\s.*$", "", line))]
        target: Path | None = None
        if len(words) > 2 and words[-2] == ">":
            target, words = Path(words[-1]), words[:-2]
        assert not {"|", "&&", ">", ";"} & set(words), f"the sandbox can't run: {line}"
        if words == ["prlore", "ingest", "starter"] and not self._knowledge.exists():
            told, status = self._starter(), 0
        elif words[0] == "prlore":
            done = CliRunner().invoke(cli, words[1:], prog_name="prlore")
            status = _status(done)
            told = done.output if status != 2 else f"{done.output}{done.exception}"
        elif words[0] == "export":
            self._patch.setenv(*words[1].split("=", 1))
            told, status = "", 0
        elif words[0] == "cd":
            self._patch.chdir(words[1])
            told, status = "", 0
        elif words[0] in ("git", "cat"):
            process = subprocess.run(words, capture_output=True, text=True, check=False)
            told, status = process.stdout + process.stderr, process.returncode
        else:
            raise AssertionError(f"the sandbox can't run: {line}")
        assert status == expected, f"{line}\nexit status {status}\n{told}"
        if target is not None:
            target.write_text(told)
        return told

    @property
    def _knowledge(self) -> Path:
        """The default knowledge base of this home."""
        return self.home / ".local" / "data" / "prlore" / "kb"

    def _starter(self) -> str:
        """The embedded cards in an empty home: really brought in once, then copied, since every page begins so."""
        if not _STARTED:
            done = CliRunner().invoke(cli, ["ingest", "starter"], catch_exceptions=False)
            assert done.exit_code == 0
            kept = Path(tempfile.mkdtemp(prefix="prlore-docs-"))
            atexit.register(shutil.rmtree, kept, True)
            shutil.copytree(self._knowledge, kept / "kb")
            _STARTED.append((kept / "kb", done.output))
        else:
            shutil.copytree(_STARTED[0][0], self._knowledge)
        return _STARTED[0][1]

    def _expand(self, word: str) -> str:
        return word.replace("~/", f"{self.home}/", 1) if word.startswith("~/") else word


def _status(done) -> int:
    """The exit status that the command line would end with."""
    from analysis.errors import AnalysisError
    from ingest.errors import PrloreError

    if isinstance(done.exception, (PrloreError, AnalysisError)):
        return 2
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return (
        done.exit_code
        if done.exit_code
        else (done.return_value or 0 if isinstance(done.return_value, int) else 0)
    )


def _gzip(raw: bytes) -> bytes:
    import gzip

    return gzip.compress(raw, 1)


def _result(rate: float) -> dict[str, object]:
    """A result of `vllm bench serve`."""
    return {
        "date": "20260101-000000", "endpoint_type": "openai", "backend": "vllm", "label": None, "model_id": "m",
        "tokenizer_id": "m", "num_prompts": 400, "request_rate": "inf", "burstiness": 1.0, "max_concurrency": 16,
        "tensor_parallel_size": "4", "gpu_model": "H200", "duration": 400 / rate, "completed": 400, "failed": 0,
        "total_input_tokens": 40000, "total_output_tokens": 12000, "request_throughput": rate,
        "output_throughput": rate * 30, "total_token_throughput": rate * 130, "mean_ttft_ms": 20.0,
        "median_ttft_ms": 18.0, "p99_ttft_ms": 40.0, "mean_tpot_ms": 10.0, "median_tpot_ms": 9.0,
        "p99_tpot_ms": 11.0, "mean_e2el_ms": 50.0,
    }  # fmt: skip
