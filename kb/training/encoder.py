"""Contrastive training of the encoder: titles against code without the title, asked questions against whole cards.

Two stages. The first learns from the other cards of a batch; then all cards are embedded, and the second stage also
sees cards that this very model puts near a question. Loss: InfoNCE in both directions (van den Oord et al. 2018), summed over
Matryoshka sizes (Kusupati et al. 2022). The checkpoint with the best recall on held-out questions is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kb.training.data import TrainingSet

QUERY_TOKENS = 40
CARD_TOKENS = 128
SIZES = (384, 256, 128)
_NEAREST = 80  # ranks that are looked at for negatives
_SKIPPED = 4  # the very nearest are often second answers
_CHECKS = 5

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class EncoderPlan:
    """A recipe.

    Attributes:
        steps: optimiser steps.
        batch: questions a step.
        rate: peak learning rate of AdamW, linear warm-up over a tenth and linear decay.
        temperature: of the softmax over cosines.
        asked: share of a batch that are asked questions; titles are the rest.
        dropped: share of a question's tokens that are masked out, so that no single word carries it.
        first_stage: share of the steps before negatives are mined.
        seconds: stop planning more steps than fit this time; 0 for no limit.
        seed: of everything random.
    """

    steps: int = 900
    batch: int = 1024
    rate: float = 2e-4
    temperature: float = 0.05
    asked: float = 0.3
    dropped: float = 0.1
    first_stage: float = 0.35
    seconds: float = 0.0
    seed: int = 7


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token ids and masks on the device: (texts, length) each."""

    ids: Any
    mask: Any

    def at(self, rows: Any) -> tuple[Any, Any]:
        """Rows of both."""
        return self.ids[rows], self.mask[rows]


def tokens_of(tokenizer: Any, texts: list[str], length: int, device: str) -> Tokens:
    """Texts as padded token ids."""
    import torch

    found = tokenizer(texts, padding="max_length", truncation=True, max_length=length, return_tensors="np")
    return Tokens(
        torch.from_numpy(found["input_ids"].astype(np.int32)).to(device),
        torch.from_numpy(found["attention_mask"].astype(np.int8)).to(device),
    )


def lower_precision(device: str) -> Any:
    """bfloat16 where the device has units for it; a CPU without them would be slower, not faster."""
    import torch

    kind = device.split(":")[0]
    return torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda")


class EncoderTraining:
    """One run. `model` is a SentenceTransformer on `device`."""

    def __init__(self, model: Any, data: TrainingSet, plan: EncoderPlan, device: str, say: Say) -> None:
        import torch

        self.model, self.plan, self.device, self._say = model, plan, device, say
        self._random = np.random.default_rng(plan.seed)
        torch.manual_seed(plan.seed)
        place = data.place()
        questions = data.questions
        secret = {q.answer for q in questions if q.held_out}
        tokenizer = model.tokenizer
        self.cards = tokens_of(tokenizer, [d.text for d in data.documents], CARD_TOKENS, device)
        self._codes = tokens_of(tokenizer, [d.code for d in data.documents], CARD_TOKENS, device)
        self._titles = tokens_of(tokenizer, [d.title for d in data.documents], QUERY_TOKENS, device)
        self.asked = tokens_of(tokenizer, [q.text for q in questions] or [""], QUERY_TOKENS, device)
        self.answers = np.array([place[q.answer] for q in questions], np.int64)
        self.held = np.array([q.held_out for q in questions], bool)
        self._repos = np.unique([d.id.rpartition("#")[0] for d in data.documents], return_inverse=True)[1]
        self._open_cards = np.array(
            [i for i, d in enumerate(data.documents) if d.id not in secret and d.code]
        )
        self._open_asked = np.flatnonzero(~self.held)
        self._near_title: Any = None
        self._near_asked: Any = None

    def encode(self, tokens: Tokens, rows: Any) -> Any:
        """Unit vectors of rows of tokens."""
        import torch

        ids, mask = tokens.at(rows)
        longest = int(mask.sum(1).max())
        found = self.model({"input_ids": ids[:, :longest].long(), "attention_mask": mask[:, :longest].long()})
        return torch.nn.functional.normalize(found["sentence_embedding"].float(), dim=-1)

    def embed(self, tokens: Tokens, batch: int = 2048) -> Any:
        """Unit vectors of all rows of tokens."""
        import torch

        self.model.eval()
        parts = []
        with torch.no_grad(), lower_precision(self.device):
            for start in range(0, len(tokens.ids), batch):
                parts.append(self.encode(tokens, slice(start, start + batch)))
        self.model.train()
        return torch.cat(parts)

    def run(self) -> dict[str, Any]:
        """Train; the model ends as its best checkpoint. Returns what was done and found."""
        import torch

        plan = self.plan
        steps = plan.steps
        optimiser = torch.optim.AdamW(self.model.parameters(), lr=plan.rate, weight_decay=0.01)
        started = time.perf_counter()
        best: tuple[float, dict[str, Any]] = (-1.0, {})
        history = []
        mine_at = int(plan.first_stage * steps)
        step = 0
        while step < steps:
            if step == mine_at:
                self._mine()
            share = step / max(1, steps)
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * min(1.0, share * 10, (1 - share) / 0.9)
            loss = self._step(optimiser, hard=self._near_title is not None)
            step += 1
            if step == 20 and plan.seconds:  # what fits is planned once, so that the decay reaches its end
                pace = (time.perf_counter() - started) / 20 * 1.6  # the second stage reads a third text
                steps = min(steps, max(40, int(plan.seconds / pace)))
                mine_at = max(step + 1, int(plan.first_stage * steps))
                self._say(f"{pace * 1000:.0f} ms a step: {steps} steps")
            if step % max(1, steps // _CHECKS) == 0 or step == steps:
                scores = self.held_out_scores()
                history.append({"step": step, "loss": float(loss), **scores})
                self._say(
                    f"step {step}/{steps} loss {float(loss):.3f} {scores} {time.perf_counter() - started:.0f} s"
                )
                if scores["mrr@10"] > best[0]:
                    kept = {k: v.detach().to("cpu", copy=True) for k, v in self.model.state_dict().items()}
                    best = (scores["mrr@10"], kept)
        if best[1]:
            self.model.load_state_dict(best[1])
        return {
            "plan": asdict(plan),
            "steps": steps,
            "seconds": time.perf_counter() - started,
            "history": history,
        }

    def _step(self, optimiser: Any, *, hard: bool) -> Any:
        import torch

        plan = self.plan
        asked = min(int(plan.batch * plan.asked), len(self._open_asked))
        questions = self._random.choice(self._open_asked, asked, replace=False)
        titles = self._random.choice(
            self._open_cards, min(plan.batch - asked, len(self._open_cards)), replace=False
        )
        right = np.concatenate([self.answers[questions], titles])
        with lower_precision(self.device):
            q = torch.cat([self._asked_vectors(questions), self._vectors(self._titles, titles, drop=True)])
            d = torch.cat([self._vectors(self.cards, right[:asked]), self._vectors(self._codes, titles)])
            wrong, n = None, None
            if hard:
                wrong = self._wrong(questions, titles)
                n = torch.cat(
                    [self._vectors(self.cards, wrong[:asked]), self._vectors(self._codes, wrong[asked:])]
                )
        loss = _info_nce(q, d, n, right, wrong, plan.temperature)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        optimiser.step()
        return loss.detach()

    def _asked_vectors(self, rows: Any) -> Any:
        return self._vectors(self.asked, rows, drop=True)

    def _vectors(self, tokens: Tokens, rows: Any, *, drop: bool = False) -> Any:
        import torch

        rows = torch.as_tensor(rows, device=self.device)
        if not drop or not self.plan.dropped:
            return self.encode(tokens, rows)
        ids, mask = tokens.at(rows)
        kept = torch.rand(mask.shape, device=self.device) >= self.plan.dropped
        kept[:, 0] = True  # the class token
        return self.encode(Tokens(ids, mask * kept.to(mask.dtype)), slice(None))

    def _mine(self) -> None:
        """Cards near each title and question by the model as it is, their own repository's alone."""
        cards = self.embed(self.cards)
        codes = self.embed(self._codes)
        self._near_title = self._nearest(self.embed(self._titles), codes, np.arange(len(codes)))
        self._near_asked = self._nearest(self.embed(self.asked), cards, self.answers)

    def _nearest(self, questions: Any, cards: Any, answers: Any) -> Any:
        import torch

        repos = torch.as_tensor(self._repos, device=self.device)
        found = []
        for start in range(0, len(answers), 4096):
            rows = torch.as_tensor(answers[start : start + 4096], device=self.device)
            cosines = questions[start : start + 4096][: len(rows)] @ cards.T
            cosines[repos[rows][:, None] != repos[None, :]] = -2.0
            cosines.scatter_(1, rows[:, None], -2.0)
            most = min(_NEAREST, cosines.shape[1])
            found.append(cosines.topk(most, dim=1).indices.cpu())
        return torch.cat(found).numpy() if found else np.zeros((0, 1), np.int64)

    def _wrong(self, questions: Any, titles: Any) -> Any:
        near = [(self._near_asked, questions), (self._near_title, titles)]
        picked = []
        for table, rows in near:
            low = min(_SKIPPED, table.shape[1] - 1)
            columns = self._random.integers(low, table.shape[1], len(rows))
            picked.append(table[rows, columns])
        return np.concatenate(picked)

    def held_out_scores(self) -> dict[str, float]:
        """Recall@10 and MRR@10 of held-out questions among all cards of their repository."""
        rows = np.flatnonzero(self.held)
        if not len(rows):
            return {"recall@10": 0.0, "mrr@10": 0.0}
        import torch

        cards = self.embed(self.cards)
        asked = self.embed(Tokens(self.asked.ids[rows], self.asked.mask[rows]))
        repos = torch.as_tensor(self._repos, device=self.device)
        right = torch.as_tensor(self.answers[rows], device=self.device)
        cosines = asked @ cards.T
        cosines[repos[right][:, None] != repos[None, :]] = -2.0
        rank = (cosines > cosines.gather(1, right[:, None])).sum(1) + 1
        found = rank <= 10
        return {
            "recall@10": round(float(found.float().mean()), 4),
            "mrr@10": round(float((found / rank).mean()), 4),
        }


def _info_nce(q: Any, d: Any, n: Any, right: Any, wrong: Any, temperature: float) -> Any:
    """InfoNCE over a batch, both directions, all sizes; a card that answers two questions of a batch is nobody's negative."""
    import torch

    device = q.device
    rows = torch.as_tensor(right, device=device)
    same = rows[:, None] == rows[None, :]
    same.fill_diagonal_(False)
    target = torch.arange(len(q), device=device)
    clash = None if wrong is None else rows[:, None] == torch.as_tensor(wrong, device=device)[None, :]
    total = torch.zeros((), device=device)
    for size in SIZES:
        a, b = (torch.nn.functional.normalize(x[:, :size].float(), dim=-1) for x in (q, d))
        cosines = (a @ b.T / temperature).masked_fill(same, -1e4)
        scores = cosines
        if n is not None and clash is not None:
            c = torch.nn.functional.normalize(n[:, :size].float(), dim=-1)
            scores = torch.cat([cosines, (a @ c.T / temperature).masked_fill(clash, -1e4)], dim=1)
        total = total + torch.nn.functional.cross_entropy(scores, target)
        total = total + 0.5 * torch.nn.functional.cross_entropy(cosines.T, target)
    return total / len(SIZES)


def lists_of(training: EncoderTraining, depth: int = 60) -> Iterator[list[int]]:
    """For every asked question the cards nearest to it by the trained model, its answer left out."""
    near = training._nearest(training.embed(training.asked), training.embed(training.cards), training.answers)
    for row in near:
        yield row[:depth].tolist()
