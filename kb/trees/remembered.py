"""Which clone of a repository this user last read, so that `--checkout` need not be typed again."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


def remembered_file() -> Path:
    """Where the clones are written down: in the user's state folder."""
    import platformdirs

    return Path(platformdirs.user_state_dir("prlore", appauthor=False)) / "checkouts.json"


def remembered_checkout(repo: str) -> Path | None:
    """The clone last read for a repository, None when there is none or it has gone."""
    path = Path(_read().get(repo, ""))
    return path if path.name and path.exists() else None


def remember_checkout(repo: str, path: Path) -> None:
    """Write down a clone. A state folder that can't be written is no error: nothing is lost but the typing."""
    known = _read() | {repo: str(path.resolve())}
    file = remembered_file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        fresh = file.with_name(f"{file.name}.{os.getpid()}")
        fresh.write_bytes(msgspec.json.encode(known))
        fresh.replace(file)
    except OSError:
        return


def _read() -> dict[str, str]:
    try:
        return msgspec.json.decode(remembered_file().read_bytes(), type=dict[str, str])
    except (OSError, msgspec.DecodeError):
        return {}
