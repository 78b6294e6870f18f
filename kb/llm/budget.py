"""What a run may spend, in tokens and in money; asked before each request, told after it."""

from __future__ import annotations

from dataclasses import dataclass

from ingest.errors import PrloreError
from kb.llm.settings import LlmSettingsError, Price

# Code has about 3 characters a token with today's vocabularies; too low rather than too high, since it guards a limit.
_CHARS_A_TOKEN = 3.0


class BudgetSpent(PrloreError):
    """The next request could exceed what may be spent."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer or of many."""

    prompt: int = 0
    completion: int = 0

    @property
    def total(self) -> int:
        """All tokens."""
        return self.prompt + self.completion


def estimated_tokens(text: str) -> int:
    """About how many tokens a text has, rather too many."""
    return int(len(text) / _CHARS_A_TOKEN) + 1


class Budget:
    """Counts tokens and money of a run.

    Raises:
        LlmSettingsError: a limit in money without a price.
    """

    def __init__(
        self, max_tokens: int | None = None, max_usd: float | None = None, price: Price | None = None
    ) -> None:
        if max_usd is not None and price is None:
            raise LlmSettingsError(
                "--max-usd needs prices: set PRLORE_LLM_PRICE to USD per million tokens, as 0.27,1.10"
            )
        self._max_tokens = max_tokens
        self._max_usd = max_usd
        self._price = price
        self.used = Usage()

    @property
    def usd(self) -> float | None:
        """What was spent, None without a price."""
        return self._cost(self.used) if self._price else None

    def _cost(self, usage: Usage) -> float:
        price = self._price or Price(0.0, 0.0)
        return (usage.prompt * price.prompt + usage.completion * price.completion) / 1e6

    def ask(self, prompt_tokens: int, answer_tokens: int) -> None:
        """Say what the next request may take.

        Raises:
            BudgetSpent: it could exceed a limit.
        """
        wanted = Usage(self.used.prompt + prompt_tokens, self.used.completion + answer_tokens)
        if self._max_tokens is not None and wanted.total > self._max_tokens:
            raise BudgetSpent(
                f"{self.used.total} of {self._max_tokens} tokens are spent, the next answer needs up to {prompt_tokens + answer_tokens}"
            )
        if self._max_usd is not None and self._cost(wanted) > self._max_usd:
            raise BudgetSpent(
                f"${self._cost(self.used):.4f} of ${self._max_usd:.4f} are spent, the next answer could exceed it"
            )

    def spend(self, usage: Usage) -> None:
        """Count what a request took."""
        self.used = Usage(self.used.prompt + usage.prompt, self.used.completion + usage.completion)
