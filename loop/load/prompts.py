"""Prompts drawn from a seed: no server can have seen them, and the same seed gives the same ones anywhere."""

from __future__ import annotations

import hashlib
import random
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from loop.load.errors import LoadFailed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_ROUNDS = 12


class TokenCounter:
    """The generator's own tokenizer, from a `tokenizer.json` or a folder that has one.

    Raises:
        LoadFailed: there is none, or it can't be read.
    """

    def __init__(self, path: Path) -> None:
        from tokenizers import Tokenizer

        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            self._tokenizer: Tokenizer = Tokenizer.from_file(str(file))
        except Exception as exc:  # the library raises bare Exception for any file it can't read
            raise LoadFailed(
                f"{file}: no tokenizer can be read there ({exc}); name a tokenizer.json"
            ) from exc
        self._tokenizer.no_truncation()

    def count(self, text: str) -> int:
        """Tokens of a text, without special ones."""
        return len(self.encode(text))

    def encode(self, text: str) -> list[int]:
        """Tokens of a text, without special ones."""
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def decode(self, ids: list[int]) -> str:
        """Text of tokens."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=False)
        return text

    @cached_property
    def plain(self) -> list[int]:
        """Tokens that are ordinary printable text: what prompts are made of."""
        special = {id for id, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}
        found = []
        for token in range(self._tokenizer.get_vocab_size()):
            text = "" if token in special else self.decode([token])
            if text.strip() and text.isascii() and all(c.isprintable() or c == " " for c in text):
                found.append(token)
        if len(found) < 2:
            raise LoadFailed("the tokenizer has no printable tokens to draw prompts from")
        return found


def draw_prompts(counter: TokenCounter, seed: str, count: int, length: int, shared: int = 0) -> list[str]:
    """Texts of `length` tokens each, by the generator's count; within 1 % where merges allow no exact one.

    Args:
        counter: the tokenizer.
        seed: of this block.
        count: how many.
        length: tokens of each.
        shared: tokens at the start that all have in common.

    Raises:
        LoadFailed: no text of that length could be made.
    """
    prefix = random.Random(_number(seed, -1)).choices(counter.plain, k=shared)
    return [_draw(counter, random.Random(_number(seed, i)), length, prefix) for i in range(count)]


def _number(seed: str, index: int) -> int:
    return int.from_bytes(hashlib.sha256(f"{seed}/{index}".encode()).digest(), "big")


def _draw(counter: TokenCounter, rng: random.Random, length: int, prefix: list[int]) -> str:
    plain = counter.plain
    ids = prefix + rng.choices(plain, k=length - len(prefix))
    best, off = "", length
    for _ in range(_ROUNDS):
        text = counter.decode(ids)
        found = counter.encode(text)
        if abs(len(found) - length) < off:
            best, off = text, abs(len(found) - length)
        if off == 0:
            return best
        # neighbours merge into longer tokens: cut or lengthen what the text really is
        ids = found[:length] + rng.choices(plain, k=max(0, length - len(found)))
    if off > max(1, length // 100):
        raise LoadFailed(f"no prompt of {length} tokens can be drawn from this tokenizer; off by {off}")
    return best
