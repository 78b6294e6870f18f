"""Kernel names as real servers launch them, by role in a layer: what the generator puts into its traces.

A role says what a kernel is for; the family is the one word by which a classifier has to call it: `attention`,
`gemm`, `moe`, `norm`, `rope`, `kv_cache`, `activation`, `communication`, `quantization`, `embedding`, `sampling`,
`linear_attention`, `elementwise`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

SGLANG, VLLM, TRTLLM = "sglang", "vllm", "trtllm"


@dataclass(frozen=True)
class Role:
    """One kernel of a layer.

    Attributes:
        name: what it is for, unique within a layer type except for `allreduce`.
        family: the family that a classifier has to give.
        cpu_op: the operator that launches it when it is eager.
        frame: `path:line function` of the Python frame around the launch.
        dur_ns: time in decode; prefill multiplies it.
        kernels: engine -> name on the GPU; `*` for the others.
        prefill: the same for prefill, where it differs.
    """

    name: str
    family: str
    cpu_op: str
    frame: str
    dur_ns: int
    kernels: dict[str, str]
    prefill: dict[str, str] | None = None

    def kernel(self, engine: str, stage: str) -> str:
        names = self.prefill if self.prefill and stage in ("prefill", "mixed", "verify") else self.kernels
        return names.get(engine) or names["*"]


_BF = "__nv_bfloat16"
_ROOT = "python/engine"

FA3 = (
    "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnFwdSm90<"
    "flash::CollectiveMainloopFwdSm90<2, cute::tuple<cute::C<1>, cute::C<1>, cute::C<1>>>>>>"
    "(flash::FlashAttnFwdParams)"
)
FLASHINFER_PREFILL = (
    "void flashinfer::BatchPrefillWithPagedKVCacheKernel<flashinfer::KernelTraits<(flashinfer::MaskMode)1, 128u>>"
    "(flashinfer::PagedParams)"
)
FLASHINFER_DECODE = "void flashinfer::BatchDecodeWithPagedKVCacheKernel<(flashinfer::PosEncodingMode)0, 2u, 8u>(flashinfer::Params)"
CUTLASS_MLA = (
    "void cutlass::device_kernel<cutlass::fmha::kernel::Sm100FmhaMlaKernelTmaWarpspecialized<"
    "cute::tuple<cute::C<128>, cute::C<128>>>>(cutlass::fmha::kernel::Params)"
)
FLASH_MLA = (
    "void flash_fwd_splitkv_mla_kernel<Flash_fwd_kernel_traits_mla<576, 64, 64, 8>>(Flash_fwd_mla_params)"
)
NCCL_AR = "ncclDevKernel_AllReduce_Sum_bf16_RING_LL(ncclDevKernelArgsStorage<4096ul>)"
CUSTOM_AR = f"void sglang::cross_device_reduce_1stage<{_BF}, 2>(sglang::RankData*, sglang::RankSignals)"
FUSED_AR = (
    "void flashinfer::trtllm_allreduce_fusion::allreduce_fusion_kernel_oneshot_lamport<"
    "(flashinfer::trtllm_allreduce_fusion::AllReduceFusionPattern)1, __nv_bfloat16, 4>(Params)"
)

NORM = Role(
    "input_norm", "norm", "sgl_kernel::fused_add_rmsnorm", f"{_ROOT}/layers/layernorm.py:83 forward_cuda", 3_000,
    {SGLANG: f"void flashinfer::norm::FusedAddRMSNormKernel<8u, {_BF}>({_BF}*, {_BF}*, float)",
     "*": "void vllm::fused_add_rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long, float)"},
)  # fmt: skip
FIRST_NORM = Role(
    "input_norm", "norm", "sgl_kernel::rmsnorm", f"{_ROOT}/layers/layernorm.py:71 forward_cuda", 3_000,
    {SGLANG: f"void flashinfer::norm::RMSNormKernel<8u, {_BF}>({_BF}*, {_BF}*, float)",
     "*": "void vllm::rms_norm_kernel<c10::BFloat16, 8>(c10::BFloat16*, long, float)"},
)  # fmt: skip
POST_NORM = Role(
    "post_norm", "norm", "sgl_kernel::fused_add_rmsnorm", f"{_ROOT}/layers/layernorm.py:83 forward_cuda", 3_000,
    NORM.kernels,
)  # fmt: skip
QKV = Role(
    "qkv_gemm", "gemm", "aten::linear", f"{_ROOT}/layers/linear.py:410 forward", 14_000,
    {"*": "nvjet_sm90_tst_64x16_64x16_4x1_v_bz_TNT"}, {"*": "nvjet_sm90_tst_256x128_64x4_1x2_h_bz_coopA_TNT"},
)  # fmt: skip
ROPE = Role(
    "rope", "rope", "sgl_kernel::rotary_embedding", f"{_ROOT}/layers/rotary_embedding.py:212 forward", 4_000,
    {SGLANG: "void (anonymous namespace)::fused_rope_kernel<true, 128l, true>(FusedRopeParams)",
     "*": "void vllm::rotary_embedding_kernel<c10::BFloat16, true>(long const*, c10::BFloat16*)"},
)  # fmt: skip
KV_STORE = Role(
    "kv_store", "kv_cache", "sgl_kernel::store_kvcache", f"{_ROOT}/mem_cache/memory_pool.py:520 set_kv_buffer", 3_500,
    {SGLANG: "void (anonymous namespace)::store_kvcache<2048l, 2048l, 4, true>(StoreParams)",
     "*": f"void vllm::reshape_and_cache_flash_kernel<{_BF}, {_BF}, (vllm::Fp8KVCacheDataType)0>({_BF} const*)"},
)  # fmt: skip
ATTENTION = Role(
    "attention", "attention", "sgl_kernel::fwd", f"{_ROOT}/layers/attention/backend.py:640 forward", 22_000,
    {SGLANG: FLASHINFER_DECODE, "*": FA3}, {SGLANG: FLASHINFER_PREFILL, "*": FA3},
)  # fmt: skip
O_PROJ = Role(
    "o_gemm", "gemm", "aten::linear", f"{_ROOT}/layers/linear.py:1290 forward", 9_000,
    {"*": "nvjet_sm90_tst_64x16_64x16_2x1_v_bz_splitK_TNT"}, {"*": "nvjet_sm90_tst_176x128_64x5_1x2_h_bz_TNN"},
)  # fmt: skip
GATE_UP = Role(
    "gate_up_gemm", "gemm", "aten::linear", f"{_ROOT}/layers/linear.py:410 forward", 26_000,
    {"*": "nvjet_sm90_tst_192x16_64x8_2x1_v_bz_TNT"}, {"*": "nvjet_sm90_tst_192x208_64x4_2x1_v_bz_coopB_TNT"},
)  # fmt: skip
ACTIVATION = Role(
    "activation", "activation", "sgl_kernel::silu_and_mul", f"{_ROOT}/layers/activation.py:66 forward_cuda", 3_000,
    {SGLANG: f"void (anonymous namespace)::act_and_mul_kernel<{_BF}, silu>(ActParams)",
     "*": "void vllm::act_and_mul_kernel<c10::BFloat16, &vllm::silu_kernel>(c10::BFloat16*, int)"},
)  # fmt: skip
DOWN = Role(
    "down_gemm", "gemm", "aten::linear", f"{_ROOT}/layers/linear.py:1290 forward", 15_000,
    {"*": "nvjet_sm90_tst_128x16_64x11_2x1_v_bz_splitK_TNT"}, {"*": "nvjet_sm90_tst_320x128_64x3_1x2_h_bz_coopB_TNT"},
)  # fmt: skip
ALLREDUCE = Role(
    "allreduce", "communication", "sglang::outplace_all_reduce",
    f"{_ROOT}/distributed/parallel_state.py:610 all_reduce", 11_000,
    {"*": NCCL_AR},
)  # fmt: skip
FUSED_ALLREDUCE = Role(
    "fused_allreduce", "communication", "flashinfer::trtllm_allreduce_fusion",
    f"{_ROOT}/layers/communicator.py:480 forward", 12_000, {"*": FUSED_AR},
)  # fmt: skip
QUANT = Role(
    "quant", "quantization", "sgl_kernel::sgl_per_token_quant_fp8",
    f"{_ROOT}/layers/quantization/fp8_utils.py:720 apply", 3_000,
    {SGLANG: f"void per_token_quant_fp8_kernel<{_BF}, __nv_fp8_e4m3, 16>({_BF} const*, float*)",
     "*": "void vllm::dynamic_per_token_scaled_fp8_quant_kernel<c10::BFloat16>(c10::BFloat16 const*)"},
)  # fmt: skip
ROUTER = Role(
    "router_gemm", "gemm", "aten::linear", f"{_ROOT}/layers/moe/router.py:44 forward", 4_000,
    {"*": "nvjet_sm90_tst_64x8_64x16_2x1_v_bz_splitK_TNT"},
)  # fmt: skip
TOPK = Role(
    "topk", "moe", "sgl_kernel::topk_softmax", f"{_ROOT}/layers/moe/topk.py:310 select_experts", 3_500,
    {"*": "void moe::topkGatingSoftmax<float, 8, 128, 4, 16>(float const*, bool const*, float*, int)"},
)  # fmt: skip
MOE_UP = Role(
    "moe_up_gemm", "moe", "sglang::fused_moe", f"{_ROOT}/layers/moe/fused_moe.py:540 fused_experts", 48_000,
    {"*": "fused_moe_kernel"},
)  # fmt: skip
MOE_DOWN = Role(
    "moe_down_gemm", "moe", "sglang::fused_moe", f"{_ROOT}/layers/moe/fused_moe.py:612 fused_experts", 31_000,
    {"*": "fused_moe_kernel"},
)  # fmt: skip
MOE_SUM = Role(
    "moe_sum", "moe", "sgl_kernel::moe_sum_reduce", f"{_ROOT}/layers/moe/fused_moe.py:650 fused_experts", 4_000,
    {"*": "void moe_sum_reduce_kernel<c10::BFloat16, 8>(c10::BFloat16 const*, c10::BFloat16*, long)"},
)  # fmt: skip
Q_A = Role(
    "q_a_gemm", "gemm", "aten::linear", f"{_ROOT}/models/deepseek_v2.py:1340 forward_absorb", 12_000, QKV.kernels,
    QKV.prefill,
)  # fmt: skip
KV_B = Role(
    "kv_b_gemm", "gemm", "aten::bmm", f"{_ROOT}/models/deepseek_v2.py:1402 forward_absorb", 8_000,
    {"*": "nvjet_sm90_tst_128x64_64x6_1x1_v_bz_TNN"},
)  # fmt: skip
MLA = Role(
    "attention", "attention", "sgl_kernel::cutlass_mla_decode",
    f"{_ROOT}/layers/attention/cutlass_mla_backend.py:240 forward_decode", 34_000,
    {SGLANG: CUTLASS_MLA, "*": FLASH_MLA},
)  # fmt: skip
CONV1D = Role(
    "causal_conv1d", "linear_attention", "sgl_kernel::causal_conv1d_update",
    f"{_ROOT}/layers/attention/mamba.py:210 forward", 5_000,
    {"*": "void causal_conv1d_update_kernel<Causal_conv1d_update_kernel_traits<64, 4>, false>(ConvParamsBase)"},
)  # fmt: skip
LINEAR_ATTENTION = Role(
    "linear_attention", "linear_attention", "fla::fused_recurrent_gated_delta_rule",
    f"{_ROOT}/layers/attention/fla/fused_recurrent.py:160 forward", 18_000,
    {"*": "fused_recurrent_gated_delta_rule_update_fwd_kernel"},
    {"*": "chunk_gated_delta_rule_fwd_kernel_h_blockdim64"},
)  # fmt: skip
EMBEDDING = Role(
    "embedding", "embedding", "aten::embedding", f"{_ROOT}/layers/vocab_parallel_embedding.py:480 forward", 3_000,
    {"*": "void at::native::(anonymous namespace)::indexSelectSmallIndex<c10::BFloat16, long, unsigned int, 2>(int)"},
)  # fmt: skip
LM_HEAD = Role(
    "lm_head", "gemm", "aten::matmul", f"{_ROOT}/layers/logits_processor.py:540 _get_logits", 90_000,
    {"*": "nvjet_sm90_tst_320x128_64x3_1x2_h_bz_coopB_NNT"},
)  # fmt: skip
SAMPLE = Role(
    "sample", "sampling", "aten::argmax", f"{_ROOT}/layers/sampler.py:120 forward", 9_000,
    {"*": "void at::native::reduce_kernel<512, 1, at::native::ReduceOp<float, at::native::ArgMaxOps<float>>>(R)"},
)  # fmt: skip

VISION_NORM = replace(FIRST_NORM, name="vision_norm", dur_ns=20_000)
LOGITS_ALLREDUCE = replace(ALLREDUCE, name="logits_allreduce")

_DENSE_ATTENTION = (NORM, QKV, ROPE, KV_STORE, ATTENTION, O_PROJ)
_MLA_ATTENTION = (NORM, Q_A, KV_B, ROPE, KV_STORE, MLA, O_PROJ)
_LINEAR_ATTENTION = (NORM, QKV, CONV1D, LINEAR_ATTENTION, O_PROJ)
_DENSE_MLP = (POST_NORM, GATE_UP, ACTIVATION, DOWN)
_MOE_MLP = (POST_NORM, ROUTER, TOPK, MOE_UP, ACTIVATION, MOE_DOWN, MOE_SUM)

# layer type -> its kernels with one rank; with more an all-reduce follows the attention half and the MLP half
LAYERS: dict[str, tuple[tuple[Role, ...], tuple[Role, ...]]] = {
    "dense": (_DENSE_ATTENTION, _DENSE_MLP),
    "moe": (_DENSE_ATTENTION, _MOE_MLP),
    "mla_dense": (_MLA_ATTENTION, _DENSE_MLP),
    "mla_moe": (_MLA_ATTENTION, _MOE_MLP),
    "linear": (_LINEAR_ATTENTION, _DENSE_MLP),
    "linear_moe": (_LINEAR_ATTENTION, _MOE_MLP),
    # the projection's input is quantised by a kernel of its own: norm and quantisation stand side by side, unfused
    "fp8": (
        (NORM, QUANT, QKV, ROPE, KV_STORE, ATTENTION, O_PROJ),
        (POST_NORM, QUANT, GATE_UP, ACTIVATION, QUANT, DOWN),
    ),
}
