"""The layers of a decoder: each launches its kernels and passes a hidden state on.

A state is a 64-bit number; every kernel that the model needs mixes its mark into it, so that a kernel which is left out
changes every later token.
"""

from dataclasses import dataclass

from tinyserve import tuning
from tinyserve.device import Device

_MASK = (1 << 64) - 1


@dataclass
class Batch:
    """What one step works on: new tokens of each request, and tokens that each has in the cache."""

    states: list[int]
    tokens: int
    context: int


def mix(state: int, mark: int) -> int:
    """One round of splitmix64."""
    state = (state + mark * 0x9E3779B97F4A7C15) & _MASK
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
    return state ^ (state >> 31)


class Layers:
    """A decoder of `count` equal layers."""

    def __init__(self, device: Device, count: int, hidden: int, backend: str, page: int) -> None:
        self.device, self.count, self.hidden = device, count, hidden
        self.backend, self.page = backend, page

    def forward(self, batch: Batch) -> None:
        """All layers in order."""
        for layer in range(self.count):
            self.norm(batch, layer)
            self.qkv_projection(batch, layer)
            self.rotary_embedding(batch, layer)
            self.store_cache(batch, layer)
            self.attention(batch, layer)
            self.out_projection(batch, layer)
            self.norm(batch, layer)
            self.mlp(batch, layer)

    def norm(self, batch: Batch, layer: int) -> None:
        """RMSNorm of the residual stream."""
        self._run("tinyserve::rms_norm", "norm", tuning.NORM_TOKEN_US * batch.tokens, batch, 3 * layer + 1)

    def qkv_projection(self, batch: Batch, layer: int) -> None:
        """Queries, keys and values in one product."""
        self._run(
            "tinyserve::qkv_linear_gemm", "qkv", tuning.QKV_TOKEN_US * batch.tokens, batch, 3 * layer + 2
        )

    def rotary_embedding(self, batch: Batch, layer: int) -> None:
        """Rotary position embedding."""
        self._run(
            "tinyserve::rotary_embedding", "rope", tuning.ROPE_TOKEN_US * batch.tokens, batch, 3 * layer + 3
        )

    def store_cache(self, batch: Batch, layer: int) -> None:
        """Write keys and values into the pages of the cache."""
        pages = max(1.0, 16 / self.page)
        cost = tuning.CACHE_TOKEN_US * batch.tokens * pages
        self._run("tinyserve::reshape_and_cache", "cache", cost, batch, 3 * layer + 4)

    def attention(self, batch: Batch, layer: int) -> None:
        """Attention of the new tokens over the cache."""
        factor = {"plain": 1.0, "fused": 0.8, "paged": 1.1}[self.backend]
        cost = factor * (tuning.ATTENTION_TOKEN_US * batch.tokens + tuning.CONTEXT_NS * batch.context / 1000)
        self._run("tinyserve::flash_attention_fwd", "attention", cost, batch, 3 * layer + 5)

    def out_projection(self, batch: Batch, layer: int) -> None:
        """Back into the residual stream."""
        self._run(
            "tinyserve::out_linear_gemm", "out", tuning.OUT_TOKEN_US * batch.tokens, batch, 3 * layer + 6
        )

    def mlp(self, batch: Batch, layer: int) -> None:
        """Gate, up, activation and down."""
        half = tuning.MLP_TOKEN_US * batch.tokens / 2
        self._run("tinyserve::gate_up_linear_gemm", "mlp", half, batch, 3 * layer + 7)
        self._run(
            "tinyserve::silu_and_mul", "norm", tuning.NORM_TOKEN_US * batch.tokens, batch, 3 * layer + 8
        )
        self._run("tinyserve::down_linear_gemm", "mlp", half, batch, 3 * layer + 9)

    def head(self, batch: Batch) -> None:
        """Logits of the last token of each request."""
        self._run("tinyserve::lm_head_gemm", "head", tuning.QKV_TOKEN_US * len(batch.states), batch, 977)

    def _run(self, name: str, launch: str, cost: float, batch: Batch, mark: int) -> None:
        self.device.launch(name, tuning.LAUNCH_US[launch] + cost, [[batch.tokens, self.hidden]], depth=2)
        batch.states[:] = [mix(state, mark) for state in batch.states]
