"""Training of the word table: every word starts as the base model sees it, then titles and questions pull at the words of their cards.

The table is the mean of four seeds, which finds more than any one of them.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from kb.training.data import TrainingDataError, TrainingSet
from kb.training.encoder import Say
from kb.words import prose_words

DIMENSIONS = 256
_WORDS = 65_000
_FEWEST_CARDS = 5
_STEPS = 100
_BATCH = 4096
_RATE = 4e-3
_TEMPERATURE = 0.10
_DROPPED_QUESTION, _DROPPED_CARD = 0.15, 0.5
_ASKED = 0.3
_SEEDS = 4
_MOST_WORDS = 160


def train_static(data: TrainingSet, base: str, out: Path, device: str, seed: int, say: Say) -> int:
    """Train and write the table; returns how many words it holds.

    Raises:
        TrainingDataError: `[train]` is missing, or the base model can't be had.
    """
    try:
        import torch
        from sentence_transformers import SentenceTransformer
    except ImportError as exc:
        raise TrainingDataError("training needs more packages: pip install 'prlore[train]'") from exc
    cards = [prose_words(d.code) for d in data.documents]
    titles = [prose_words(d.title) for d in data.documents]
    asked = [prose_words(q.text) for q in data.questions]
    place = data.place()
    counts = Counter(w for words in cards for w in set(words))
    told = Counter(w for words in (*titles, *asked) for w in set(words))
    words = [w for w in {**counts, **told} if counts[w] >= _FEWEST_CARDS or told[w] > 1]
    words.sort(key=lambda w: (-(counts[w] + told[w]), w))
    words = words[:_WORDS]
    say(f"{len(words)} words")
    try:
        model = SentenceTransformer(base, device=device)
    except Exception as exc:  # the library raises what its loaders raise
        raise TrainingDataError(f"can't load the base model {base!r}: {exc}") from exc
    first = _first_vectors(model, words, counts, len(cards))
    row = {w: i + 1 for i, w in enumerate(words)}  # 0 is no word
    tables = (_rows(cards, row), _rows(titles, row), _rows(asked, row))
    answers = np.array([place[q.answer] for q in data.questions], np.int64)
    usable = np.flatnonzero([not q.held_out for q in data.questions])
    total = np.zeros_like(first)
    for number in range(_SEEDS):
        torch.manual_seed(seed + number)
        trained = _train(first, tables, answers, usable, seed + number, device, say)
        total += trained
    mean = total[1:] / _SEEDS
    scale = np.abs(mean).max(axis=1) / 127 + 1e-12
    text = np.frombuffer("\n".join(words).encode(), np.uint8)
    np.savez(
        out,
        words=text,
        vectors=np.round(mean / scale[:, None]).astype(np.int8),
        scales=scale.astype(np.float32),
    )
    return len(words)


def _first_vectors(model: Any, words: list[str], counts: Counter[str], cards: int) -> np.ndarray[Any, Any]:
    """(words + 1, 256): the base model's vectors, centred, reduced to their main components, scaled by how telling a word is."""
    found = model.encode(words, batch_size=512, normalize_embeddings=True, show_progress_bar=False)
    found = found - found.mean(axis=0)
    _, _, axes = np.linalg.svd(found[: min(len(found), 20_000)], full_matrices=False)
    reduced = found @ axes[:DIMENSIONS].T
    reduced /= np.maximum(np.linalg.norm(reduced, axis=1, keepdims=True), 1e-9)
    worth = np.log1p(cards / (1 + np.array([counts[w] for w in words])))
    result = np.zeros((len(words) + 1, min(DIMENSIONS, reduced.shape[1])), np.float32)
    result[1:] = reduced * worth[:, None]
    return result


def _rows(texts: list[list[str]], row: dict[str, int]) -> np.ndarray[Any, Any]:
    result = np.zeros((len(texts), _MOST_WORDS), np.int32)
    for i, words in enumerate(texts):
        known = [row[w] for w in words if w in row][:_MOST_WORDS]
        result[i, : len(known)] = known
    return result


def _train(
    first: np.ndarray[Any, Any], tables: tuple[Any, Any, Any], answers: np.ndarray[Any, Any], usable: np.ndarray[Any, Any],
    seed: int, device: str, say: Say,
) -> np.ndarray[Any, Any]:  # fmt: skip
    import torch

    random = np.random.default_rng(seed)
    table = torch.tensor(first, device=device, requires_grad=True)
    cards, titles, asked = (torch.tensor(t, device=device) for t in tables)
    optimiser = torch.optim.Adam([table], lr=_RATE)
    batch = min(_BATCH, len(cards))
    for step in range(_STEPS):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (step + 1) / 10, (_STEPS - step) / _STEPS * 1.1)
        some = (
            random.choice(usable, min(int(batch * _ASKED), len(usable)), replace=False)
            if len(usable)
            else usable
        )
        rest = random.choice(len(cards), batch - len(some), replace=False)
        right = torch.as_tensor(np.concatenate([answers[some], rest]), device=device)
        q = torch.cat([_bag(table, asked[torch.as_tensor(some, device=device)], _DROPPED_QUESTION),
                       _bag(table, titles[torch.as_tensor(rest, device=device)], _DROPPED_QUESTION)])  # fmt: skip
        d = _bag(table, cards[right], _DROPPED_CARD)
        scores = q @ d.T / _TEMPERATURE
        same = right[:, None] == right[None, :]
        same.fill_diagonal_(False)
        scores = scores.masked_fill(same, -1e4)
        target = torch.arange(len(q), device=device)
        loss = torch.nn.functional.cross_entropy(scores, target) + torch.nn.functional.cross_entropy(
            scores.T, target
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    say(f"seed {seed}: loss {float(loss.detach()):.3f}")
    found: np.ndarray[Any, Any] = table.detach().cpu().numpy()
    return found


def _bag(table: Any, rows: Any, dropped: float) -> Any:
    """Unit vectors of rows of words, some of which are left out."""
    import torch

    kept = (rows > 0) & (torch.rand(rows.shape, device=rows.device) >= dropped)
    summed = (table[rows.long()] * kept.unsqueeze(-1)).sum(1)
    return torch.nn.functional.normalize(summed, dim=-1)
