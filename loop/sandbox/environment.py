"""Which variables a child gets: those on a list, a home of its own, and those that are named for it. Nothing else of ours."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

ALLOWED = ("PATH", "LANG", "LC_ALL", "TZ", "CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "LD_LIBRARY_PATH",
           "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")  # fmt: skip


def child_environment(
    home: Path, extra: Mapping[str, str] | None = None, ours: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """All variables of a child.

    Args:
        home: its home and the place of its caches and temporary files.
        extra: what it needs beyond the list, such as the one key of its model's endpoint.
        ours: the environment that the list picks from.
    """
    chosen = {name: ours[name] for name in ALLOWED if name in ours}
    chosen |= {
        "HOME": str(home),
        "TMPDIR": str(home),
        "XDG_CACHE_HOME": str(home / ".cache"),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "NO_COLOR": "1",
    }
    return chosen | dict(extra or {})
