"""Names a folder of sources as git would name its tree, without git: the checkout's own configuration has no say."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_LEFT_OUT = frozenset({".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache"})


def tree_hash(folder: Path) -> str:
    """Git's name of a folder's content (SHA-1), caches of Python left out.

    Raises:
        OSError: something in it can't be read.
    """
    return _tree(folder).hex()


def _tree(folder: Path) -> bytes:
    rows = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in _LEFT_OUT or entry.name.endswith(".pyc"):
                continue
            if entry.is_symlink():
                rows.append((entry.name, b"120000", _blob(os.fsencode(os.readlink(entry.path)))))
            elif entry.is_dir():
                inner = _tree(Path(entry.path))
                if inner != _EMPTY:  # git knows no empty folders
                    rows.append((entry.name + "/", b"40000", inner))
            else:
                mode = b"100755" if entry.stat().st_mode & 0o100 else b"100644"
                rows.append((entry.name, mode, _blob(Path(entry.path).read_bytes())))
    # git sorts a folder as if its name ended with a slash
    rows.sort(key=lambda row: os.fsencode(row[0]))
    body = b"".join(mode + b" " + os.fsencode(name.rstrip("/")) + b"\0" + hash for name, mode, hash in rows)
    return hashlib.sha1(b"tree %d\0" % len(body) + body, usedforsecurity=False).digest()


def _blob(raw: bytes) -> bytes:
    return hashlib.sha1(b"blob %d\0" % len(raw) + raw, usedforsecurity=False).digest()


_EMPTY = hashlib.sha1(b"tree 0\0", usedforsecurity=False).digest()
