"""`prlore demo`: the embedded knowledge base and three questions, the last of which has no answer in it."""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING

import click

from kb.commands.options import created_by, json_option

if TYPE_CHECKING:
    from kb.search import Answer

# question -> the card that has to come first, empty where prlore has to decline
_ASKED = {
    "Moss-VL flashinfer prefill": "sgl-project/sglang#23454",
    "Ernie4.5 cos/sin cache": "sgl-project/sglang#19743",
    "protein structure prediction with triangle multiplication": "",
}


@click.command("demo")
@click.option("--kb", metavar="DIR", help="Keep the demo's knowledge base here.  [default: a folder that goes again]")  # fmt: skip
@json_option
def demo(kb: str | None, as_json: bool) -> int:
    """Build the embedded knowledge base and ask it three questions; needs no network, token, model or GPU.

    Exit status 1 when an answer is not the one that the embedded cards hold.
    """
    if kb is not None:
        return _show(kb, as_json)
    with tempfile.TemporaryDirectory(prefix="prlore-demo-") as folder:
        return _show(folder, as_json)


def _show(uri: str, as_json: bool) -> int:
    from kb.reports import answers as report
    from kb.reports.paint import painted
    from kb.reports.safe import json_line
    from kb.search import Searcher
    from kb.starter_build import add_starter
    from kb.store import Store

    with Store.create(uri, created_by()) as store:
        add_starter(store)
        cards = store.count("cards")
    if not as_json:
        click.echo(f"{cards} embedded cards, read by people from merged pull requests of SGLang, vLLM and TensorRT-LLM")  # fmt: skip
    searcher = Searcher(Store.open(uri))
    told, wrong = [], 0
    for question, first in _ASKED.items():
        started = time.perf_counter()
        answer = searcher.search(question, limit=2)
        wrong += not _right(answer, first)
        if as_json:
            told.append(report.answer_json(answer, (time.perf_counter() - started) * 1000))
            continue
        click.echo(f'\n$ prlore query "{question}" --limit 2\n{painted(report.answer_text(answer))}')
    if as_json:
        click.echo(json_line({"cards": cards, "answers": told, "wrong": wrong}))
    else:
        click.echo("\nNext: `prlore ingest starter`, then ask your own; `prlore ingest git CLONE --repo OWNER/NAME` reads a history.")  # fmt: skip
    return 1 if wrong else 0


def _right(answer: Answer, first: str) -> bool:
    return answer.answered == bool(first) and (not first or answer.hits[0].card.id == first)
