"""The smallest harness for one kernel: the engine's own code, recorded arguments, one function, and nothing timed by itself.

Which arguments a kernel is launched with is not guessed: the harness starts the function that launches it, at the shapes of this
campaign, as the file's own tests do. It is text for a person or an agent and a command for Nsight Compute; the driver measures end to
end, so a harness decides nothing.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass

from loop.kernels.eligibility import Eligible
from loop.kernels.shapes import Shape

_TEMPLATE = '''"""Runs {function} of {path} at the shapes that this campaign serves. Written by prlore; not timed, only profiled."""

import importlib
import inspect
import json
import sys

import torch

SHAPES = json.loads({shapes!r})
DTYPES = {{"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}}
# size of the model -> words that parameters of that size are called by, the most particular first
WORDS = {{
    "tokens": ("num_tokens", "tokens", "batch", "bs", "m"), "hidden": ("hidden_size", "hidden", "dim", "d", "k"),
    "heads": ("num_heads", "num_q_heads", "heads", "h"), "kv_heads": ("num_kv_heads", "kv_heads"),
    "head_dim": ("head_dim", "head_size"), "inner": ("intermediate_size", "inner", "n"),
    "experts": ("num_experts", "experts", "e"), "experts_a_token": ("top_k", "topk"), "vocabulary": ("vocab_size", "vocab"),
    "context": ("seq_len", "context", "max_seq_len"),
}}


def tensor(shape, device):
    generator = torch.Generator(device=device).manual_seed(0)
    dtype = DTYPES.get(shape["dtype"], torch.bfloat16)
    return torch.randn(shape["tokens"], shape["hidden"], generator=generator, device=device, dtype=dtype)


def arguments(function, shape, device):
    """Arguments by name; what has a default keeps it."""
    found = {{}}
    for name, parameter in inspect.signature(function).parameters.items():
        size = next((key for key, words in WORDS.items() if name.lower() in words), None)
        if size is not None:
            found[name] = shape[size]
        elif parameter.default is not inspect.Parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        elif name in ("x", "input", "hidden_states", "residual"):
            found[name] = tensor(shape, device)
        elif name in ("w", "weight"):
            found[name] = tensor({{**shape, "tokens": 1}}, device)[0]
        elif name in ("eps", "epsilon", "variance_epsilon"):
            found[name] = 1e-6
        else:
            raise SystemExit(f"fill in {{name!r}} of {{function.__name__}}: SHAPES has what the model says")
    return found


def main():
    device = "cuda"
    function = getattr(importlib.import_module({module!r}), sys.argv[1] if len(sys.argv) > 1 else {launcher!r})
    for shape in SHAPES:
        given = arguments(function, shape, device)
        for _ in range(3):  # compile and warm caches, then the launch that is looked at
            function(**given)
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
'''


@dataclass(frozen=True, slots=True)
class Harness:
    """A harness and how to look at it.

    Attributes:
        text: Python source.
        launcher: function that launches the kernel.
        command: Nsight Compute, writing counters that `prlore ncu` reads.
    """

    text: str
    launcher: str
    command: tuple[str, ...]


def harness_for(
    kernel: Eligible, source: bytes, shapes: tuple[Shape, ...], report: str = "counters.csv"
) -> Harness | None:
    """The harness for a Triton kernel; None where no function of the file launches it (CUDA is launched from C++).

    Args:
        kernel: the kernel.
        source: content of its file.
        shapes: of `shapes_of`.
        report: file that the counters go to.
    """
    launcher = launcher_of(kernel.function, source.decode("utf-8", "replace"))
    if kernel.kind != "triton" or launcher is None:
        return None
    module = re.sub(r"^python/", "", kernel.path).removesuffix(".py").replace("/", ".")
    text = _TEMPLATE.format(
        function=kernel.function,
        path=kernel.path,
        shapes=json.dumps([asdict(s) for s in shapes]),
        module=module,
        launcher=launcher,
    )
    return Harness(text, launcher, ncu_command(kernel.function, report))


def ncu_command(function: str, report: str) -> tuple[str, ...]:
    """Nsight Compute for one launch of a kernel after three warm ones, as a table."""
    return (
        "ncu", "--csv", "--page", "raw", "--set", "full", "--kernel-name", f"regex:{re.escape(function)}", "--launch-skip", "2",
        "--launch-count", "1", "--log-file", report, "python", "harness.py",
    )  # fmt: skip


def launcher_of(function: str, text: str) -> str | None:
    """The function of a file that launches a Triton kernel: `kernel[grid](…)` stands in its body."""
    launch = re.search(rf"\b{re.escape(function)}\s*\[", text)
    if launch is None:
        return None
    before = re.findall(r"^def (\w+)\(", text[: launch.start()], re.MULTILINE)
    return before[-1] if before and before[-1] != function else None
