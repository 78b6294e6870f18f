"""Putting a skill folder in place and taking it away again, without losing what a person changed in it.

Beside the files stands a list of them with hashes. A file that is not on it, or no longer as it was written, is somebody's
own: it is neither overwritten nor removed unless that is asked for.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from kb.reports.skills import SkillError

LIST = ".prlore.json"


class _Written(msgspec.Struct, frozen=True):
    """What an installation wrote: path -> sha256."""

    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of one file: written, unchanged, removed, or kept because somebody changed it."""

    path: Path
    what: str


def install(
    folder: Path, files: Mapping[str, str], *, force: bool = False, dry_run: bool = False
) -> list[Change]:
    """Write the files; those of an earlier installation that are no longer among them go.

    Raises:
        SkillError: somebody changed a file, or the place can't be written. Nothing has been written then.
    """
    before = _before(folder)
    changes, kept = [], []
    for path, text in sorted(files.items()):
        target = folder / path
        if _is_own(target, before.get(path)) and _sha_of(target) != _sha(text):
            kept.append(target)
        changes.append(Change(target, "unchanged" if _sha_of(target) == _sha(text) else "write"))
    gone = [p for p in before if p not in files]
    changes += [
        Change(folder / p, "kept, changed by you" if _is_own(folder / p, before[p]) else "remove")
        for p in gone
        if (folder / p).exists()
    ]
    if kept and not force:
        raise SkillError(f"{kept[0]} was changed by somebody: keep it elsewhere, or install with --force")
    if not dry_run:
        _apply(folder, files, changes)
    return changes  # fmt: skip


def _apply(folder: Path, files: Mapping[str, str], changes: list[Change]) -> None:
    try:
        for path, text in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{target.name}.{os.getpid()}")
            fresh.write_text(text, encoding="utf-8")
            fresh.replace(target)
        for change in changes:
            if change.what == "remove":
                change.path.unlink(missing_ok=True)
        written = _Written({p: _sha(t) for p, t in files.items()})
        (folder / LIST).write_bytes(msgspec.json.format(msgspec.json.encode(written)) + b"\n")
    except OSError as exc:
        raise SkillError(f"can't write {folder}: {exc.strerror or exc}") from exc


def uninstall(folder: Path, *, force: bool = False, dry_run: bool = False) -> list[Change]:
    """Remove what an installation wrote, and the folders that are empty then.

    Raises:
        SkillError: nothing is installed there, or it can't be removed.
    """
    if not (folder / LIST).is_file():
        raise SkillError(f"no skill of prlore in {folder}: `prlore install` puts one there")
    before = _before(folder)
    changes = []
    for path, sha in sorted(before.items()):
        target = folder / path
        if target.exists():
            own = _is_own(target, sha) and not force
            changes.append(Change(target, "kept, changed by you" if own else "remove"))
    if dry_run:
        return changes
    try:
        for change in changes:
            if change.what == "remove":
                change.path.unlink()
        (folder / LIST).unlink()
        for below in sorted((p for p in folder.rglob("*") if p.is_dir()), reverse=True):
            if not any(below.iterdir()):
                below.rmdir()
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as exc:
        raise SkillError(f"can't remove {folder}: {exc.strerror or exc}") from exc
    return changes


def _before(folder: Path) -> dict[str, str]:
    """What an earlier installation wrote; only paths below the folder count."""
    try:
        files = msgspec.json.decode((folder / LIST).read_bytes(), type=_Written).files
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as exc:
        raise SkillError(f"can't read {folder / LIST}: {str(exc).splitlines()[0]}: remove {folder}") from exc
    return {p: s for p, s in files.items() if not Path(p).is_absolute() and ".." not in Path(p).parts}


def _is_own(target: Path, written: str | None) -> bool:
    """Whether a file is somebody's own: there, and not as we wrote it."""
    return target.exists() and _sha_of(target) != written


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _sha_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
