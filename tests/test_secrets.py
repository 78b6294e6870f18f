"""A canary token goes through everything that writes, and is found nowhere afterwards."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

from loopback.clients import client_of, rows_of, sync_once
from loopback.golden import FOLDER, Replay
from loopback.server import TOKEN, Loopback
from loopback.world import make_world

from ingest.github.authors import Bots
from ingest.github.openpulls import open_pulls, patched_files

ROOT = Path(__file__).resolve().parent.parent


def prlore(*args: str, home: Path, token: str = TOKEN) -> subprocess.CompletedProcess[bytes]:
    """A process whose whole home is one folder, so that whatever it writes is found."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PRLORE", "GITHUB", "GH_", "XDG"))}
    places = {
        name: str(home / name)
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "TMPDIR")
    }
    for place in places.values():
        Path(place).mkdir(exist_ok=True)
    command = [sys.executable, "-X", "dev", "-W", "ignore", "-m", "loop", *args]
    return subprocess.run(
        command,
        capture_output=True,
        env={**env, **places, "HOME": str(home), "GITHUB_TOKEN": token},
        check=False,
        timeout=300,
    )


def written(folder: Path):
    """Bytes of every file, compressed ones unpacked."""
    for path in folder.rglob("*"):
        if path.is_file():
            raw = path.read_bytes()
            yield path, raw
            if raw.startswith(b"\x1f\x8b"):
                yield path, gzip.decompress(raw)


def test_the_token_is_written_nowhere(tmp_path):
    world = make_world(12, 20, 10, 10)
    world.pulls[3].body = f"somebody published {TOKEN} here"  # even then it is not kept
    world.tick()
    said = []
    with Loopback(world) as hub:
        for args in (
            ("ingest", "github", "acme/engine", "--api-url", hub.url, "--dry-run"),
            ("ingest", "github", "acme/engine", "--api-url", hub.url, "--max-requests", "3"),
            ("ingest", "github", "acme/engine", "--api-url", hub.url, "--json"),
            ("ingest", "github", "acme/none", "--api-url", hub.url),
            ("watch", "--repo", "acme/engine", "--api-url", hub.url, "--json"),
            ("watch", "--repo", "acme/none", "--api-url", hub.url),
            ("ingest", "replay"),
            ("status", "--json"),
        ):
            done = prlore(*args, home=tmp_path)
            said.append((args[:2], done.returncode, done.stdout + done.stderr))
        refused = prlore(
            "ingest", "github", "acme/engine", "--api-url", hub.url, home=tmp_path, token=TOKEN + "x"
        )
        said.append((("refused",), refused.returncode, refused.stdout + refused.stderr))
        assert any(TOKEN in given for given in hub.seen_tokens), "the canary did fly"
    assert [status for _, status, _ in said] == [0, 0, 0, 2, 0, 2, 0, 0, 2]
    for args, _, text in said:
        assert TOKEN.encode() not in text, args
        assert b"Traceback" not in text, (args, text)
    files = 0
    for path, raw in written(tmp_path):
        files += 1
        assert TOKEN.encode() not in raw, path
    assert files > 20


def test_a_command_line_takes_no_token():
    from loop.cli import cli

    seen = []

    def walk(command, name):
        for parameter in command.params:
            seen.append(parameter.name)
            assert "token" not in (parameter.name or "")
        for sub in getattr(command, "commands", {}):
            walk(command.commands[sub], f"{name} {sub}")

    for name in ("ingest", "watch", "forget"):
        walk(cli.get_command(None, name), name)
    assert "api_url" in seen


def test_recordings_hold_no_token():
    recorded = list(FOLDER.glob("*.json"))
    assert len(recorded) == 3
    for path in recorded:
        text = path.read_text("utf-8")
        assert "ghp_" not in text
        assert "uthorization" not in text
        assert "127.0.0.1" not in text


def test_recorded_exchanges_still_mean_the_same(tmp_path):
    """The client asks what it asked then, and makes of the answers what it made; the server that gave them is gone."""
    world = make_world(8, 14, 8, 8, 2)
    with Loopback(world) as hub:
        sync_once(hub, tmp_path / "now")
    for name in ("first_sync", "unchanged_sync"):
        with Replay(name) as replay:
            replay.world = world
            sync_once(replay, tmp_path / "then")
            assert replay.unknown == []
            assert replay.left == []
    assert rows_of(tmp_path / "then") == rows_of(tmp_path / "now")


def test_recorded_open_pull_requests():
    with Replay("open_pulls") as replay, client_of(replay) as client:
        found = [
            (p.number, p.threads, len(patched_files(client, "acme/engine", p.number)[0]))
            for p in open_pulls(client, "acme/engine", Bots(), lambda done, total: None)
        ]
        assert replay.unknown == []
        assert replay.left == []
    assert found
    assert all(files == 2 for _, _, files in found)
    assert json.dumps(found)
