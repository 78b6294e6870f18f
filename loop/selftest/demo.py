"""A whole campaign on the fake engine: real servers, real load, a history to backport from, a patch of a person.

The target is a release branch that lost time twice: it misses a merged pull request of main, and it carries a change
that writes the cache a second time. A competitor, the engine as shipped with better options, is faster. The campaign has
to find the gap, the rows, the pull request, take the person's repair, try options, and confirm what it kept.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ingest.git import make_repository, open_repository
from loop.campaign.begin import begin
from loop.campaign.folder import Folder
from loop.driver.session import sit, submit
from loop.engines.fake import shipped_tree, write_model
from loop.engines.planted import REGRESSION
from loop.records import (
    Budgets,
    CampaignSpec,
    EngineSpec,
    ModelSpec,
    Policy,
    ProposerSpec,
    Workload,
)

REPOSITORY = "prlore/tinyserve"
_LAYERS = "tinyserve/layers.py"
_TUNING = "tinyserve/tuning.py"
_SLOW_MLP = ('    "mlp": 30.0,\n', '    "mlp": 52.0,\n')
_SPIN = ("--clock", "spin")
_DAY = 86_400
_START = 1_735_689_600
Say = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """What a demonstration is made of.

    Attributes:
        repository: bare; `main` has the pull request that `release` misses.
        patch: the person's repair of `release`.
    """

    repository: Path
    model: Path
    kb: Path
    patch: bytes


def prepare(into: Path, say: Say) -> Prepared:
    """Make history, model, knowledge base and patch below a folder."""
    repository = into / "tinyserve.git"
    make_repository(repository, _history())
    say("history: main with 3 merged pull requests, release with a regression")
    with open_repository(repository) as opened:
        from kb.build import Options, build
        from kb.commands.options import created_by
        from kb.store import Store

        with Store.create(str(into / "kb"), created_by()) as store:
            build(store, opened, Options(REPOSITORY, "main", workers=1), lambda done, total: None)
    say("knowledge base: the pull requests of main")
    return Prepared(repository, write_model(into / "model"), into / "kb", _repair())


def demo_spec(made: Prepared, base: str) -> CampaignSpec:
    """The campaign: small loads and few pairs; CPU-seconds decide, since a shared machine bends wall time."""
    return CampaignSpec(
        name="tinyserve",
        target=EngineSpec("fake", str(made.repository), base, flags=_SPIN),
        competitors=(EngineSpec("fake", flags=(*_SPIN, "--attention-backend", "fused")),),
        model=ModelSpec(str(made.model), "tinyserve"),
        workloads=(Workload("chat", input_len=192, output_len=40, num_prompts=12, concurrency=6),),
        policy=Policy(
            metric="cpu_seconds_per_token",
            alpha=0.10,
            max_candidates=3,
            per_round=3,
            min_gain=0.01,
            max_pairs=16,
            confirm_pairs=5,
            aa_pairs=4,
            pairs_per_restart=1,
            weak_rounds=1,
            max_noise=0.05,
            max_load=50.0,
            max_foreign=50.0,
            too_good=0.5,
            pursue="headroom",
        ),
        budgets=Budgets(rounds=4, candidates=3),
        proposers=(
            ProposerSpec("backport"),
            ProposerSpec("flags", (("sets", "--attention-backend fused"),)),
        ),
        hardware="any machine: kernels are work of known size for one core",
        kb=str(made.kb),
    )


def demo(into: Path, say: Say, listen: Callable[..., None] | None = None) -> Folder:
    """Prepare, freeze, hand in the person's patch, drive to the end.

    Raises:
        PrloreError: as any campaign.
    """
    into.mkdir(parents=True, exist_ok=True)
    made = prepare(into.absolute(), say)
    with open_repository(made.repository) as opened:
        base = opened.resolve("release")
    folder = begin(into / "campaign", demo_spec(made, base))
    submit(folder.path, made.patch, "", "a person")
    say(f"campaign frozen in {folder.path}, with a person's patch in its inbox")
    sit(folder.path, listen)
    return folder


# ---------------------------------------------------------------------------------------------- the history


def _shipped() -> dict[str, str]:
    root = shipped_tree()
    found = sorted(path for path in root.rglob("*") if path.suffix in (".py", ".md"))
    return {path.relative_to(root).as_posix(): path.read_text("utf-8") for path in found}


def _versions() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The first version, main's with a faster MLP, and release's with the regression."""
    first = _shipped()
    slow = dict(first)
    slow[_TUNING] = first[_TUNING].replace(*_SLOW_MLP)
    fast = dict(slow)
    fast[_TUNING] = first[_TUNING]
    fast[_LAYERS] = first[_LAYERS].replace(
        '        """Gate, up, activation and down."""\n',
        '        """Gate, up, activation and down; gate_up_linear_gemm and down_linear_gemm launch from one graph."""\n',
    )
    release = dict(slow)
    release[_LAYERS] = first[_LAYERS].replace(REGRESSION.old, REGRESSION.new)
    return slow, fast, release


def _history() -> bytes:
    slow, fast, release = _versions()
    paged = dict(fast)
    paged["README.md"] = fast["README.md"] + "\nPages of the cache: `--page-size`.\n"
    commits = [
        ("main", None, "Serve with continuous batching, a paged cache and a profiler (#3)", slow),
        ("release", 1, "Write the cache pages twice, to be safe (#5)", release),
        ("main", 1, "Launch gate_up and down projections of the MLP from one graph (#7)", fast),
        ("main", 3, "Say what --page-size does (#8)", paged),
    ]
    out = []
    for number, (branch, parent, subject, files) in enumerate(commits, 1):
        when = _START + number * _DAY
        out.append(f"commit refs/heads/{branch}\nmark :{number}\n".encode())
        out += [
            f"{role} prlore <prlore@localhost> {when} +0000\n".encode() for role in ("author", "committer")
        ]
        out.append(_data(subject))
        if parent:
            out.append(f"from :{parent}\n".encode())
        out.append(b"deleteall\n")
        out += [f"M 100644 inline {path}\n".encode() + _data(text) for path, text in files.items()]
    return b"".join(out)


def _data(text: str) -> bytes:
    raw = text.encode()
    return b"data %d\n%b\n" % (len(raw), raw)


def _repair() -> bytes:
    """The regression taken back, as `git diff` writes it."""
    slow, _, release = _versions()
    lines = difflib.unified_diff(
        release[_LAYERS].splitlines(keepends=True),
        slow[_LAYERS].splitlines(keepends=True),
        f"a/{_LAYERS}",
        f"b/{_LAYERS}",
    )
    return (f"diff --git a/{_LAYERS} b/{_LAYERS}\n" + "".join(lines)).encode()
