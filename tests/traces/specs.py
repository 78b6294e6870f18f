"""Specifications drawn by hypothesis: any engine, model, parallelism and layout that the generator knows."""

from __future__ import annotations

from hypothesis import strategies as st
from traces.generator import Pass, Spec
from traces.vocabulary import LAYERS, SGLANG, TRTLLM, VLLM


def passes(engine: str) -> st.SearchStrategy[Pass]:
    """One forward pass that the engine has."""
    batches = st.integers(1, 64)
    kinds = [
        st.builds(Pass, st.just("prefill"), st.integers(1, 4), st.integers(512, 8192)),
        st.builds(Pass, st.just("decode"), batches, graph=st.sampled_from([None, False])),
        st.builds(Pass, st.just("mixed"), batches, st.integers(512, 8192)),
    ]
    if engine == SGLANG:
        kinds.append(st.builds(Pass, st.sampled_from(["verify", "draft"]), batches))
    return st.one_of(kinds)


@st.composite
def specs(draw: st.DrawFn, *, max_layers: int = 8, max_passes: int = 4, max_ranks: int = 2) -> Spec:
    """A specification; models are one type of layer, an alternation, or a dense start before MoE."""
    engine = draw(st.sampled_from([SGLANG, VLLM, TRTLLM]))
    depth = draw(st.integers(1, max_layers))
    first, second = draw(st.sampled_from(sorted(LAYERS))), draw(st.sampled_from(sorted(LAYERS)))
    layers = draw(
        st.sampled_from(
            [
                (first,) * depth,
                (first, second) * ((depth + 1) // 2),
                (first,) * min(2, depth) + (second,) * depth,
            ]
        )
    )
    return Spec(
        engine=engine,
        layers=layers,
        passes=tuple(draw(st.lists(passes(engine), min_size=1, max_size=max_passes))),
        ranks=draw(st.integers(1, max_ranks)),
        all_reduce=draw(st.sampled_from(["nccl", "custom", "fused"])),
        overlap=draw(st.sampled_from([0.0, 0.25, 0.9])),
        gap_ns=draw(st.sampled_from([0, 1_000, 4_500])),
        idle_ns=draw(st.sampled_from([0, 50_000, 3_000_000])),
        lead_ns=draw(st.sampled_from([10_000, 400_000, 5_000_000])),
        launch_ns=draw(st.sampled_from([1_000, 40_000])),
        jitter=draw(st.sampled_from([0.0, 0.05])),
        seed=draw(st.integers(0, 1000)),
        annotate=draw(st.booleans()),
        gpu_annotations=draw(st.booleans()),
        stacks=draw(st.booleans()),
        shapes=draw(st.booleans()),
    )
