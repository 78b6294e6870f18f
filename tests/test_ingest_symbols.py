"""Symbols a change touches, in real histories of one file."""

from __future__ import annotations

import difflib
import hashlib

import pytest
from growth import is_linear
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.diffs import parse_hunks
from ingest.edits import Edit, apply_edits, line_starts
from ingest.logstream import stream_commits
from ingest.outline import Outline, outline_of
from ingest.splice import Version, splice
from ingest.symbols import SymbolTracker


def trace(repo, shas: list[str], fresh: bool = False) -> list[tuple[list[tuple], str]]:
    """What the tracker says about each file of each commit; `fresh` gives every commit a tracker of its own."""
    found = []
    with repo.open() as repository:
        tracker = SymbolTracker(repository)
        for commit in stream_commits(repository, shas):
            assert commit.problem is None
            if fresh:
                tracker.close()
                tracker = SymbolTracker(repository)
            for file in commit.files:
                hunks = parse_hunks(file.patch, file.entry.added, file.entry.removed)
                symbols, source = tracker.symbols(
                    file.entry, file.patch, [(h.new_start, h.section) for h in hunks]
                )
                found.append(([(s.name, s.kind, s.change, s.start, s.end) for s in symbols], source))
        tracker.close()
    return found


def change(repo, path: str, before: str | bytes | None, after: str | bytes | None) -> tuple[list[tuple], str]:
    """The symbols of one change of one file."""
    texts = [text.encode() if isinstance(text, str) else text for text in (before, after)]
    repo.commit("before", {path: texts[0], "other": b"1\n"} if texts[0] is not None else {"other": b"1\n"})
    ((symbols, source),) = trace(repo, [repo.commit("after", {path: texts[1]})])
    return symbols, source


PYTHON = """\
import triton


@triton.jit
def scale_kernel(x_ptr, BLOCK: tl.constexpr):
    tl.store(x_ptr, 1)


class Scheduler(Base):
    \"\"\"Runs requests.\"\"\"

    limit = 8

    def step(self):
        def inner(x):
            return x
        return inner(self.limit)

    @property
    def busy(self):
        return True

    async def drain(self):
        await self.step()

    class Policy:
        def order(self, queue):
            return queue


def main():
    Scheduler().step()
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return x\n", "return -x\n", [("Scheduler.step.inner", "function", "changed", 15, 16)]),
        ("return inner(self.limit)", "return 0", [("Scheduler.step", "method", "changed", 14, 17)]),
        ("limit = 8", "limit = 9", [("Scheduler", "class", "changed", 9, 28)]),
        ("return True", "return False", [("Scheduler.busy", "method", "changed", 19, 21)]),
        ("    @property\n", "    @cached_property\n", [("Scheduler.busy", "method", "changed", 19, 21)]),
        ("await self.step()", "pass", [("Scheduler.drain", "method", "changed", 23, 24)]),
        ("async def drain", "def drain", [("Scheduler.drain", "method", "changed", 23, 24)]),
        ("return queue", "return []", [("Scheduler.Policy.order", "method", "changed", 27, 28)]),
        ("tl.store(x_ptr, 1)", "tl.store(x_ptr, 2)", [("scale_kernel", "kernel", "changed", 4, 6)]),
        ("class Scheduler(Base)", "class Scheduler(Other)", [("Scheduler", "class", "changed", 9, 28)]),
        ("import triton\n", "import triton\nimport torch\n", []),
        ("def main():\n", "def main(argv):\n", [("main", "function", "changed", 31, 32)]),
        ("def main():\n", "def run():\n",
         [("main", "function", "removed", 31, 32), ("run", "function", "introduced", 31, 32)]),
        ("class Scheduler(Base)", "class Runner(Base)",
         [("Runner", "class", "introduced", 9, 28), ("Scheduler", "class", "removed", 9, 28)]),
        ("    async def drain(self):\n        await self.step()\n\n", "",
         [("Scheduler.drain", "method", "removed", 23, 24)]),
        ("    async def drain(self):\n", "    def flush(self):\n        return 1\n\n    async def drain(self):\n",
         [("Scheduler.flush", "method", "introduced", 23, 24)]),
        ("\n\ndef main", "\n\n@decorated\ndef main", [("main", "function", "changed", 31, 33)]),
        ("@triton.jit\n", "@triton.autotune(configs=[],\n    key=[])\n@triton.jit\n", [("scale_kernel", "kernel", "changed", 4, 8)]),
    ],
)  # fmt: skip
def test_a_python_change_names_what_it_touches(repo, old, new, expected):
    assert PYTHON.count(old) == 1
    assert change(repo, "a.py", PYTHON, PYTHON.replace(old, new)) == (expected, "tree-sitter")


def test_a_new_python_file_introduces_everything_in_it(repo):
    assert change(repo, "a.py", None, PYTHON) == (
        [
            ("scale_kernel", "kernel", "introduced", 4, 6),
            ("Scheduler", "class", "introduced", 9, 28),
            ("Scheduler.step", "method", "introduced", 14, 17),
            ("Scheduler.step.inner", "function", "introduced", 15, 16),
            ("Scheduler.busy", "method", "introduced", 19, 21),
            ("Scheduler.drain", "method", "introduced", 23, 24),
            ("Scheduler.Policy", "class", "introduced", 26, 28),
            ("Scheduler.Policy.order", "method", "introduced", 27, 28),
            ("main", "function", "introduced", 31, 32),
        ],
        "tree-sitter",
    )


def test_a_deleted_python_file_removes_everything_in_it(repo):
    symbols, source = change(repo, "a.py", PYTHON, None)
    assert source == "tree-sitter"
    assert {s[2] for s in symbols} == {"removed"}
    assert len(symbols) == 9


def test_a_moved_function_is_changed_not_removed(repo):
    one, two = (
        "def one():\n    return 1\n\n\n",
        "def two():\n    a = 1\n    b = 2\n    c = 3\n    return a\n\n\n",
    )
    assert change(repo, "a.py", one + two, two + one) == (
        [("one", "function", "changed", 8, 9)],
        "tree-sitter",
    )


def test_a_method_that_becomes_a_function_is_removed_and_introduced(repo):
    before = "class A:\n    x = 1\n\n    def f(self):\n        return 1\n"
    after = "class A:\n    x = 1\n\n\ndef f(self):\n    return 1\n"
    assert change(repo, "a.py", before, after) == (
        [("A.f", "method", "removed", 4, 5), ("f", "function", "introduced", 5, 6)],
        "tree-sitter",
    )


def test_a_renamed_file_is_followed(repo):
    repo.commit("before", {"a.py": PYTHON.encode()})
    sha = repo.commit("after", {"a.py": None, "b/c.py": PYTHON.replace("limit = 8", "limit = 9").encode()})
    assert trace(repo, [sha]) == [([("Scheduler", "class", "changed", 9, 28)], "tree-sitter")]


def test_overloads_share_one_name(repo):
    stub = "@overload\ndef f(x: {0}) -> {0}: ...\n\n\n"
    code = stub.format("int") + stub.format("str") + "def f(x):\n    return x\n"
    assert change(repo, "a.py", code, code.replace("return x", "return -x")) == (
        [("f", "function", "changed", 9, 10)],
        "tree-sitter",
    )


CUDA = """\
#include <cuda.h>

namespace sglang {
namespace {

template <typename T, int BLOCK>
__global__ void __launch_bounds__(256) scale_kernel(T* __restrict__ x, int n) {
  int i = blockIdx.x * BLOCK + threadIdx.x;
  if (i < n) x[i] *= 2;
}

__device__ __forceinline__ float square(float x) {
  return x * x;
}

}  // namespace

struct Params {
  int rows;
  __host__ __device__ int size() const { return rows; }
};

void scale(torch::Tensor& x) {
  const dim3 grid(1), block(256);
  scale_kernel<float, 256><<<grid, block, 0, stream>>>(x.data_ptr<float>(), 1);
}

}  // namespace sglang

extern "C" __global__ void copy_kernel(float* dst) { dst[0] = 1; }
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x[i] *= 2", "x[i] *= 3", [("scale_kernel", "kernel", "changed", 6, 10)]),
        ("int BLOCK>", "int BLOCK, bool FAST>", [("scale_kernel", "kernel", "changed", 6, 10)]),
        ("return x * x", "return x", [("square", "function", "changed", 12, 14)]),
        ("  int rows;", "  int rows, cols;", [("Params", "struct", "changed", 18, 21)]),
        ("return rows;", "return 1;", [("Params.size", "method", "changed", 20, 20)]),
        ("<<<grid, block, 0, stream>>>", "<<<grid, block>>>", [("scale", "function", "changed", 23, 26)]),
        ("dst[0] = 1", "dst[0] = 2", [("copy_kernel", "kernel", "changed", 30, 30)]),
        ("}  // namespace sglang", "__global__ void extra() {\n}\n\n}  // namespace sglang",
         [("extra", "kernel", "introduced", 28, 29)]),
    ],
)  # fmt: skip
def test_a_cuda_change_names_what_it_touches(repo, old, new, expected):
    assert CUDA.count(old) == 1
    assert change(repo, "csrc/a.cu", CUDA, CUDA.replace(old, new)) == (expected, "tree-sitter")


CPP = """\
#include <vector>
namespace tensorrt_llm::batch_manager {

class KVCacheManager : public Base {
 public:
  explicit KVCacheManager(int blocks) : mBlocks(blocks) {}
  ~KVCacheManager();
  int free() const {
    return mBlocks;
  }
  bool operator==(KVCacheManager const& other) const { return true; }

 private:
  int mBlocks;
};

KVCacheManager::~KVCacheManager() {
  release();
}

template <typename T>
std::vector<T> const& KVCacheManager::blocksOf(T const* begin) {
  return *begin;
}

enum class Mode { kA, kB };

int* lookup(int x) { return nullptr; }
int lookup(float x) {
  return 1;
}

}  // namespace
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("return mBlocks;", "return 1;", [("KVCacheManager.free", "method", "changed", 8, 10)]),
        ("mBlocks(blocks) {}", "mBlocks(1) {}", [("KVCacheManager.KVCacheManager", "method", "changed", 6, 6)]),
        ("{ return true; }", "{ return false; }", [("KVCacheManager.operator==", "method", "changed", 11, 11)]),
        ("  int mBlocks;", "  int mBlocks = 0;", [("KVCacheManager", "class", "changed", 4, 15)]),
        ("  release();", "  free();", [("KVCacheManager::~KVCacheManager", "function", "changed", 17, 19)]),
        ("return *begin;", "return *end;", [("KVCacheManager::blocksOf", "function", "changed", 21, 24)]),
        ("kA, kB", "kA, kB, kC", [("Mode", "enum", "changed", 26, 26)]),
        ("return nullptr", "return 0", [("lookup", "function", "changed", 28, 28)]),
        ("  return 1;\n}\n", "  return 2;\n}\n", [("lookup", "function", "changed", 29, 31)]),
        ("#include <vector>\n", "#include <vector>\n#include <map>\n", []),
    ],
)  # fmt: skip
def test_a_cpp_change_names_what_it_touches(repo, old, new, expected):
    assert CPP.count(old) == 1
    assert change(repo, "cpp/a.cpp", CPP, CPP.replace(old, new)) == (expected, "tree-sitter")


RUST = """\
use std::fmt;

pub struct Router {
    workers: Vec<String>,
}

pub trait Policy: Send {
    fn pick(&self, n: usize) -> usize {
        n
    }
}

impl Policy for Router {
    fn pick(&self, n: usize) -> usize {
        n - 1
    }
}

impl<T> Queue<T> {
    pub async fn pop(&mut self) -> Option<T> {
        None
    }
}

mod tests {
    #[test]
    fn works() {
        assert!(true);
    }
}

fn main() {
    println!("hi");
}
"""


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("Vec<String>", "Vec<Worker>", [("Router", "struct", "changed", 3, 5)]),
        ("        n\n", "        n + 1\n", [("Policy.pick", "method", "changed", 8, 10)]),
        ("n - 1", "n - 2", [("Router.pick", "method", "changed", 14, 16)]),
        ("        None\n", "        Some(1)\n", [("Queue<T>.pop", "method", "changed", 20, 22)]),
        ("assert!(true)", "assert!(false)", [("tests.works", "function", "changed", 27, 29)]),
        ('println!("hi")', 'println!("ho")', [("main", "function", "changed", 32, 34)]),
        ("fn main() {", "fn start() {", [("main", "function", "removed", 32, 34), ("start", "function", "introduced", 32, 34)]),
    ],
)  # fmt: skip
def test_a_rust_change_names_what_it_touches(repo, old, new, expected):
    assert RUST.count(old) == 1
    assert change(repo, "src/main.rs", RUST, RUST.replace(old, new)) == (expected, "tree-sitter")


PADDED = "".join(
    f"def f{i}(x):\n    y = {i}\n    a = 1\n    b = 2\n    c = 3\n    z = y + x\n    return z{i}\n\n\n"
    for i in range(6)
)


def test_a_syntax_error_in_the_changed_lines_leaves_the_names_to_the_hunk_headers(repo):
    after = PADDED.replace("    return z3\n", "    return ((z3\n    if x\n")
    assert change(repo, "a.py", PADDED, after) == ([("f3", "function", "changed", 31, 31)], "hunk-header")


def test_a_syntax_error_elsewhere_does_not(repo):
    broken = PADDED.replace("y = 5", "y = = 5 5")
    after = broken.replace("y = 1", "y = 100")
    assert change(repo, "a.py", broken, after) == ([("f1", "function", "changed", 10, 16)], "tree-sitter")


@pytest.mark.parametrize(
    ("path", "content"), [("a.md", "# f\n"), ("a.txt", "x\n"), ("Makefile", "all:\n"), ("a.json", "{}\n")]
)
def test_a_file_without_a_grammar_has_no_symbols(repo, path, content):
    assert change(repo, path, content, content + "y\n") == ([], "none")


def test_a_link_named_like_source_has_no_symbols(repo):
    repo.commit("before", {"b.py": b"def f():\n    pass\n"})
    (repo.path / "a.py").symlink_to("b.py")
    assert trace(repo, [repo.commit("after", {"c.txt": b"1\n"})]) == [([], "none"), ([], "none")]


def test_a_file_that_becomes_a_link_and_comes_back_is_read(repo):
    code = b"def f():\n    pass\n"
    repo.commit("before", {"a.py": code, "b.py": b"def g():\n    pass\n"})
    (repo.path / "a.py").unlink()
    (repo.path / "a.py").symlink_to("b.py")
    linked = repo.commit("link", {"c.txt": b"1\n"})
    back = repo.commit("back", {"a.py": code})
    assert [t for t in trace(repo, [linked, back]) if t != ([], "none")] == [
        ([("f", "function", "introduced", 1, 2)], "tree-sitter")
    ]


BIG = b"def first():\n    return 1\n\n\n" + b"x = 1  # padding of one line of many\n" * 60_000


def test_a_file_of_more_than_two_megabytes_is_not_parsed(repo):
    assert len(BIG) > 2 << 20
    body = b"".join(b"    y = %d\n" % i for i in range(20))
    first = repo.commit("add", {"a.py": BIG})
    second = repo.commit("grow", {"a.py": BIG + b"def last():\n" + body})
    third = repo.commit("edit", {"a.py": BIG + b"def last():\n" + body + b"    return 1\n"})
    assert trace(repo, [first, second, third]) == [
        ([], "hunk-header"),
        ([("first", "function", "changed", 60002, 60002)], "hunk-header"),
        ([("last", "function", "changed", 60023, 60023)], "hunk-header"),
    ]


def test_a_long_run_of_comments_costs_what_its_length_says(repo):
    shas = {
        lines: repo.commit("add", {"a.py": b"def f():\n    return 1\n" + b"# a comment\n" * lines})
        for lines in (1_000, 8_000)
    }
    assert is_linear(lambda lines: trace(repo, [shas[lines]]), 1_000)


def test_a_file_that_shrinks_below_two_megabytes_is_parsed_from_then_on(repo):
    repo.commit("add", {"a.py": BIG})
    shas = [repo.commit("shrink", {"a.py": b"def f():\n    return 1\n"})]
    shas.append(repo.commit("edit", {"a.py": b"def f():\n    return 2\n"}))
    assert trace(repo, shas)[1] == ([("f", "function", "changed", 1, 2)], "tree-sitter")


@pytest.mark.parametrize(
    ("old_path", "new_path", "code", "expected"),
    [
        ("a.cpp", "a.cu", CPP.replace("lookup", "find_it"), [("find_it", "function", "changed", 29, 31)]),
        ("a.cuh", "a.h", CPP, [("lookup", "function", "changed", 29, 31)]),
    ],
)
def test_a_file_renamed_into_another_language_is_parsed_anew(repo, old_path, new_path, code, expected):
    first = repo.commit("add", {old_path: code.encode()})
    after = code.replace("  return 1;\n}\n", "  return 2;\n}\n")
    second = repo.commit("rename", {old_path: None, new_path: after.encode()})
    assert trace(repo, [first, second]) == trace(repo, [first, second], fresh=True)
    assert trace(repo, [first, second])[1] == (expected, "tree-sitter")


@pytest.mark.parametrize("line", [b"\\\n", b"\\\r\n", b"  # a comment\n", b"#\n\n\\\n"])
def test_a_file_that_would_take_the_parser_seconds_is_not_parsed(repo, line):
    repo.commit("add", {"a.py": b"def f():\n    x = 1\n" + line * 20_000 + b"    return 1\n"})
    sha = repo.commit("change", {"a.py": b"def f():\n    x = 2\n" + line * 20_000 + b"    return 1\n"})
    assert trace(repo, [sha])[0][1] == "hunk-header"


def test_an_overload_that_goes_leaves_its_function(repo):
    stub = "@overload\ndef f(x: int) -> int: ...\n\n\n"
    function = "def f(x):\n    return x\n"
    between = "".join(f"A_{i} = {i}\n" for i in range(9))
    symbols, source = change(repo, "a.py", stub + between + function, between + function)
    assert (symbols, source) == ([("f", "function", "changed", 10, 11)], "tree-sitter")


def test_files_of_two_languages_with_the_same_content_do_not_share_a_tree(repo):
    code = b"int f(int x) {\n  return x;\n}\n"
    texts = [{"a.h": code, "b.cuh": code}, {"b.cuh": code.replace(b"return x", b"return -x")}]
    texts += [{"a.h": code.replace(b"return x", b"return 0")}]
    shas = [repo.commit("c", files) for files in texts]
    assert trace(repo, shas) == trace(repo, shas, fresh=True)


def test_an_emptied_file_does_not_lend_its_tree_to_another_language(repo):
    shas = [
        repo.commit("add", {"a.py": b"def f():\n    pass\n", "b.rs": b"", "c.cu": b""}),
        repo.commit("empty", {"a.py": b""}),
        repo.commit("fill", {"b.rs": b"fn g() {\n    1;\n}\n"}),
        repo.commit("fill", {"c.cu": b"__global__ void k() {\n}\n"}),
    ]
    assert trace(repo, shas) == trace(repo, shas, fresh=True)
    assert trace(repo, shas)[-2:] == [
        ([("g", "function", "introduced", 1, 3)], "tree-sitter"),
        ([("k", "kernel", "introduced", 1, 2)], "tree-sitter"),
    ]


def test_an_unreadable_old_version_leaves_the_names_to_the_hunk_headers(repo):
    repo.commit("before", {"a.py": PADDED.encode()})
    sha = repo.commit("after", {"a.py": PADDED.replace("y = 3", "y = 33").encode()})
    with repo.open() as repository:
        (commit,) = stream_commits(repository, [sha])
        file = commit.files[0]
        repo.object_file(file.entry.old_blob).unlink()
        tracker = SymbolTracker(repository)
        symbols, source = tracker.symbols(file.entry, file.patch, [(51, "def f3(x):")])
        tracker.close()
    assert ([(s.name, s.kind, s.change) for s in symbols], source) == (
        [("f3", "function", "changed")],
        "hunk-header",
    )


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("def step(self, batch):", ("step", "function")),
        ("async def step(self, batch):", ("step", "function")),
        ("class Scheduler(Base):", ("Scheduler", "class")),
        ("__global__ void scale_kernel(float* x, int n)", ("scale_kernel", "function")),
        ("struct Params {", ("Params", "struct")),
        ("void KVCacheManager::free(int x)", ("KVCacheManager::free", "function")),
        ("pub async fn pop(&mut self) -> Option<T> {", ("pop", "function")),
        ("impl Policy for Router {", ("Router", "impl")),
        ("int* lookup(int x)", ("lookup", "function")),
        ("template <typename T>", None),
        ("", None),
        ("}", None),
    ],
)
def test_a_hunk_header_names_the_enclosing_definition(repo, section, expected):
    repo.commit("before", {"a.py": BIG})
    sha = repo.commit("after", {"a.py": BIG + b"y = 1\n"})
    with repo.open() as repository:
        (commit,) = stream_commits(repository, [sha])
        tracker = SymbolTracker(repository)
        symbols, source = tracker.symbols(commit.files[0].entry, commit.files[0].patch, [(5, section)])
        tracker.close()
    assert source == "hunk-header"
    assert [(s.name, s.kind) for s in symbols] == ([expected] if expected else [])


def test_a_corrupt_object_does_not_spoil_the_next_file(repo):
    repo.commit("before", {"a.py": b"def f():\n    return 1\n", "b.py": b"def g():\n    return 1\n"})
    sha = repo.commit("after", {"a.py": b"def f():\n    return 2\n", "b.py": b"def g():\n    return 2\n"})
    with repo.open() as repository:
        (commit,) = stream_commits(repository, [sha])
        a, b = commit.files
        file = repo.object_file(a.entry.old_blob)
        file.chmod(0o644)
        file.write_bytes(b"garbage")
        sources = []
        for _ in range(15):
            tracker = SymbolTracker(repository)
            sources.append([tracker.symbols(f.entry, f.patch, [])[1] for f in (a, b)])
            tracker.close()
    assert sources == [["hunk-header", "tree-sitter"]] * 15


# Blocks that are put together, taken out and moved about: most states parse, some do not.
BLOCKS = {
    "a.py": [
        "import os\n", "x = 1\n", "\n", "\n\n", "# comment é 修复\n", "def f(a, b):\n    return a\n", "    z = 3\n", ")\n",
        "def g():\n    def h():\n        pass\n", "class A:\n    y = 2\n", "@triton.jit\ndef k(x):\n    pass\n", "\tw = 1\n",
        "class B(A):\n    def m(self):\n        return 1\n\n    @property\n    def p(self):\n        return 2\n",
        "async def s():\n    await t()\n", "    def n(self):\n        pass\n", "        q = '''\n", "'''doc\ntext\n'''\n",
        "if x:\n    def c(): pass\nelse:\n    def c(): return\n", "def broken(:\n", "try:\n    pass\nexcept E:\n    pass\n",
        "@overload\ndef o(x: int): ...\n", "def o(x): return x\r\n",
    ],
    "a.cu": [
        "#include <a.h>\n", "#ifdef X\n", "#else\n", "#endif\n", "namespace n {\n", "}\n", "\n", "// 修复\n", "/*\n", "*/\n", "int x = 1;\n",
        "template <typename T>\n__global__ void k(T* x) {\n  x[0] = 1;\n}\n", "struct S {\n  int f() { return 1; }\n};\n",
        "void launch() {\n  k<<<1, 2>>>(x);\n}\n", "class C : B {\n public:\n", "int broken(\n", "int S::g() const { return 2; }\r\n",
    ],
    "a.rs": [
        "use a;\n", "fn f(x: u8) -> u8 {\n    x\n}\n", "impl A for B {\n", "}\n", "\n", "// 修复\n", "struct S {\n    a: u8,\n}\n",
        "trait T {\n    fn m(&self) {}\n}\n", "mod m {\n", "fn broken( {\n", "macro_rules! z {\n    () => {};\n}\n", "/*\n", "*/\n",
    ],
}  # fmt: skip


@st.composite
def histories(draw) -> tuple[str, list[bytes]]:
    """A path and the versions of its file: at each step some lines go and some blocks come."""
    path = draw(st.sampled_from(sorted(BLOCKS)))
    blocks = st.lists(st.sampled_from(BLOCKS[path]), max_size=3).map("".join)
    lines = "".join(draw(st.lists(blocks, min_size=3, max_size=6))).split("\n")[:-1]
    end = draw(st.sampled_from(["\n", "\n", ""]))
    versions = ["\n".join(lines) + end]
    for _ in range(draw(st.integers(2, 6))):
        at, gone = draw(st.integers(0, len(lines))), draw(st.integers(0, 5))
        lines[at : at + gone] = draw(blocks).split("\n")[:-1]
        versions.append("\n".join(lines) + (end if lines else ""))
    return path, [version.encode() for version in versions]


@settings(max_examples=30)
@given(history=histories())
def test_a_file_followed_step_by_step_gives_what_a_full_parse_gives(scratch, history):
    path, versions = history
    shas = []
    for text in versions:
        scratch.write({path: text})
        shas.append(scratch.commit("version"))
    assert trace(scratch, shas) == trace(scratch, shas, fresh=True)


def test_a_kept_version_is_proved_by_its_name(repo):
    """The same path on two branches: the tracker's last version is not the parent of the next change."""
    base = b"def f():\n    return 1\n\n\ndef g():\n    return 1\n"
    repo.commit("base", {"a.py": base})
    repo.git("checkout", "--quiet", "-b", "side")
    side = repo.commit(
        "side", {"a.py": b"# side\n" * 9 + base.replace(b"def g():\n    return 1", b"def g():\n    return 2")}
    )
    repo.git("checkout", "--quiet", "main")
    main = repo.commit("main", {"a.py": base.replace(b"def f():\n    return 1", b"def f():\n    return 2")})
    assert trace(repo, [side, main]) == [
        ([("g", "function", "changed", 14, 15)], "tree-sitter"),
        ([("f", "function", "changed", 1, 2)], "tree-sitter"),
    ]


def test_the_name_of_a_blob_is_gits():
    from ingest.symbols import _blob_name

    assert _blob_name(b"", 40) == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert _blob_name(b"x", 64) == hashlib.sha256(b"blob 1\0x").hexdigest()


def piecewise(before: str, after: str, outline: Outline | None = None) -> Outline | None:
    """The outline of the version after by splicing, from that of the version before."""
    lines = [text.encode().splitlines(keepends=True) for text in (before, after)]
    matcher = difflib.SequenceMatcher(None, *lines, autojunk=False)
    edits = [
        Edit(i, j, tuple(lines[0][i:k]), tuple(lines[1][j:m]))
        for tag, i, k, j, m in matcher.get_opcodes()
        if tag != "equal"
    ]
    old, new = before.encode(), after.encode()
    assert apply_edits(old, line_starts(old), edits) == new
    version = Version(old, line_starts(old), outline or outline_of("python", old))
    return splice(version, edits, new, line_starts(new))


def is_true(outline: Outline, source: str) -> bool:
    """Whether an outline says of a source what a full parse says, and all its statements are there."""
    whole = outline_of("python", source.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ingest.outline._WORTH_SPLITTING", 0)
        every = outline_of("python", source.encode())
    statements = [set(zip(o.rows.tolist(), o.scopes.tolist(), strict=True)) for o in (outline, every)]
    return (
        (outline.names, outline.kinds, outline.spans.tolist())
        == (whole.names, whole.kinds, whole.spans.tolist())
        and statements[0] <= statements[1]
        and {s for s in statements[0] if s[1] < 0} == {s for s in statements[1] if s[1] < 0}
        and not len(whole.errors)
    )


LONG = PYTHON.replace("limit = 8", "limit = 8\n" + "".join(f"    field_{i} = {i}\n" for i in range(40)))
LONG += "\n\n" + "".join(f"def helper_{i}(x):\n    y = x + {i}\n    return y\n\n\n" for i in range(30))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("return inner(self.limit)", "return inner(self.limit + 1)", id="body of a method"),
        pytest.param("    @property\n    def busy", "    def idle(self):\n        return 0\n\n    @property\n    def busy", id="new method"),
        pytest.param("    field_7 = 7\n", "    field_7 = [\n        7,\n    ]\n", id="statement of a class"),
        pytest.param("            return queue\n", "            return queue\n\n    def last(self):\n        pass\n\n\nTOP = 1\n",
                     id="end of a class and what follows"),
        pytest.param("def helper_9(x):\n    y = x + 9\n    return y\n\n\n", "", id="function gone"),
        pytest.param("import triton\n", "import triton\nimport torch\n", id="first line"),
        pytest.param("    return y\n\n\ndef helper_8", "    return y\n    # why\n\n\n# what\ndef helper_8", id="comments"),
        pytest.param("def helper_12(x):", "@cache\ndef helper_12(x):", id="decorator"),
        pytest.param("    field_3 = 3\n", "    def early(self): pass\n    field_3 = 3; field_3b = (\n        4)\n", id="one line"),
    ],
)  # fmt: skip
def test_the_outline_of_a_change_is_that_of_the_whole_file(old, new):
    assert old in LONG
    spliced = piecewise(LONG, LONG.replace(old, new, 1))
    assert spliced is not None
    assert is_true(spliced, LONG.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("def helper_9(x):\n    y = x + 9\n    return y\n", "def helper_9(x):\n    y = '''\n", id="open string"),
        pytest.param("    y = x + 9\n    return y\n", "    y = (\n", id="open bracket"),
        pytest.param("    return y\n\n\ndef helper_10", "    y = \\\n\n\ndef helper_10", id="continued line"),
        pytest.param("def helper_9(x):\n", "\n", id="body without a header"),
        pytest.param("    field_7 = 7\n", "field_7 = 7\n", id="a class that ends early"),
        pytest.param("    return y\n\n\ndef helper_10", "    return y\n\n\n@cache\n# c\n\n\ndef helper_10", id="decorator far above"),
    ],
)  # fmt: skip
def test_a_piece_that_does_not_stand_on_its_own_is_not_spliced_wrongly(old, new):
    assert old in LONG
    spliced = piecewise(LONG, LONG.replace(old, new, 1))
    assert spliced is None or is_true(spliced, LONG.replace(old, new, 1))


@settings(max_examples=60)
@given(data=st.data())
def test_splices_add_up_to_a_full_parse(data):
    """Blocks come and go below headers of long definitions, step by step on the spliced outline."""
    blocks = [
        *BLOCKS["a.py"],
        "    def q(self):\n        x = 1\n        return x\n",
        "        v = (\n            1)\n",
    ]
    lines = LONG.splitlines(keepends=True)
    outline = None
    for _ in range(3):
        after = list(lines)
        for _ in range(data.draw(st.integers(1, 3))):
            at, gone = data.draw(st.integers(0, len(after))), data.draw(st.integers(0, 4))
            put = "".join(data.draw(st.lists(st.sampled_from(blocks), max_size=2)))
            after[at : at + gone] = put.splitlines(keepends=True)
        spliced = piecewise("".join(lines), "".join(after), outline)
        if spliced is not None:
            assert is_true(spliced, "".join(after))
            lines, outline = after, spliced
