"""Flags, environment variables and configuration keys that a diff adds, removes and uses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.facts import FileFacts, changed_text, file_facts, merge_facts, named_pulls
from ingest.paths import group_of
from ingest.records import Facts, Hunk

ARGS = "python/sglang/srt/server_args.py"
RUNTIME = "python/sglang/srt/managers/scheduler.py"


def facts(*files: tuple[str, str, str]) -> Facts:
    """Facts of a pull request from (path, added lines, removed lines)."""
    return merge_facts(file_facts(path, group_of(path), added, removed) for path, added, removed in files)


def test_a_flag_is_read_from_the_line_of_add_argument_and_from_the_next():
    added = (
        '        parser.add_argument("--enable-dp-attention", action="store_true")\n'
        '        parser.add_argument(\n            "--moe-a2a-backend",\n            type=str,\n        )\n'
        "        group.add_argument('-t', '--tp-size', type=int)\n"
    )
    expected = ("--enable-dp-attention", "--moe-a2a-backend", "--tp-size")
    assert facts((ARGS, added, "")) == Facts(flags_added=expected)
    assert facts((ARGS, "", added)) == Facts(flags_removed=expected)


def test_every_spelling_of_a_flag_is_read():
    together = '    parser.add_argument("--model-path", "--model", type=str)\n'
    apart = '            "--tensor-parallel-size",\n            "--tp-size",\n'
    assert facts((ARGS, together, "")).flags_added == ("--model", "--model-path")
    assert facts((ARGS, apart, "")).flags_added == ("--tensor-parallel-size", "--tp-size")


def test_a_flag_whose_opening_line_did_not_change_is_read_where_flags_are_defined():
    assert facts((ARGS, '            "--new-name",\n', '            "--old-name",\n')) == Facts(
        flags_added=("--new-name",), flags_removed=("--old-name",)
    )
    assert facts((RUNTIME, '            "--not-a-flag",\n', "")) == Facts()


def test_a_flag_of_the_router_is_read_from_clap():
    added = '    #[arg(long = "cache-threshold", default_value_t = 0.5)]\n    #[clap(short, long="worker-urls")]\n'
    assert facts(("sgl-router/src/main.rs", added, "")).flags_added == ("--cache-threshold", "--worker-urls")


def test_a_moved_flag_counts_as_neither():
    line = '        parser.add_argument("--tp-size", type=int)\n'
    assert facts((ARGS, line, line)) == Facts()
    assert facts((ARGS, "", line), ("python/sglang/srt/arg_groups.py", line, "")) == Facts()


def test_a_flag_with_another_default_counts_as_neither():
    old = '        parser.add_argument("--tp-size", type=int, default=1)\n'
    assert facts((ARGS, old.replace("=1", "=2"), old)) == Facts()


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        (RUNTIME, 'x = os.environ.get("SGLANG_USE_X", "0")', "SGLANG_USE_X"),
        (RUNTIME, "x = os.environ['HF_HOME']", "HF_HOME"),
        (RUNTIME, 'x = os.getenv("NCCL_DEBUG")', "NCCL_DEBUG"),
        (RUNTIME, 'os.environ.setdefault("CUDA_MODULE_LOADING", "AUTO")', "CUDA_MODULE_LOADING"),
        (RUNTIME, 'x = get_bool_env_var("SGLANG_DEBUG")', "SGLANG_DEBUG"),
        (RUNTIME, 'x = get_int_env_var("MY_LIMIT", 3)', "MY_LIMIT"),
        (RUNTIME, "if envs.SGLANG_ENABLE_SPEC_V2.get():", "SGLANG_ENABLE_SPEC_V2"),
        (RUNTIME, "if envs.VLLM_USE_V1:", "VLLM_USE_V1"),
        ("python/sglang/srt/environ.py", "    SGLANG_TEST_RETRACT = EnvBool(False)", "SGLANG_TEST_RETRACT"),
        ("vllm/envs.py", '    "VLLM_PORT": lambda: get_vllm_port(),', "VLLM_PORT"),
        ("vllm/envs.py", "    VLLM_HOST_IP: str = ''", "VLLM_HOST_IP"),
        ("cpp/tensorrt_llm/common/envUtils.cpp", 'getBoolEnv("TRTLLM_ENABLE_PDL");', "TRTLLM_ENABLE_PDL"),
        ("cpp/tensorrt_llm/common/envUtils.cpp", 'auto* x = std::getenv("FORCE_DETERMINISTIC");', "FORCE_DETERMINISTIC"),
        ("sgl-router/src/main.rs", 'std::env::var("RUST_LOG")', "RUST_LOG"),
        ("docker/Dockerfile", "ENV SGLANG_SET_CPU_AFFINITY=1", "SGLANG_SET_CPU_AFFINITY"),
        (RUNTIME, '    "DG_JIT_CACHE_DIR",', "DG_JIT_CACHE_DIR"),
    ],
)  # fmt: skip
def test_an_environment_variable_is_read_where_it_is_named(path: str, line: str, name: str):
    assert facts((path, line, "")) == Facts(env_added=(name,))
    assert facts((path, "", line)) == Facts(env_removed=(name,))
    assert facts((path, line, "  " + line)) == Facts()


@pytest.mark.parametrize(
    "line",
    [
        "#ifndef VLLM_KERNELS_H", "#define SGLANG_API", "VLLM_DISPATCH_FLOATING_TYPES(x, [&] {", "TLLM_CHECK_WITH_INFO(x)",
        "TRTLLM_VERSION", "x = MY_CONSTANT", 'os.environ.get(name, "X")', "sglang_use_x = 1", "TLLM_LOG_DEBUG(\"x\");",
        "TLLM_CUDA_CHECK(cudaGetLastError());", "TLLM_THROW(\"x\");",
        "sum += VLLM_SHFL_XOR_SYNC(sum, mask);", "VLLM_LDG(ptr)",
    ],
)  # fmt: skip
def test_a_macro_or_a_constant_is_no_environment_variable(line: str):
    assert facts(("cpp/tensorrt_llm/runtime/x.cpp", line, "")) == Facts()


def test_fields_of_a_settings_class_are_configuration():
    added = (
        "@dataclass\nclass ServerArgs:\n    # Model\n    model_path: str\n    tp_size: int = 1\n"
        "    dtype: Literal['auto', 'half'] = \"auto\"\n    def method(self, x: int):\n        local_name: int = 1\n    ab: int = 2\n"
    )
    assert facts((ARGS, added, "")).config_added == ("dtype", "model_path", "tp_size")
    assert facts(("vllm/config/cache.py", "    block_size: int = 16\n", "")).config_added == ("block_size",)
    assert facts(
        ("tensorrt_llm/llmapi/llm_args.py", "    max_seq_len: Optional[int] = Field(\n", "")
    ).config_added == ("max_seq_len",)
    assert facts((RUNTIME, "    max_seq_len: int = 1\n", "")) == Facts()


def test_parameters_of_a_function_in_a_settings_file_are_no_fields():
    added = "def get_config(\n    trust_remote_code: bool,\n    revision: str | None = None,\n) -> PretrainedConfig:\n"
    assert facts(("vllm/transformers_utils/config.py", added, "")) == Facts()


def test_a_field_with_another_default_counts_as_neither():
    assert facts((ARGS, "    tp_size: int = 2\n", "    tp_size: int = 1\n")) == Facts()


def test_keys_of_a_settings_document_are_configuration_and_those_of_a_tuned_table_are_not():
    text = '{\n  "hidden_size": 1,\n  "x": 1,\n  "num.layers": 2\n}\n'
    assert facts(("examples/configs/model.json", text, "")).config_added == ("hidden_size", "num.layers")
    tuned = "vllm/model_executor/layers/fused_moe/configs/E=8,N=7168,device_name=NVIDIA_H100.json"
    assert facts((tuned, '  "BLOCK_SIZE_M": 1\n', "")) == Facts()
    assert facts(("examples/x.yaml", "hidden_size: 1\n", "")) == Facts()


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("test/srt/test_eagle.py", '            "--speculative-algorithm", "EAGLE",'),
        ("docs/advanced_features/eagle.md", "start it with --speculative-algorithm EAGLE"),
        (".github/workflows/pr-test.yml", "          run: x --speculative-algorithm=EAGLE"),
        ("benchmark/x/README.md", "`--speculative-algorithm`"),
        ("benchmark/x/bench_y.py", 'parser.add_argument("--speculative-algorithm")'),
    ],
)
def test_flags_of_tests_docs_and_jobs_are_used_not_added(path: str, line: str):
    assert facts((path, line, "")) == Facts(flags_used=("--speculative-algorithm",))
    assert facts((path, "", line)) == Facts()


def test_a_rule_of_dashes_is_no_flag():
    assert facts(("docs/a.md", "----------\n| --- | --- |\n--\n a--b x-- y\n--X\n", "")) == Facts()


def test_a_generated_file_does_not_fill_the_card():
    added = "".join(f'parser.add_argument("--flag-{i:03}")\n' for i in range(200))
    assert facts((ARGS, added, "")).flags_added == tuple(f"--flag-{i:03}" for i in range(64))


def test_the_changed_lines_of_a_side_come_without_their_marks():
    hunks = [
        Hunk(1, 2, 1, 2, "", " a\n-b\n+c\n\\ No newline at end of file\n", 1, 1),
        Hunk(9, 0, 9, 1, "", "+d\n", 1, 0),
    ]
    assert (changed_text(hunks, "+"), changed_text(hunks, "-"), changed_text([], "+")) == ("c\nd", "b", "")


PIECES = st.sampled_from(
    ["add_argument(", '"--a-b"', "'--x'", "\n", "    ", "name: int = 1", "SGLANG_", "SGLANG_X", "os.environ[", "getenv(", '"', "(", "#[arg(",
     'long = "a-b"', '"key": 1', "--", "=", ":", "_"]
)  # fmt: skip
TEXT = st.one_of(st.text(), st.lists(st.one_of(PIECES, st.text(max_size=3)), max_size=14).map("".join))
PATHS = st.sampled_from(
    [
        ARGS,
        RUNTIME,
        "a.json",
        "configs/E=1.json",
        "test/test_a.py",
        "a.cu",
        "setup.py",
        "vllm/envs.py",
        "x.rs",
        "",
    ]
)


@given(files=st.lists(st.tuples(st.one_of(PATHS, st.text()), TEXT, TEXT), max_size=4))
def test_any_change_gives_facts(files: list[tuple[str, str, str]]):
    found = facts(*files)
    assert not set(found.flags_added) & set(found.flags_removed)
    assert not set(found.env_added) & set(found.env_removed)
    assert not set(found.config_added) & set(found.config_removed)
    assert all(
        name.startswith("--") for name in (*found.flags_added, *found.flags_removed, *found.flags_used)
    )


@given(files=st.lists(st.tuples(PATHS, TEXT, TEXT), max_size=4))
def test_a_reverted_change_gives_the_opposite(files: list[tuple[str, str, str]]):
    there, back = facts(*files), facts(*((path, removed, added) for path, added, removed in files))
    assert (there.flags_added, there.env_added, there.config_added) == (
        back.flags_removed, back.env_removed, back.config_removed
    )  # fmt: skip


def test_a_file_without_names_costs_nothing():
    assert file_facts("docs/a.md", "docs", "no flag", "") == FileFacts()
    assert merge_facts([]) == Facts()


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            "python3 -m sglang.launch_server \\\n    --model-path X \\\n    --tp 8\n",
            ("python3 -m sglang.launch_server --model-path X --tp 8",),
        ),
        (
            "$ VLLM_USE_V1=1 vllm serve m --max-model-len 8192",
            ("VLLM_USE_V1=1 vllm serve m --max-model-len 8192",),
        ),
        ("Run `pytest tests/samplers/test_x.py`.", ("pytest tests/samplers/test_x.py",)),
        ("import pytest\nimport torch\n", ()),
        ("@pytest.mark.parametrize(x)", ()),
        (
            "trtllm-serve serve m --backend pytorch\ntrtllm-serve serve m --backend pytorch\n",
            ("trtllm-serve serve m --backend pytorch",),
        ),
    ],
)
def test_command_lines_of_docs_and_tests_are_kept(text: str, commands: tuple[str, ...]):
    assert facts(("docs/a.md", text, "")).commands == commands


def test_pull_requests_of_other_engines_that_comments_name_are_found():
    text = "# see https://github.com/vllm-project/vllm/pull/123#issue and github.com/x/y/pull/4\n"
    assert named_pulls(text) == ("vllm-project/vllm#123",)
    assert file_facts("srt/a.py", "runtime", text, "").pulls == ("vllm-project/vllm#123",)
    assert file_facts("docs/a.md", "docs", text, "").pulls == ()
