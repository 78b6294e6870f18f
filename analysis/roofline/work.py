"""Arithmetic and least traffic of an operator from its recorded shapes.

Bytes are the least that can be moved: each operand once, at its own width. Caches can't do better, a kernel that
reads twice does worse; so "share of the roof" is never flattered. An operator whose arithmetic isn't told by its
shapes (attention over lengths that only the engine knows, routed experts) has bytes alone, or nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Shape = tuple[int, ...]

# c10::BFloat16, c10::Half, float, signed char, c10::Float8_e4m3fn, c10::Float4_e2m1fn_x2, long int
_TYPES = (
    ("float4", ("fp4", 0.5)), ("float8", ("fp8", 1.0)), ("bfloat16", ("bf16", 2.0)), ("half", ("bf16", 2.0)),
    ("float", ("tf32", 4.0)), ("double", ("fp64", 8.0)), ("signed char", ("int8", 1.0)),
    ("unsigned char", ("int8", 1.0)), ("long", ("int64", 8.0)), ("int", ("int32", 4.0)), ("bool", ("bool", 1.0)),
)  # fmt: skip
_MOST = 1 << 62  # a product of shapes beyond this is a broken file's


@dataclass(frozen=True)
class Work:
    """What one call of an operator has to do.

    Attributes:
        flops: floating-point operations, a multiply-add is two; 0 where it only moves data.
        bytes: least traffic with device memory.
        dtype: type the arithmetic runs in.
        shape: the shapes in words, `[2000, 4096] x [4096, 6144]`.
    """

    flops: float
    bytes: float
    dtype: str
    shape: str


def work_of(op: str, dims: str, types: str) -> Work | None:
    """Work of an operator by its name and its `Input Dims` and `Input type` as JSON; None where they don't tell."""
    shapes, kinds = _shapes(dims), _types(types)
    if not shapes:
        return None
    name = op.rpartition("::")[2].lstrip("_").lower()
    for names, count in _RULES:
        if name in names:
            return count(shapes, kinds)
    return None


def gemm(m: int, k: int, n: int, dtype: str, width: float, batch: int = 1, out: float = 2.0) -> Work:
    """A matrix product `[m, k] x [k, n]`: 2mkn operations; both operands and the result once."""
    flops = 2.0 * batch * m * k * n
    moved = batch * ((m * k + k * n) * width + m * n * out)
    prefix = f"{batch} x " if batch > 1 else ""
    return Work(flops, moved, dtype, f"{prefix}[{m}, {k}] x [{k}, {n}]")


def _shapes(text: str) -> list[Shape]:
    try:
        rows = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    if not isinstance(rows, list):
        return []
    made = []
    for row in rows:
        fits = isinstance(row, list) and all(
            isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in row
        )
        made.append(tuple(row) if fits and math.prod(row) < _MOST else ())
    return made


def _types(text: str) -> list[tuple[str, float]]:
    try:
        rows = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return []
    return [_type(str(row)) for row in rows] if isinstance(rows, list) else []


def _type(word: str) -> tuple[str, float]:
    low = word.lower()
    return next((known for part, known in _TYPES if part in low), ("", 0.0))


def _kind(kinds: Sequence[tuple[str, float]], at: int) -> tuple[str, float]:
    """Type and width of an operand; bf16, the type of serving, where it wasn't recorded."""
    return kinds[at] if at < len(kinds) and kinds[at][1] else ("bf16", 2.0)


def _product(at: int) -> Callable[[list[Shape], list[tuple[str, float]]], Work | None]:
    """`[m, k] x [k, n]` or batches of it, its first operand at a place."""

    def count(shapes: list[Shape], kinds: list[tuple[str, float]]) -> Work | None:
        if len(shapes) < at + 2:
            return None
        a, b = shapes[at], shapes[at + 1]
        dtype, width = _kind(kinds, at)
        out = 2.0 if width < 2 else width  # narrow products are stored as bf16
        if len(a) == 3 and len(b) == 3 and a[0] == b[0] and a[2] == b[1]:
            return gemm(a[1], a[2], b[2], dtype, width, a[0], out)
        if len(a) >= 2 and len(b) == 2 and a[-1] == b[0]:
            return gemm(math.prod(a[:-1]), a[-1], b[1], dtype, width, 1, out)
        return None

    return count


def _linear(shapes: list[Shape], kinds: list[tuple[str, float]]) -> Work | None:
    """`[…, k]` and a weight `[n, k]`."""
    if len(shapes) < 2 or len(shapes[0]) < 1 or len(shapes[1]) != 2 or shapes[0][-1] != shapes[1][1]:
        return None
    dtype, width = _kind(kinds, 0)
    return gemm(
        math.prod(shapes[0][:-1]), shapes[0][-1], shapes[1][0], dtype, width, 1, 2.0 if width < 2 else width
    )


def _sdpa(shapes: list[Shape], kinds: list[tuple[str, float]]) -> Work | None:
    """`[b, h, s, d]` of queries, keys and values: two products of s x d x t for each head, without a mask's saving."""
    if len(shapes) < 3 or any(len(s) != 4 for s in shapes[:3]):
        return None
    q, k, v = shapes[:3]
    dtype, width = _kind(kinds, 0)
    flops = 2.0 * q[0] * q[1] * q[2] * k[2] * (q[3] + v[3])
    moved = (2 * math.prod(q) + math.prod(k) + math.prod(v)) * width
    return Work(flops, moved, dtype, f"q {list(q)}, k {list(k)}")


def _moves(reads: int, writes: int) -> Callable[[list[Shape], list[tuple[str, float]]], Work | None]:
    """Data moved: some inputs read, outputs of the first input's size written."""

    def count(shapes: list[Shape], kinds: list[tuple[str, float]]) -> Work | None:
        rows = [(s, _kind(kinds, i)[1]) for i, s in enumerate(shapes) if s][: max(reads, 1)]
        if not rows:
            return None
        moved = sum(math.prod(s) * w for s, w in rows) + writes * math.prod(rows[0][0]) * rows[0][1]
        return Work(0.0, moved, _kind(kinds, 0)[0], " ".join(str(list(s)) for s, _ in rows))

    return count


_RULES: tuple[tuple[frozenset[str], Callable[[list[Shape], list[tuple[str, float]]], Work | None]], ...] = (
    (frozenset({"mm", "bmm", "matmul", "scaled_mm", "fp8_scaled_mm", "int8_scaled_mm", "cutlass_scaled_mm"}), _product(0)),
    (frozenset({"addmm", "baddbmm"}), _product(1)),
    (frozenset({"linear"}), _linear),
    (
        frozenset(
            {"scaled_dot_product_attention", "scaled_dot_product_flash_attention", "scaled_dot_product_efficient_attention",
             "scaled_dot_product_cudnn_attention", "scaled_dot_product_flash_attention_for_cpu"}
        ),
        _sdpa,
    ),
    (frozenset({"rmsnorm", "rms_norm", "layer_norm", "native_layer_norm", "silu", "gelu", "softmax", "relu"}), _moves(1, 1)),
    (frozenset({"fused_add_rmsnorm", "fused_add_rms_norm", "add", "mul", "add_", "mul_", "sub", "div"}), _moves(2, 1)),
    (frozenset({"copy_"}), _moves(2, 0)),
    (frozenset({"fill_", "zero_"}), _moves(1, 0)),
)  # fmt: skip
