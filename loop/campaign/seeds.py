"""Everything that is drawn in a campaign comes from one secret, whose hash stands in the frozen spec.

Nobody can know the prompts or the order of a pair before it is measured; afterwards anybody can check them.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Seeds:
    """Draws by name from the secret."""

    secret: bytes

    @staticmethod
    def fresh() -> Seeds:
        """A new secret."""
        return Seeds(secrets.token_bytes(32))

    @property
    def commitment(self) -> str:
        """What is published at init."""
        return hashlib.sha256(b"prlore seed\0" + self.secret).hexdigest()

    def number(self, name: str) -> int:
        """63 bits for a name; the same name gives the same number."""
        return int.from_bytes(hmac.digest(self.secret, name.encode(), "sha256")[:8]) >> 1

    def order(self, comparison: str, index: int) -> Literal["AB", "BA"]:
        """Which arm goes first; every second pair mirrors the one before, so that drift cancels within two."""
        first: Literal["AB", "BA"] = "AB" if self.number(f"order/{comparison}/{index // 2}") & 1 else "BA"
        if index % 2 == 0:
            return first
        return "BA" if first == "AB" else "AB"

    def prompts(self, comparison: str, index: int, workload: str, nonce: str = "") -> int:
        """Seed of the prompts of one block; both arms get the same. A nonce is known to the block's process alone."""
        return self.number(f"prompts/{comparison}/{index}/{workload}/{nonce}")
