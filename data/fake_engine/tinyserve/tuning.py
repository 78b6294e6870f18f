"""Costs of the kernels in microseconds: what a faster kernel changes."""

# per token of a step
NORM_TOKEN_US = 0.10
QKV_TOKEN_US = 0.70
ROPE_TOKEN_US = 0.10
ATTENTION_TOKEN_US = 0.55
OUT_TOKEN_US = 0.35
MLP_TOKEN_US = 1.30
CACHE_TOKEN_US = 0.15

# per token already in the cache of a request, a thousandth
CONTEXT_NS = 40

# per launch
LAUNCH_US = {
    "norm": 4.0,
    "qkv": 14.0,
    "rope": 4.0,
    "cache": 5.0,
    "attention": 22.0,
    "out": 9.0,
    "mlp": 30.0,
    "head": 60.0,
    "sample": 12.0,
    "schedule": 20.0,
}
