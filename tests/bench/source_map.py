"""Does the source map answer for every path of an older public map of SGLang, at three revisions?

The table holds the paths such a map listed (facts: paths alone), each with words an engineer would ask, and, read by hand
in the history, where the thing is at the revisions of the three days on which the path itself is not there. A question counts
as answered when the answer names that place; `gone` means that the answer has to say that it went, or is to come, and by what.

    python tests/bench/source_map.py --git CLONE [--show]

The baseline of the same run is the static map: how many of its paths exist.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ingest.git import open_repository
from kb.reports.where import where_text
from kb.sourcemap.resolve import ask
from kb.sourcemap.topics import SourceMap
from kb.trees.git import open_git_tree

REPO = "sgl-project/sglang"
DAYS = ("2025-12-09", "2026-06-08", "2026-08-22")
SRT, ATT = "python/sglang/srt", "python/sglang/srt/layers/attention"
JIT, OPS, AOT = "python/sglang/jit_kernel", "python/sglang/kernels/ops", "python/sglang/kernels/aot"

# path of the map | words | place on each of the three days, `=` where the path itself is there
TABLE = f"""
{SRT} | srt runtime | = | = | =
{SRT}/layers | layers folder | = | = | =
{ATT} | attention backends | = | = | =
{ATT}/flashinfer_backend.py | flashinfer attention backend | = | = | =
{ATT}/flashinfer_mla_backend.py | flashinfer mla backend | = | = | =
{ATT}/cutlass_mla_backend.py | cutlass mla backend | = | = | =
{ATT}/flashattention_backend.py | flashattention backend | = | = | =
{ATT}/triton_backend.py | triton attention backend | = | = | =
{ATT}/flashmla_backend.py | flashmla backend | = | = | =
{ATT}/nsa_backend.py | native sparse attention backend | = | = | =
{ATT}/tbo_backend.py | tbo backend | = | = | =
{ATT}/fla | flash linear attention | = | = | {OPS}/attention/fla
{ATT}/triton_ops | triton attention ops | = | = | {OPS}/attention/decode_attention.py
{ATT}/wave_ops | wave attention ops | = | = | =
{ATT}/attention_registry.py | attention backend registry | = | = | =
{ATT}/base_attn_backend.py | attention backend interface | = | = | =
{SRT}/layers/moe | mixture of experts layer | = | = | =
{SRT}/layers/quantization | quantization | = | = | =
{SRT}/layers/quantization/fp8_kernel.py | fp8 quantization kernels triton | = | = | {OPS}/quantization/fp8_kernel.py
{SRT}/layers/quantization/gptq.py | gptq quantization | = | {SRT}/layers/quantization/gptq | {SRT}/layers/quantization/gptq
{SRT}/layers/deep_gemm_wrapper | deepgemm integration | = | = | =
{SRT}/layers/utils | layers utils | {SRT}/layers/utils.py | = | =
{SRT}/models | model implementations | = | = | =
{SRT}/models/deepseek_v2.py | deepseek v2 v3 model | = | = | =
{SRT}/models/llama.py | llama model | = | = | =
{SRT}/models/deepseek_common | deepseek shared components | {SRT}/models/deepseek_v2.py | = | =
{SRT}/managers | manager processes | = | = | =
{SRT}/mem_cache | kv cache radix cache | = | = | =
{SRT}/model_executor | model executor forward batch | = | = | =
{SRT}/model_loader | model loading weight mapping | = | = | =
{SRT}/entrypoints | entrypoints | = | = | =
{SRT}/speculative | speculative decoding | = | = | =
{SRT}/disaggregation | disaggregated prefill decode | = | = | =
{SRT}/distributed | distributed tp pp ep | = | = | =
{SRT}/compilation | torch compile compilation | = | = | =
{SRT}/configs | model configs | = | = | =
{SRT}/lora | lora | = | = | =
{SRT}/eplb | expert load balancing | = | = | =
{SRT}/hardware_backend | hardware backends | = | = | =
{SRT}/utils | runtime utils | = | = | =
{JIT} | jit kernels | = | = | python/sglang/kernels/jit
{JIT}/flash_attention | jit kernel flash attention sources | sgl-kernel/python/sgl_kernel/_fa4_interface.py | gone | {OPS}/attention/flash_attn
{JIT}/flash_attention_v4.py | flash attention v4 | sgl-kernel/python/sgl_kernel/_fa4_interface.py | = | {OPS}/attention/flash_attention_v4.py
{JIT}/cutedsl_gdn.py | cutedsl gdn kernel | {ATT}/fla/fused_sigmoid_gating_recurrent.py | = | {OPS}/attention/cutedsl_gdn.py
{JIT}/concat_mla.py | mla concat kernel | sgl-kernel/csrc/elementwise/concat_mla.cu | = | {OPS}/attention/concat_mla.py
{JIT}/norm.py | normalization kernels | sgl-kernel/csrc/elementwise/fused_add_rms_norm_kernel.cu | = | {OPS}/layernorm/norm.py
{JIT}/rope.py | rope position kernel | sgl-kernel/csrc/elementwise/rope.cu | = | {OPS}/attention/rope.py
{JIT}/pos_enc.py | position encoding kernel | sgl-kernel/csrc/elementwise/pos_enc.cu | {JIT}/rope.py | {OPS}/attention/rope.py
{JIT}/per_tensor_quant_fp8.py | per tensor fp8 quantization kernel | sgl-kernel/csrc/gemm/per_tensor_quant_fp8.cu | = | {OPS}/quantization/per_tensor_quant_fp8.py
{JIT}/kvcache.py | kv cache store kernel | sgl-kernel/csrc/memory/store.cu | = | {OPS}/kvcache/kvcache.py
{JIT}/hicache.py | hicache kernel | = | = | {OPS}/kvcache/hicache.py
{JIT}/gptq_marlin.py | gptq marlin kernel | sgl-kernel/csrc/gemm/marlin | = | {OPS}/quantization/gptq_marlin.py
{JIT}/cuda_wait_value.py | cuda wait value | = | gone | gone
{JIT}/diffusion | diffusion kernels | python/sglang/multimodal_gen/runtime/layers/triton_ops.py | = | {OPS}/diffusion
sgl-kernel | sgl-kernel | = | = | {AOT}
sgl-kernel/csrc | sgl-kernel csrc | = | = | {AOT}/csrc
sgl-kernel/csrc/attention | attention cuda kernels | = | = | {AOT}/csrc/attention
sgl-kernel/csrc/cutlass_extensions | cutlass extensions | = | = | {AOT}/csrc/cutlass_extensions
sgl-kernel/csrc/gemm | gemm kernels | = | = | {AOT}/csrc/gemm
sgl-kernel/csrc/moe | moe cuda kernels | = | = | {AOT}/csrc/moe
sgl-kernel/csrc/quantization | quantization cuda kernels | = | = | {AOT}/csrc/quantization
sgl-kernel/csrc/allreduce | allreduce cuda kernels | = | = | {AOT}/csrc/allreduce
sgl-kernel/csrc/speculative | speculative decoding kernels | = | = | {AOT}/csrc/speculative
sgl-kernel/csrc/kvcacheio | kvcacheio | = | = | {AOT}/csrc/kvcacheio
sgl-kernel/csrc/mamba | mamba kernels | = | = | {AOT}/csrc/mamba
sgl-kernel/csrc/memory | memory kernels | = | = | {AOT}/csrc/memory
sgl-kernel/csrc/grammar | grammar kernel | = | = | {AOT}/csrc/grammar
sgl-kernel/include | kernel headers | = | = | {AOT}/include
sgl-kernel/python | python bindings of kernels | = | = | {AOT}/python
sgl-kernel/tests | sgl-kernel tests | = | = | {AOT}/tests
sgl-kernel/benchmark | sgl-kernel benchmark | = | = | {AOT}/benchmark
python/sglang/lang | frontend language | = | = | =
examples | examples | = | = | =
benchmark | benchmarks | = | = | =
test | test suite | = | = | =
docs | documentation | = | = | =
"""


def rows() -> list[tuple[str, str, tuple[str, str, str]]]:
    """(path, words, place on each day)."""
    found = []
    for line in TABLE.strip().splitlines():
        path, words, *places = (part.strip() for part in line.split("|"))
        assert len(places) == len(DAYS), line
        found.append((path, words, tuple(path if p == "=" else p for p in places)))
    return found


def is_answered(text: str, place: str) -> bool:
    """Whether an answer names a place as a whole, or says of what is gone what took or brings it."""
    if place == "gone":
        return " removed on " in text or " not there yet" in text
    words = {w.strip(" ,:;()").rstrip("/") for w in text.replace("`", " ").split()}
    return place in words


def main() -> int:
    """Ask everything twice, by path and by words; the exit status says whether all was answered."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--git", type=Path, required=True, help="a clone of SGLang")
    parser.add_argument("--show", action="store_true", help="print the answers to what has moved")
    options = parser.parse_args()
    source_map = SourceMap("sglang")
    table, bad = rows(), 0
    with open_repository(options.git) as repository:
        revisions = [
            repository.run("rev-list", "-1", f"--before={d}T23:59:59Z", repository.resolve("HEAD"))
            .decode()
            .strip()
            for d in DAYS
        ]
    for number, (day, revision) in enumerate(zip(DAYS, revisions, strict=True)):
        started, slowest = time.perf_counter(), 0.0
        with open_git_tree(REPO, options.git, revision) as tree:
            static = sum(tree.has(path) for path, _, _ in table)
            by_path = by_words = 0
            for path, words, places in table:
                texts = []
                for question in (path, words):
                    begun = time.perf_counter()
                    texts.append(where_text(ask(source_map, tree, question)))
                    slowest = max(slowest, time.perf_counter() - begun)
                good = [is_answered(text, places[number]) for text in texts]
                by_path += good[0]
                by_words += good[1]
                bad += 2 - sum(good)
                for question, text, ok in zip((path, words), texts, good, strict=True):
                    if not ok or (options.show and places[number] != path):
                        print(f"--- {'' if ok else 'WRONG '}{question} (want {places[number]})\n{text}\n")
        print(
            f"{day} {revision[:12]}: static map {static} of {len(table)}; by path {by_path}, by words {by_words}; "
            f"{time.perf_counter() - started:.1f} s for all, slowest {slowest:.2f} s"
        )
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
