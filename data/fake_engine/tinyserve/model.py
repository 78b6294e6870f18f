"""The model's folder: its shape from config.json, its words from tokenizer.json."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Model:
    """Shape and vocabulary."""

    name: str
    layers: int
    hidden: int
    words: list[str]
    numbers: dict[str, int]

    def encode(self, text: str) -> list[int]:
        """Tokens of a text: its words; an unknown one is token 0."""
        return [self.numbers.get(word, 0) for word in text.split()]

    def decode(self, token: int) -> str:
        """The piece of text that a token adds."""
        return self.words[token] + " "


def load(folder: str, name: str | None) -> Model:
    """Read a model's folder."""
    path = Path(folder)
    config = json.loads((path / "config.json").read_text("utf-8"))
    vocabulary = json.loads((path / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    words = sorted(vocabulary, key=vocabulary.get)
    return Model(
        name or folder,
        config["num_hidden_layers"],
        config["hidden_size"],
        words,
        {w: i for i, w in enumerate(words)},
    )
