"""What models are trained on, as one file that travels to a machine with a GPU: documents, and questions with their answers.

The file is JSON lines under xz: documents first, then questions. Reading it needs the standard library alone.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.errors import PrloreError


class TrainingDataError(PrloreError):
    """A file of training data that can't be read."""


@dataclass(frozen=True, slots=True)
class Document:
    """A card as models read it."""

    id: str
    title: str
    code: str

    @property
    def text(self) -> str:
        """Title and code together."""
        return f"{self.title} . {self.code}"


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question somebody wrote for a card.

    Attributes:
        text: the question in English, Chinese terms replaced by the alias table.
        answer: id of the card it was written for.
        near: ids the ranking put high that are not the answer, best first.
        held_out: whether training must not see it, nor its card.
    """

    text: str
    answer: str
    near: tuple[str, ...]
    held_out: bool


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """Everything a training run sees."""

    documents: tuple[Document, ...]
    questions: tuple[AskedQuestion, ...]

    def place(self) -> dict[str, int]:
        """Where each document stands."""
        return {d.id: i for i, d in enumerate(self.documents)}


def write_training_set(path: Path, documents: Iterable[Document], questions: Iterable[AskedQuestion]) -> None:
    """Write a training set; the same content gives the same bytes."""
    with lzma.open(path, "wt", encoding="utf-8") as out:
        for d in documents:
            out.write(json.dumps({"id": d.id, "title": d.title, "code": d.code}, ensure_ascii=False) + "\n")
        for q in questions:
            row = {"ask": q.text, "answer": q.answer, "near": list(q.near), "held_out": q.held_out}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_training_set(path: Path) -> TrainingSet:
    """Read a training set.

    Raises:
        TrainingDataError: the file is missing, damaged, or names cards it does not hold.
    """
    documents: list[Document] = []
    questions: list[AskedQuestion] = []
    try:
        for row in _rows(path):
            if "ask" in row:
                questions.append(
                    AskedQuestion(row["ask"], row["answer"], tuple(row["near"]), bool(row["held_out"]))
                )
            else:
                documents.append(Document(row["id"], row["title"], row["code"]))
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError) as exc:
        raise TrainingDataError(
            f"can't read the training set {path}: {exc}: make it anew with `prlore train data`"
        ) from exc
    held = {d.id for d in documents}
    lost = next((q.answer for q in questions if q.answer not in held), None)
    if lost or not documents:
        raise TrainingDataError(
            f"{path} holds {f'no document {lost}' if lost else 'no documents'}: make it anew with `prlore train data`"
        )
    return TrainingSet(tuple(documents), tuple(questions))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
