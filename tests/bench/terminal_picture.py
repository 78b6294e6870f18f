"""A picture of a real session for the README: commands are run, what they print is drawn as SVG, colours included.

    python tests/bench/terminal_picture.py --kb KB --out docs/images/session.svg 'query "…" --limit 1' 'show …'

Each command is what stands behind `prlore`; long outputs are cut at --lines. No font, script or image is fetched by the picture.
"""

from __future__ import annotations

import argparse
import html
import os
import pty
import re
import shlex
import subprocess
import sys
from pathlib import Path

COLUMNS, CHAR, LINE, PAD = 118, 7.7, 18, 16
STYLE = {"1": "font-weight:bold", "2": "opacity:.6", "31": "fill:#f28b82", "32": "fill:#81c995", "33": "fill:#fdd663", "36": "fill:#78d9ec"}  # fmt: skip


def printed(command: list[str], kb: str) -> str:
    """What a command prints on a terminal."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "PRLORE_KB": kb, "TERM": "xterm-256color"}
    env.pop("NO_COLOR", None)
    with subprocess.Popen([sys.executable, "-m", "loop", *command], stdout=theirs, stderr=theirs, env=env):
        os.close(theirs)
        chunks = []
        while True:
            try:
                chunk = os.read(ours, 65536)
            except OSError:
                break
            if not chunk:
                break
            chunks.append(chunk)
    os.close(ours)
    return b"".join(chunks).decode().replace("\r\n", "\n")


def spans(line: str) -> list[tuple[str, str]]:
    """(style, text) of a line with SGR codes, cut at the width."""
    found, styles, room = [], [], COLUMNS
    for part in re.split(r"(\x1b\[[\d;]*m)", line):
        if part.startswith("\x1b["):
            codes = part[2:-1].split(";")
            styles = [] if codes in ([""], ["0"]) else [*styles, *codes]
        elif part and room > 0:
            text = part if len(part) <= room else part[: room - 1] + "…"
            room -= len(part)
            found.append((";".join(STYLE[c] for c in styles if c in STYLE), text))
    return found


def drawn(lines: list[str]) -> str:
    """The picture."""
    width, height = int(COLUMNS * CHAR + 2 * PAD), len(lines) * LINE + 2 * PAD + 8
    rows = []
    for number, line in enumerate(lines):
        inner = "".join(
            f'<tspan style="{style}">{html.escape(text)}</tspan>' if style else html.escape(text)
            for style, text in spans(line)
        )
        rows.append(f'<text x="{PAD}" y="{PAD + LINE * (number + 1)}" xml:space="preserve">{inner}</text>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">'
        f"<title>A session of prlore in a terminal</title>"
        f"<style>text{{font:12.8px ui-monospace,Menlo,Consolas,monospace;fill:#e8eaed}}</style>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#202124"/>\n' + "\n".join(rows) + "\n</svg>\n"
    )


def main() -> None:
    """Run the commands and draw them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kb", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=22)
    parser.add_argument("commands", nargs="+")
    options = parser.parse_args()
    lines: list[str] = []
    for command in options.commands:
        told = printed(shlex.split(command), options.kb).rstrip("\n").split("\n")
        lines += [f"\x1b[1m$ prlore {command}\x1b[0m", *told[: options.lines], ""]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(drawn(lines[:-1]), "utf-8")


if __name__ == "__main__":
    main()
