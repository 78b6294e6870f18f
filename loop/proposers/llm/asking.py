"""A conversation of at most two turns with a model: an answer, and one repair of what could not be applied."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec

from ingest.errors import PrloreError
from kb.llm.answers import AnswerError, parse_answer, schema_of
from kb.llm.budget import Budget, BudgetSpent
from kb.llm.client import ChatClient, LlmError, Message
from kb.llm.settings import LlmSettings
from kb.llm.untrusted import nonce
from loop.proposers.handing_in import Desk
from loop.proposers.llm.blocks import Problem
from loop.proposers.llm.prompts import Edits, repair_turn
from loop.protocols import ProposalBudget
from loop.records import Cost

_ANSWER_TOKENS = 8192


class NoEdits(PrloreError):
    """The model gave no edits that can be applied; the message says why."""


@dataclass
class Said:
    """A conversation as it is kept.

    Attributes:
        prompts: digests of what was asked and answered, without secrets.
    """

    cost: Cost = field(default_factory=Cost)
    prompts: list[str] = field(default_factory=list)


# edits -> what of them can't be applied
Check = Callable[[Edits], Sequence[Problem | str]]


class Model:
    """One model, asked under the budget of a proposal.

    Args:
        settings: endpoint and model.
        desk: keeps prompts and answers.
    """

    def __init__(self, settings: LlmSettings, desk: Desk) -> None:
        self._settings, self._desk = settings, desk

    @property
    def name(self) -> str:
        """The model's name at its endpoint."""
        return self._settings.model

    def edits(
        self, opening: Callable[[str], list[Message]], check: Check, budget: ProposalBudget, said: Said
    ) -> Edits:
        """Edits that can be applied, after at most one repair.

        Args:
            opening: the conversation for a nonce.
            check: what is wrong with edits.
            budget: of this proposal.
            said: gets what was asked and what it cost, also when nothing comes of it.

        Raises:
            NoEdits: there are none.
        """
        start = time.monotonic()
        price = self._settings.price
        spending = Budget(max_tokens=budget.tokens, max_usd=budget.usd if price else None, price=price)
        timeout = min(self._settings.timeout, budget.seconds)
        settings = LlmSettings(
            self._settings.base_url, self._settings.model, timeout, price, self._settings.api_key
        )
        try:
            with ChatClient(settings, spending, answer_tokens=_ANSWER_TOKENS) as client:
                return self._talk(client, opening, check, said)
        except BudgetSpent as exc:
            raise NoEdits(f"the budget is spent: {exc}") from exc
        except LlmError as exc:
            raise NoEdits(f"no answer: {exc}") from exc
        finally:
            used = spending.used.total
            said.cost = Cost(seconds=time.monotonic() - start, tokens=used, usd=spending.usd or 0.0)

    def _talk(
        self, client: ChatClient, opening: Callable[[str], list[Message]], check: Check, said: Said
    ) -> Edits:
        text = self._ask(client, opening(nonce()), said)
        edits, problems = _read(text, check)
        if edits is not None and not problems:
            return edits
        word = nonce()
        again = self._ask(client, [*opening(word), *repair_turn(text, problems, word)], said)
        edits, problems = _read(again, check)
        if edits is None or problems:
            first = problems[0]
            raise NoEdits(first if isinstance(first, str) else f"{first.path}: {first.what}")
        return edits

    def _ask(self, client: ChatClient, messages: Sequence[Message], said: Said) -> str:
        said.prompts.append(self._desk.keep_text("\n\n".join(f"[{m.role}]\n{m.content}" for m in messages)))
        answer = client.complete(messages, schema_of(Edits))
        said.prompts.append(self._desk.keep_text(answer.text))
        return answer.text


def _read(text: str, check: Check) -> tuple[Edits | None, Sequence[Problem | str]]:
    try:
        edits = parse_answer(text, Edits)
    except (AnswerError, msgspec.DecodeError) as exc:
        return None, [f"the whole answer: {exc}"]
    return edits, check(edits)
