"""From a row of a trace to cards of the knowledge base: the only place that knows both."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.fuse import FuseRow
from analysis.kernel_table import KernelRow
from kb.filters import Filter
from kb.search import Searcher

REPOSITORIES = {
    "sglang": "sgl-project/sglang",
    "vllm": "vllm-project/vllm",
    "tensorrt-llm": "NVIDIA/TensorRT-LLM",
}
_CARDS = 3
# names that every engine's trace holds and that say nothing about a change
_GENERIC = re.compile(
    r"^(?:at|c10|std|cutlass|cublasLt|kernel|void|device_kernel|native|elementwise_kernel)$|^nvjet|^Cijk"
)


@dataclass(frozen=True)
class CardLine:
    """A card as a report names it."""

    id: str
    title: str
    url: str
    merged_at: str
    status: str


@dataclass(frozen=True)
class Evidence:
    """Cards for one row.

    Attributes:
        ref: the row's reference.
        question: what was asked.
        answered: whether the knowledge base thinks that any of the cards fits; when not, there are none.
        cards: best first.
    """

    ref: str
    question: str
    answered: bool
    cards: tuple[CardLine, ...]


def gather(
    searcher: Searcher, kernels: Sequence[KernelRow], fusions: Sequence[FuseRow], engine: str | None
) -> list[Evidence]:
    """Evidence for rows of a trace: a kernel by its name and source, a fusion by the pull requests of its paths."""
    where = Filter(repos=(REPOSITORIES[engine],)) if engine in REPOSITORIES else Filter()
    found: list[Evidence] = []
    known: dict[str, Evidence] = {}
    for kernel in kernels:
        question = kernel_question(kernel)
        if question not in known:
            known[question] = _ask(searcher, kernel.ref, question, where)
        found.append(Evidence(kernel.ref, question, known[question].answered, known[question].cards))
    for fusion in fusions:
        references = [pr for path in fusion.where for pr in path.prs]
        question = " ".join(references) or fusion.title
        found.append(_ask(searcher, fusion.ref, question, Filter()))
    return found


def kernel_question(row: KernelRow) -> str:
    """What to ask for a kernel: the telling parts of its name, its function and file, family and stage."""
    names = [
        part for part in re.split(r"[:<>,.\s…]+", row.short) if len(part) > 2 and not _GENERIC.search(part)
    ]
    words = list(dict.fromkeys(names[-3:]))
    if row.source:
        place, _, function = row.source.partition(" ")
        path = place.rpartition(":")[0]
        words += [function, path]
    return " ".join([*words, row.family.replace("_", " "), row.stage.value])


def _ask(searcher: Searcher, ref: str, question: str, where: Filter) -> Evidence:
    answer = searcher.search(question, where, _CARDS)
    cards = tuple(
        CardLine(hit.card.id, hit.card.title, hit.card.url, hit.card.merged_at, hit.status)
        for hit in answer.hits
    )
    return Evidence(ref, question, answer.answered, cards if answer.answered else ())
