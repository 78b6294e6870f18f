"""Rank a store's cards by every baseline and by ours, on judged questions, and take ours apart: one command.

    python tests/bench/retrieval_baselines.py --kb /tmp/kb --queries dev.jsonl --tables tables.md --plot ranking.svg

Prints (and writes with `--tables`) three Markdown tables: scores as recall@10 / MRR@10 / nDCG@10, the figures that matter
with bootstrap intervals of 95% and what ours has more on the same questions, and what is lost when a part of ours is taken
out, its other weights left as they are. `--base MODEL` adds the untuned encoder that ours started from (a sentence-transformers
model or folder; it embeds every card, half an hour on two cores). Intervals are over questions, stratified by class.
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ingest.errors import PrloreError
from kb.ablation import GROUPS
from kb.bootstrap import Difference, Differences, Interval, Intervals, compare, intervals
from kb.card_index import CardIndex
from kb.encoders.load import load_encoder
from kb.evaluate import ClassScore, Evaluation, JudgedQuery, evaluate, read_queries
from kb.families import Families, load_families
from kb.filters import Filter
from kb.model_vectors import model_text
from kb.postings import build_postings, read_postings
from kb.rankings import OURS, Cosines, Listing, Ranker, RankingError, Rankings, plain_words
from kb.reports.evaluation import cell, difference_cell
from kb.store import Store
from kb.tables import CARD_FIELDS

CODE_AWARE = ("title_words", "path_words", "introduced_words", "changed_words")
FILTERED = "family, filtered"  # questions of class family with their family filter applied
CLASSES = ("known", "family", FILTERED, "bottleneck", "zh")
TELLING = (
    ("known", "recall10", "recall@10"), ("known", "mrr10", "mrr@10"), ("bottleneck", "ndcg10", "ndcg@10"),
    (FILTERED, "recall10", "recall@10"), ("zh", "recall10", "recall@10"), ("macro", "ndcg10", "ndcg@10"),
)  # fmt: skip
NAMED = {
    "fts": "LanceDB FTS, best field",
    "bm25": "BM25 of all fields summed",
    "static": "static vectors",
    "tuned": "tuned vectors",
    "rrf": "RRF of fields and vectors",
    "no-rerank": "ours without the reranker",
    "light": "ours without tuned vectors, weights learned so",
    OURS: "**ours**",
}


class OneField:
    """BM25 over one text a card, by any rule for words."""

    def __init__(
        self, name: str, index: CardIndex, texts: dict[str, str], asked: Callable[[str], Sequence[str]]
    ) -> None:
        self.name, self._index, self._asked = name, index, asked
        ids, blank = list(texts), pa.chunked_array([[""] * len(texts)])
        written = pa.chunked_array([list(texts.values())])
        held = read_postings(build_postings(ids, lambda field: written if field == CARD_FIELDS[0] else blank))
        self._words = held.fields[CARD_FIELDS[0]]
        self._place = np.array([index.place[i] for i in held.ids], np.int64)

    def warm(self) -> None:
        """Nothing to load."""

    def rank(self, text: str, where: Filter, limit: int) -> Listing:
        """Cards with any of the words."""
        scores = np.zeros(len(self._index), np.float32)
        scores[self._place] = self._words.scores(dict.fromkeys(self._asked(text), 1.0))
        scope = self._index.scope(where)
        order = np.argsort(-scores[scope], kind="stable")[:limit]
        best = scope[order[scores[scope][order] > 0]]
        return Listing(
            tuple(self._index.ids[i] for i in best.tolist()), float(scores[best[0]]) if len(best) else 0.0
        )


def lower_words(text: str) -> list[str]:
    """Runs of letters and digits and underscores in lower case: an identifier is one word."""
    return re.findall(r"\w+", text.lower())


@dataclass(frozen=True)
class Result:
    """A ranking's scores, those of filtered family questions among the classes, and their intervals."""

    name: str
    found: Evaluation
    filtered: Evaluation | None
    spread: Intervals

    def score(self, group: str) -> ClassScore | None:
        if group == FILTERED:
            return self.filtered.classes["family"] if self.filtered else None
        return self.found.macro if group == "macro" else self.found.classes.get(group)


class Bench:
    """Asks every ranking the same questions."""

    def __init__(self, store: Store, queries: list[JudgedQuery], families: Families) -> None:
        self.store, self.families, self.queries = store, families, queries
        self.rankings = Rankings(store, families)

    def result(self, name: str, ranker: Ranker) -> Result:
        began = time.perf_counter()
        found = evaluate(ranker, self.queries, self.families)
        spread = intervals(found)
        of_family = [q for q in self.queries if q.cls == "family"]
        filtered = None
        if of_family:
            filtered = evaluate(ranker, of_family, self.families, use_family=True)
            spread[FILTERED] = intervals(filtered)["family"]
        print(f"{name}: {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
        return Result(name, found, filtered, spread)

    def baselines(self, base: str | None) -> Iterator[tuple[str, Ranker]]:
        index = self.rankings.index
        rows = self.store.scan("cards", ["id", "title", "path_text", "symbol_text"]).to_pylist()
        rows = [r for r in rows if r["id"] in index.place]
        whole = {
            r["id"]: " ".join(lower_words(f"{r['title']} {r['path_text']} {r['symbol_text']}")) for r in rows
        }
        name = "BM25 title+files+symbols, plain words"
        yield name, OneField(name, index, whole, lower_words)
        for name, fields in (
            ("the same, code-aware words", CODE_AWARE),
            ("the same with the diff concatenated", (*CODE_AWARE, "diff_words")),
        ):
            texts = self._joined(fields)
            yield name, OneField(name, index, texts, lambda text: plain_words(text, self.families))
        for name in ("fts", "bm25"):
            yield NAMED[name], self.rankings.make(name)
        if base:
            yield f"{Path(base).name}, not tuned", self._untuned(base)
        for name in ("static", "tuned", "rrf"):
            try:
                yield NAMED[name], self.rankings.make(name)
            except RankingError as exc:
                print(exc, file=sys.stderr)

    def _joined(self, fields: Sequence[str]) -> dict[str, str]:
        rows = self.store.scan("cards", ["id", *fields]).to_pylist()
        return {r["id"]: " ".join(r[f] for f in fields) for r in rows if r["id"] in self.rankings.index.place}

    def _untuned(self, base: str) -> Ranker:
        encoder = load_encoder(base)
        assert encoder is not None
        rows = self.store.scan("cards", ["id", "title", "path_text", "symbol_text", "diff_words"]).to_pylist()
        texts = [model_text(r["title"], r["path_text"], r["symbol_text"], r["diff_words"]) for r in rows]
        vectors = encoder.encode(texts)
        index = self.rankings.index
        return Cosines("base", index, index.vector_set(encoder, [r["id"] for r in rows], vectors))

    def differences(self, first: Result, second: Result) -> Differences:
        found = compare(first.found, second.found)
        if first.filtered and second.filtered:
            found[FILTERED] = compare(first.filtered, second.filtered)["family"]
        return found


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(header) + " |", "|---" * len(header) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def scores_table(results: Sequence[Result]) -> str:
    """recall@10 / MRR@10 / nDCG@10 of each class."""
    sizes = {c: s.n for c in CLASSES if (s := results[0].score(c))}
    header = [
        "ranking",
        *(f"{c} ({n})" for c, n in sizes.items()),
        "macro nDCG@10",
        "AUROC",
        "answered",
        "p50 / p95 ms",
    ]
    rows = []
    for r in results:
        cells = [
            f"{_two(s.recall10)} / {_two(s.mrr10)} / {_two(s.ndcg10)}" for c in sizes if (s := r.score(c))
        ]
        decided = [_two(v) if v is not None else "" for v in (r.found.auroc, r.found.answered_at_95)]
        speed = f"{r.found.p50_ms:.1f} / {r.found.p95_ms:.1f}"
        rows.append([r.name, *cells, f"{r.found.macro.ndcg10:.3f}", *decided, speed])
    return markdown(header, rows)


def intervals_table(bench: Bench, ours: Result, results: Sequence[Result]) -> str:
    """The telling figures with intervals, and the paired difference of ours."""
    telling = [t for t in TELLING if ours.score(t[0])]
    rows = []
    for r in results:
        cells = [cell(getattr(r.score(c), field), r.spread[c][m]) for c, field, m in telling]
        more = (
            ""
            if r is ours
            else f"{difference_cell(d := bench.differences(ours, r)['macro']['ndcg@10'])} ({d.favours:.0%})"
        )
        rows.append([r.name, *cells, more])
    return markdown(
        [
            "ranking",
            *(f"{c} {m}" for c, _, m in telling),
            "ours minus it, macro nDCG@10 (resamples for ours)",
        ],
        rows,
    )


def ablation_table(ours: Result, taken: dict[str, Differences]) -> str:
    """What each part is worth: the score with it minus the score without it, on the same questions."""
    telling = [t for t in TELLING if ours.score(t[0])]
    rows = []
    for name, found in taken.items():
        cells = [difference_cell(found[c][m]) for c, _, m in telling]
        decided = (
            [difference_cell(found["none"][m]) for m in ("auroc", "answered_at_95")]
            if "none" in found
            else []
        )
        rows.append([name, *cells, *decided])
    more = ["AUROC", "answered (less is better)"] if ours.found.auroc is not None else []
    return markdown(["part", *(f"{c} {m}" for c, _, m in telling), *more], rows)


def _two(value: float) -> str:
    return f"{value:.2f}".removeprefix("0") if value < 0.995 else "1.0"


def plot(path: Path, results: Sequence[Result], taken: dict[str, Differences]) -> None:
    """Macro nDCG@10 of every ranking, and what each part is worth, with intervals. matplotlib: the extra `plots`."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "prlore", "font.size": 9, "text.parse_math": False}
    ):
        height = 1.2 + 0.3 * max(len(results), len(taken))
        figure = Figure(figsize=(11, height), layout="constrained")
        left, right = figure.subplots(1, 2)
        _points(
            left,
            [
                (r.name.strip("*"), r.found.macro.ndcg10, r.spread["macro"]["ndcg@10"], r is results[-1])
                for r in results
            ],
        )
        left.set_xlabel("macro nDCG@10, 95% interval over questions")
        left.set_xlim(left=0)
        worth: list[tuple[str, Difference]] = [(n, d["macro"]["ndcg@10"]) for n, d in taken.items()]
        _points(right, [(n, d.value, d.interval, d.interval.low > 0) for n, d in worth])
        right.axvline(0, color="#999999", linewidth=0.8)
        right.set_xlabel("macro nDCG@10 lost without it, paired 95% interval")
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None, dpi=150)


def _points(axis: Any, rows: Sequence[tuple[str, float, Interval, bool]]) -> None:
    for place, (_, value, interval, strong) in enumerate(reversed(rows)):
        colour = "#D55E00" if strong else "#0072B2"  # Okabe-Ito
        axis.plot([interval.low, interval.high], [place, place], color=colour, linewidth=1.5)
        axis.plot([value], [place], "o", color=colour, markersize=5)
    axis.set_yticks(range(len(rows)), [name for name, *_ in reversed(rows)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kb", required=True)
    parser.add_argument("--queries", type=Path, required=True)
    parser.add_argument("--base", help="the encoder that ours was tuned from")
    parser.add_argument("--tables", type=Path, help="write the tables here as well")
    parser.add_argument("--plot", type=Path, help=".svg or .png")
    parser.add_argument("--part", action="append", help="take only these parts out (default: all groups)")
    asked = parser.parse_args()
    families = load_families()
    bench = Bench(Store.open(asked.kb), read_queries(asked.queries), families)
    results = [bench.result(name, ranker) for name, ranker in bench.baselines(asked.base)]
    results += [bench.result(NAMED[n], bench.rankings.make(n)) for n in ("light", "no-rerank", OURS)]
    ours = results[-1]
    taken = {
        part: bench.differences(ours, bench.result(f"without {part}", bench.rankings.make(OURS, [part])))
        for part in asked.part or GROUPS
    }
    text = "\n\n".join(
        (
            f"{bench.store.count('cards')} cards, {len(bench.queries)} questions; recall@10 / MRR@10 / nDCG@10, repository filter applied.",
            scores_table(results),
            "With intervals of 95% (percentile bootstrap over questions).",
            intervals_table(bench, ours, results),
            "What each part is worth: ours minus ours without it, paired intervals of 95%; other weights unchanged.",
            ablation_table(ours, taken),
        )
    )
    print(text)
    if asked.tables:
        asked.tables.write_text(text + "\n", "utf-8")
    if asked.plot:
        plot(asked.plot, results, taken)


if __name__ == "__main__":
    try:
        main()
    except PrloreError as exc:
        sys.exit(str(exc))
