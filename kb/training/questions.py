"""The questions in data/training: written by a language model that read one card at a time, in other words than the card's.

`questions-sglang` and `questions-vllm` train the encoder and the reranker, but for the held-out tenth; `questions-ranking`
is seen by no model and trains the fusion; `questions-unanswerable` have no answer in either engine.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import msgspec

from ingest.errors import PrloreError
from kb.datafiles import data_file

MODEL_FILES = ("questions-sglang.jsonl", "questions-vllm.jsonl")
RANKING_FILE = "questions-ranking.jsonl"
UNANSWERABLE_FILE = "questions-unanswerable.jsonl"


class QuestionFileError(PrloreError):
    """A file of questions that can't be read."""


class WrittenQuestion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question for one card.

    Attributes:
        id: the card it was written for; empty where nothing answers it.
        style: a symptom, b wish, c mechanism, d keywords, e bottleneck, zh Chinese, none unanswerable.
        query: the question.
    """

    id: str
    style: str
    query: str

    @property
    def repo(self) -> str:
        """`owner/name`."""
        return self.id.rpartition("#")[0]

    @property
    def held_out(self) -> bool:
        """Whether models must not see it nor its card: about one in ten, by a hash of the card."""
        return zlib.crc32(self.id.encode()) % 10 == 0


def read_written(name: str, folder: Path | None = None) -> list[WrittenQuestion]:
    """Read one of the files.

    Raises:
        QuestionFileError: it is missing, or a line is no question; the message names the line.
    """
    path = (folder or data_file("training")) / name
    found = []
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as exc:
        raise QuestionFileError(f"can't read {path}: {exc}") from exc
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                found.append(msgspec.json.decode(line, type=WrittenQuestion))
            except msgspec.DecodeError as exc:
                raise QuestionFileError(f"{path}:{number} is no question: {exc}") from exc
    return found


def unseen_questions(folder: Path | None = None) -> list[WrittenQuestion]:
    """Questions that no model was trained on: the ranking file and the held-out tenth of the others."""
    held = [q for name in MODEL_FILES for q in read_written(name, folder) if q.held_out]
    return [*read_written(RANKING_FILE, folder), *held]
