"""`prlore train`: the models and weights in data/, made anew from a store and the written questions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from kb.commands.options import kb_option, open_store


def _say(text: str) -> None:
    click.echo(text, err=True)


@click.group("train")
def train() -> None:
    """Make the models and weights in data/ anew; needs `pip install 'prlore[train]'`."""


@train.command("data")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE.xz", help="Training set to write."
)
@kb_option
def data(out: Path, kb: str | None) -> None:
    """Gather what the models are trained on, as one file that can travel to a machine with a GPU."""
    from kb.search import Searcher
    from kb.training.build import asked_of, documents_of
    from kb.training.data import write_training_set
    from kb.training.questions import MODEL_FILES, read_written

    store = open_store(kb)
    documents = documents_of(store)
    written = [q for name in MODEL_FILES for q in read_written(name)]
    searcher = Searcher(store, rerank=False)
    asked = asked_of(searcher, written, {d.id for d in documents}, _progress)
    write_training_set(out, documents, asked)
    click.echo(
        f"{len(documents)} cards and {len(asked)} questions ({sum(q.held_out for q in asked)} held out): {out}"
    )


@train.command("encoder")
@click.option(
    "--kb", "kb", metavar="URI", envvar="PRLORE_KB", help="Knowledge base whose cards are learned from."
)
@click.option(
    "--data",
    "set_file",
    type=click.Path(path_type=Path),
    metavar="FILE.xz",
    help="A training set of `prlore train data` instead of a store.",
)
@click.option(
    "--base",
    required=True,
    metavar="MODEL",
    help="Sentence-transformers model to start from: a BERT with mean pooling, 384 wide.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for the trained models.",
)
@click.option("--device", default="cuda", show_default=True, metavar="DEVICE", help="cuda or cpu.")
@click.option("--steps", default=260, show_default=True, type=click.IntRange(1), help="Steps of the encoder.")
@click.option(
    "--reranker-steps",
    default=1558,
    show_default=True,
    type=click.IntRange(0),
    help="Steps of the reranker; 0 for none.",
)
@click.option("--seed", default=7, show_default=True, help="Of everything random.")
def encoder(
    kb: str | None, set_file: Path | None, base: str, out: Path, device: str, steps: int, reranker_steps: int, seed: int
) -> None:  # fmt: skip
    """Train the encoder, then the reranker on what it finds near, and write both: trained form, ONNX int8, vectors of all cards."""
    import tempfile

    from kb.training.data import read_training_set
    from kb.training.run import train_models

    if set_file is None:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(scratch) / "set.xz"
            data.callback(path, kb)  # type: ignore[misc]
            found = read_training_set(path)
    else:
        found = read_training_set(set_file)
    report = train_models(found, base, out, device, steps, reranker_steps, seed, _say)
    (out / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    click.echo(f"trained: {out}; copy mini/ to data/encoders/ and reranker/ to data/ to ship it")


@train.command("fusion")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Weights to write. [default: data/fusion.json]",
)
@click.option(
    "--judged",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="QUERIES.jsonl",
    help="Judged questions that count three times as much.",
)
@kb_option
def fusion(out: Path | None, judged: tuple[Path, ...], kb: str | None) -> None:
    """Learn the weights of the ranking and of the rule that declines, from questions that no model was trained on."""
    import msgspec

    from kb.datafiles import data_file
    from kb.evaluate import read_queries
    from kb.fusion import load_weights
    from kb.reranker import load_reranker
    from kb.search import Searcher
    from kb.training import fusion as learning
    from kb.training.questions import UNANSWERABLE_FILE, read_written, unseen_questions

    old = load_weights()
    searcher = Searcher(open_store(kb), rerank=False)
    held = set(searcher.index.ids)
    examples = [
        learning.Example(q.query, q.repo, frozenset((q.id,))) for q in unseen_questions() if q.id in held
    ]
    for path in judged:
        examples += [e for q in read_queries(path) if (e := learning.judged_example(q)).answers]
    nothing = [learning.Example(q.query, "", frozenset()) for q in read_written(UNANSWERABLE_FILE)]
    found = learning.learn(searcher, examples, nothing, old, load_reranker(), _say)
    path = out or data_file("fusion.json")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n")
    click.echo(f"{len(examples)} questions and {len(nothing)} without an answer: {path}")


@train.command("static")
@click.option(
    "--data",
    "set_file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.xz",
    help="A training set of `prlore train data`.",
)
@click.option(
    "--base",
    required=True,
    metavar="MODEL",
    help="Sentence-transformers model that gives the words their first vectors.",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), metavar="FILE.npz", help="Word table to write."
)
@click.option("--device", default="cuda", show_default=True, metavar="DEVICE", help="cuda or cpu.")
@click.option("--seed", default=7, show_default=True, help="First of the four seeds.")
def static(set_file: Path, base: str, out: Path, device: str, seed: int) -> None:
    """Train the word table that embeds cards without a transformer."""
    from kb.training.data import read_training_set
    from kb.training.static import train_static

    words = train_static(read_training_set(set_file), base, out, device, seed, _say)
    click.echo(f"{words} words: {out}")


def _progress(done: int, of: int) -> None:
    if done % 500 == 0 or done == of:
        print(f"{done}/{of} questions", file=sys.stderr)  # noqa: T201  progress belongs on stderr
