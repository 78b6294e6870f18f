"""Where a file stands in an engine's tree: its group, its language, and whether it is shared by all models."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import PurePosixPath

from ingest.records import FileGroup

_LANGUAGES = {
    ".py": "python", ".pyi": "python", ".cu": "cuda", ".cuh": "cuda", ".hip": "cuda",
    ".cpp": "cpp", ".cc": "cpp", ".cxx": "cpp", ".c": "cpp", ".h": "cpp", ".hpp": "cpp", ".rs": "rust",
}  # fmt: skip

# First match wins; each is searched in the lower-cased path.
_GROUPS: tuple[tuple[FileGroup, re.Pattern[str]], ...] = (
    ("ci", re.compile(r"^\.(github|buildkite|gitlab|circleci|azure)|^scripts/ci/|^ci/|(^|/)jenkins|codeowners$|"
                      r"^\.pre-commit|(^|/)\.?codespell|^\.?mergify|^\.claude/|^\.cursor/|^\.codex/")),
    ("docs", re.compile(r"(^|/)(docs?(_\w+)?|cookbook|blogs?)/|^examples?/.*\.(py|sh|cpp|rs)$|\.(md|mdx|rst|ipynb)$|(^|/)(license|notice|changelog|authors)[^/]*$|"
                        r"\.(png|jpe?g|gif|svg|webp)$")),
    ("benchmark", re.compile(r"(^|/)(bench|benchmarks?|benchmarking)/|(^|/)bench_[^/]*$|(^|/)benchmark_[^/]*$")),
    ("test", re.compile(r"(^|/)(tests?|testing|unit_?tests?)/|(^|/)test_[^/]*$|_test\.(py|cc|cpp|cu|rs)$|(^|/)conftest\.py$")),
    ("build", re.compile(r"(^|/)(dockerfile[^/]*|docker|makefile|cmakelists\.txt|cmake|setup\.(py|cfg)|build\.rs)(/|$)|"
                         r"\.cmake$|\.dockerfile$|(^|/)requirements[^/]*(/|\.txt$|\.in$)|(^|/)(pyproject|cargo)[^/]*\.(toml|lock)$|"
                         r"(^|/)(poetry|uv)\.lock$|package(-lock)?\.json$|(^|/)\.(gitmodules|gitignore|gitattributes|dockerignore)$|^3rdparty/")),
    ("config", re.compile(r"(^|/)configs?/[^/]*\.(json|ya?ml|toml|csv)$|\.(json|ya?ml|toml|ini|cfg|csv|jinja|pbtxt)$|/configs/e=")),
    ("kernel", re.compile(r"\.(cu|cuh|hip)$|(^|/)(sgl-kernel|jit_kernel|csrc|cpp/kernels|kernels|triton_kernels|triton_ops)/|"
                          r"(_|/)kernels?\.(py|cpp|h)$|(^|/)layers/.*/ops/|(^|/)(fused_)?[a-z0-9_]*triton[a-z0-9_]*\.py$")),
)  # fmt: skip

# area -> files every model or every request runs through: a change here reaches beyond the family it was made for
_SHARED: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("server arguments", re.compile(r"(^|/)(server_args|arg_utils|llm_args|cli_args|environ|envs)\.py$")),
    ("model configuration", re.compile(r"(^|/)(model_config|config)\.py$|(^|/)vllm/config/|hf_transformers|transformers_utils/config(\.py|_)")),
    ("model loading", re.compile(r"(^|/)(model_loader|weight_utils|loader|checkpoint_loader|modeling_utils)(\.py|/)")),
    ("model registry", re.compile(r"(model_executor|srt|_torch)/models/(registry|__init__)\.py$|(^|/)modeling_auto\.py$")),
    ("scheduler", re.compile(r"(^|/)(scheduler|schedule_batch|schedule_policy|sched|tp_worker|py_executor|scheduler_[a-z_]+)(\.py|/)")),
    ("attention backend", re.compile(r"(^|/)(attention|attention_backend|attn_backend)[a-z_]*(/|\.py$)|(^|/)radix_attention\.py$|(^|/)v1/attention/")),
    ("memory cache", re.compile(r"(^|/)(mem_cache|kv_?cache[a-z_]*|block_manager|block_pool|core/block|radix_cache|memory_pool|resource_manager)(\.(py|cpp|h)|/)")),
    ("model runner", re.compile(r"(^|/)(model_runner|gpu_model_runner|forward_batch_info|model_engine|gpu_worker|input_batch)[a-z_]*\.py$")),
    ("CUDA graph", re.compile(r"(^|/)[a-z_]*cuda_?graph[a-z_]*(\.py|/)|(^|/)piecewise[a-z_]*\.py$|(^|/)compilation/")),
    ("speculative decoding", re.compile(r"(^|/)(speculative|spec_decode|eagle)[a-z_]*(\.py|/)")),
    ("distributed communication", re.compile(r"(^|/)(distributed|communicator|communication_op|parallel_state|device_communicators)[a-z_]*(\.py|/)")),
    ("mixture of experts", re.compile(r"(^|/)(moe|fused_moe|fused_moe_triton|ep_moe)[a-z_]*(/|\.py$)|(^|/)fused_moe/")),
    ("quantization", re.compile(r"(^|/)quantization/")),
    ("linear layers", re.compile(r"(^|/)(layers|modules)/(linear|parameter|activation|layernorm|vocab_parallel_embedding|logits_processor)\.py$")),
    ("rotary embedding", re.compile(r"(^|/)rotary_embedding(\.py|/)")),
    ("sampling", re.compile(r"(^|/)(sampler|sampling|sampling_params|sample)[a-z_]*(\.py|/)")),
    ("chat template", re.compile(r"\.jinja$|(^|/)(chat_template|conversation|jinja_template_utils|template_manager)[a-z_]*\.py$")),
    ("multimodal processing", re.compile(r"(^|/)(multimodal/(processing|inputs|registry|utils)|base_processor|mm_utils|schedule_mm)[a-z_]*\.py$")),
    ("HTTP server", re.compile(r"(^|/)(http_server|api_server|serving_[a-z_]+|protocol|openai_server)\.py$")),
    ("parsers", re.compile(r"(^|/)(function_call|tool_parsers?|reasoning_parser|reasoning)[a-z_]*(/base|/abs|/core|/__init__|_parser\.py$|\.py$)")),
)  # fmt: skip

# a feature with schedulers and workers of its own
_OWN_FEATURE = re.compile(r"(^|/)(kv_transfer|kv_offload|kv_connector)/")


_KEPT = 1 << 16  # paths whose place is remembered: a history names the same ones again and again


def language_of(path: str) -> str | None:
    """The tree-sitter grammar for a path: python, cuda, cpp, rust, or None."""
    return _LANGUAGES.get(PurePosixPath(path).suffix.lower())


@lru_cache(_KEPT)
def group_of(path: str) -> FileGroup:
    """The group of a path; what nothing else claims runs in the engine and is `runtime`."""
    lowered = path.lower()
    for group, pattern in _GROUPS:
        if pattern.search(lowered):
            return group
    return "runtime"


@lru_cache(_KEPT)
def shared_area(path: str) -> str | None:
    """The engine-wide area a path belongs to, None for files of one model or one feature."""
    lowered = path.lower()
    if group_of(path) not in ("runtime", "kernel") or _OWN_FEATURE.search(lowered):
        return None
    return next((area for area, pattern in _SHARED if pattern.search(lowered)), None)
