"""What kind of author somebody is. Bots are told by GitHub's own account type and by a list, never by the look of a name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from ingest.errors import PrloreError
from ingest.github.records import Author, AuthorKind, Role

_MAINTAINERS = frozenset(("OWNER", "MEMBER", "COLLABORATOR"))
_MOST_BYTES = 1 << 20


class BotListError(PrloreError):
    """data/bots.yaml can't be read."""


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bots: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bots:
    """Logins, lower-case, of programs that GitHub calls users."""

    logins: frozenset[str] = frozenset()

    def kind(self, login: str, account: str) -> AuthorKind:
        """The kind of an author.

        Args:
            login: as GitHub gives it, empty for a deleted account.
            account: GitHub's type: `User`, `Bot`, `Mannequin`, `Organization`, …, empty when unknown.
        """
        name = login.lower()
        if not name or name == "ghost":
            return "ghost"
        bare = name.removesuffix("[bot]")
        return "bot" if account == "Bot" or bare != name or bare in self.logins else "human"

    def author(self, login: str, account: str, association: str, pull_author: str) -> Author:
        """An author with the part they play in one pull request."""
        kind = self.kind(login, account)
        role: Role = "contributor"
        if kind != "human":
            role = kind
        elif pull_author and login.lower() == pull_author.lower():
            role = "pr_author"
        elif association in _MAINTAINERS:
            role = "maintainer"
        return Author(login="" if kind == "ghost" else login, kind=kind, role=role)


def load_bots(path: Path) -> Bots:
    """Read the list of bots.

    Raises:
        BotListError: it is not there or not of the form it opens with.
    """
    try:
        raw = path.read_bytes()[:_MOST_BYTES]
        found = msgspec.convert(yaml.safe_load(raw), _File)
    except (OSError, ValueError, yaml.YAMLError) as exc:
        reason = (str(exc).splitlines() or ["?"])[0]
        raise BotListError(
            f"can't read the list of bots {path}: {reason}; mend it or reinstall prlore"
        ) from exc
    return Bots(frozenset(name.lower() for name in found.bots))
