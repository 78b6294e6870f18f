"""Training of the reranker: a small cross-encoder that reads a question and a card together.

It starts from layers of the trained encoder. A group is a question with its answer and cards that the rankings put near it; loss: cross-entropy
over the group. Asked questions see whole cards; titles, asked as questions, see cards without their title.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kb.training.data import TrainingSet
from kb.training.encoder import EncoderTraining, Say, lower_precision

PAIR_TOKENS = 112
QUESTION_WORDS = 40  # a question's words that are read
_CHECKS = 4


@dataclass(frozen=True, slots=True)
class RerankerPlan:
    """A recipe.

    Attributes:
        layers: which layers of the encoder it starts from.
        steps: optimiser steps.
        groups: questions a step.
        size: cards a group, the answer among them.
        rate: peak learning rate.
        asked: share of groups that are asked questions.
        seconds: stop planning more steps than fit this time; 0 for no limit.
        seed: of everything random.
    """

    layers: tuple[int, ...] = (0, 2, 4)
    steps: int = 2400
    groups: int = 64
    size: int = 16
    rate: float = 2e-4
    asked: float = 0.6
    seconds: float = 0.0
    seed: int = 7


def small_cross_encoder(encoder: Any, layers: tuple[int, ...]) -> Any:
    """A one-score classifier with some layers of a SentenceTransformer's BERT and its word pieces, which stay as they are."""
    import copy

    import torch
    from transformers import BertForSequenceClassification

    base = encoder[0].auto_model if hasattr(encoder[0], "auto_model") else encoder[0].model
    config = copy.deepcopy(base.config)
    config.num_hidden_layers = len(layers)
    config.num_labels = 1
    model: Any = BertForSequenceClassification(config)
    model.bert.embeddings.load_state_dict(base.embeddings.state_dict())
    for to, layer in enumerate(layers):
        model.bert.encoder.layer[to].load_state_dict(base.encoder.layer[layer].state_dict())
    with torch.no_grad():
        torch.nn.init.eye_(model.bert.pooler.dense.weight)
        torch.nn.init.zeros_(model.bert.pooler.dense.bias)
    for name, weight in model.named_parameters():
        if name.startswith("bert.embeddings.word_embeddings"):
            weight.requires_grad_(False)
    return model


class RerankerTraining:
    """One run over what an encoder training has tokenised and ranked."""

    def __init__(
        self, model: Any, tokenizer: Any, data: TrainingSet, near: EncoderTraining, plan: RerankerPlan, device: str, say: Say
    ) -> None:  # fmt: skip
        import torch

        self.model, self.plan, self.device, self._say = model.to(device), plan, device, say
        self._random = np.random.default_rng(plan.seed)
        torch.manual_seed(plan.seed)
        self._pad = int(tokenizer.pad_token_id)
        self._separator = int(tokenizer.sep_token_id)
        self._start = int(tokenizer.cls_token_id)
        place = data.place()

        def pieces(texts: list[str], most: int) -> list[np.ndarray[Any, Any]]:
            found = tokenizer(texts, add_special_tokens=False, truncation=True, max_length=most)["input_ids"]
            return [np.array(row, np.int32) for row in found]

        self._cards = pieces([d.text for d in data.documents], PAIR_TOKENS)
        self._codes = pieces([d.code for d in data.documents], PAIR_TOKENS)
        self._titles = pieces([d.title for d in data.documents], QUESTION_WORDS)
        self._asked = pieces([q.text for q in data.questions], QUESTION_WORDS)
        self._answers, self._held = near.answers, near.held
        mined = near._nearest(near.embed(near.asked), near.embed(near.cards), near.answers)
        self._near_asked = [
            list(dict.fromkeys([*[place[i] for i in q.near if i in place], *mined[k].tolist()]))
            for k, q in enumerate(data.questions)
        ]
        self._near_title = near._nearest(
            near.embed(near._titles), near.embed(near._codes), np.arange(len(data.documents))
        )
        self._open_cards, self._open_asked = near._open_cards, near._open_asked

    def run(self) -> dict[str, Any]:
        """Train; the model ends as its best checkpoint."""
        import torch

        plan = self.plan
        steps = plan.steps
        weights = [w for w in self.model.parameters() if w.requires_grad]
        optimiser = torch.optim.AdamW(weights, lr=plan.rate, weight_decay=0.01)
        best: tuple[float, dict[str, Any]] = (-1.0, {})
        history = []
        started = time.perf_counter()
        self.model.train()
        step = 0
        while step < steps:
            share = step / max(1, steps)
            for group in optimiser.param_groups:
                group["lr"] = plan.rate * min(1.0, share * 20, (1 - share) / 0.95)
            with lower_precision(self.device):
                scores = self.score(*self._batch()).view(-1, plan.size)
            loss = torch.nn.functional.cross_entropy(
                scores.float(), torch.zeros(len(scores), dtype=torch.long, device=self.device)
            )
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimiser.step()
            step += 1
            if step == 20 and plan.seconds:
                pace = (time.perf_counter() - started) / 20
                steps = min(steps, max(40, int(plan.seconds / pace)))
                self._say(f"{pace * 1000:.0f} ms a step: {steps} steps")
            if step % max(1, steps // _CHECKS) == 0 or step == steps:
                mrr = self.held_out_mrr()
                history.append({"step": step, "loss": float(loss.detach()), "mrr_of_20": mrr})
                self._say(
                    f"step {step}/{steps} loss {float(loss.detach()):.3f} mrr of 20 {mrr:.3f} {time.perf_counter() - started:.0f} s"
                )
                if mrr > best[0]:
                    best = (
                        mrr,
                        {k: v.detach().to("cpu", copy=True) for k, v in self.model.state_dict().items()},
                    )
        if best[1]:
            self.model.load_state_dict(best[1])
        return {
            "plan": asdict(plan),
            "steps": steps,
            "seconds": time.perf_counter() - started,
            "history": history,
        }

    def score(self, ids: Any, mask: Any, kinds: Any) -> Any:
        """Scores (pairs,)."""
        return self.model(input_ids=ids, attention_mask=mask, token_type_ids=kinds).logits[:, 0]

    def _batch(self) -> tuple[Any, Any, Any]:
        plan = self.plan
        asked = min(int(plan.groups * plan.asked), len(self._open_asked))
        pairs: list[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] = []
        for k in self._random.choice(self._open_asked, asked, replace=False):
            rows = self._pick(self._near_asked[k])
            pairs += [(self._asked[k], self._cards[i]) for i in (self.answer(k), *rows)]
        for k in self._random.choice(self._open_cards, plan.groups - asked, replace=False):
            rows = self._pick(self._near_title[k].tolist())
            pairs += [(self._titles[k], self._codes[i]) for i in (int(k), *rows)]
        return self.tensors(pairs)

    def answer(self, question: int) -> int:
        """Place of a question's card."""
        return int(self._answers[question])

    def _pick(self, near: list[int]) -> list[int]:
        """Negatives: half from the first twenty, half from all that is near."""
        size = self.plan.size - 1
        first, all_near = near[:20], near
        picked = self._random.choice(first, min(size // 2, len(first)), replace=False).tolist()
        rest = [i for i in all_near if i not in picked] or picked
        picked += self._random.choice(
            rest, size - len(picked), replace=len(rest) < size - len(picked)
        ).tolist()
        return [int(i) for i in picked]

    def tensors(self, pairs: list[tuple[Any, Any]]) -> tuple[Any, Any, Any]:
        """Token ids, mask and segment of pairs, padded to the longest."""
        import torch

        rows = [(q, d[: PAIR_TOKENS - 3 - len(q)]) for q, d in pairs]
        longest = max(len(q) + len(d) + 3 for q, d in rows)
        ids = np.full((len(rows), longest), self._pad, np.int64)
        kinds = np.zeros((len(rows), longest), np.int64)
        mask = np.zeros((len(rows), longest), np.int64)
        for i, (q, d) in enumerate(rows):
            end = len(q) + len(d) + 3
            ids[i, 0] = self._start
            ids[i, 1 : 1 + len(q)] = q
            ids[i, 1 + len(q)] = self._separator
            ids[i, 2 + len(q) : end - 1] = d
            ids[i, end - 1] = self._separator
            kinds[i, 2 + len(q) : end] = 1
            mask[i, :end] = 1
        found = tuple(torch.from_numpy(x).to(self.device, non_blocking=True) for x in (ids, mask, kinds))
        return found[0], found[1], found[2]

    def held_out_mrr(self) -> float:
        """MRR of the answer among itself and the nineteen cards nearest to its question, over held-out questions."""
        import torch

        rows = np.flatnonzero(self._held)
        if not len(rows):
            return 0.0
        self.model.eval()
        found: list[float] = []
        with torch.no_grad(), lower_precision(self.device):
            for start in range(0, len(rows), 64):
                part = rows[start : start + 64]
                pairs = [
                    (self._asked[k], self._cards[i])
                    for k in part
                    for i in (self.answer(k), *self._near_asked[k][:19])
                ]
                width = [1 + len(self._near_asked[k][:19]) for k in part]
                scores = self.score(*self.tensors(pairs)).float().cpu().numpy()
                at = 0
                for w in width:
                    mine = scores[at : at + w]
                    found.append(1.0 / (1 + int((mine[1:] >= mine[0]).sum())))
                    at += w
        self.model.train()
        return float(np.mean(found))
