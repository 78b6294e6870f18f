"""Hold every card of a store against its history: by the gate, and by a second reading of git that shares no code with it.

    python tests/bench/gate_store.py --repo ~/src/sglang --name sgl-project/sglang --kb /tmp/kb

The second reading parses `git log -p --numstat` with a few lines of its own and counts: excerpts that are not in the
diff byte for byte, excerpts of licence, imports and comments only where the change has other lines, hunk headers inside
excerpts, changed files that a card does not name, and motivations that are a template or the title. Exits 1 where any
count is not 0. Prints the gate's defects and its cards a second.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

from kb.cards import Card, decode_card
from kb.filters import Filter
from kb.gate.check import check_store
from kb.store import Store

_ATTRIBUTES = "core.attributesFile=/dev/null"
_EVERYWHERE = r"\s*(?:$|[\])}\[({,;:]+$|from\s+\S+\s+import\b|import\s|use\s+[\w:]+)"
_POOR_PYTHON = re.compile(_EVERYWHERE + r"|\s*(?:#|\"\"\"|''')", re.IGNORECASE)
_POOR_C = re.compile(_EVERYWHERE + r"|\s*(?://|/\*|\*(?:\s|/|$)|#\s*include)", re.IGNORECASE)
_POOR_OTHER = re.compile(_EVERYWHERE, re.IGNORECASE)
_TEMPLATE = re.compile(r"^\s*(?:title|category|model line|main diff)\s*:", re.IGNORECASE)
_RENAME = re.compile(r"(.*)\{(.*) => (.*)\}(.*)")

Hunks = dict[tuple[str, str], list[str]]


def commits(repo: str, shas: list[str]) -> Iterator[tuple[str, set[str], Hunks]]:
    """(commit, paths, lines of each hunk) of each commit that git can read."""
    form = [
        "--format=%x01%H",
        "--numstat",
        "-p",
        "-M",
        "--diff-merges=first-parent",
        "--diff-algorithm=myers",
        "-U3",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    ]
    process = subprocess.Popen(
        ["git", "-c", _ATTRIBUTES, "-c", "core.quotePath=false", "-c", "diff.renameLimit=1000", f"--git-dir={repo}", "log", "--no-walk=unsorted", "--stdin", *form],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    import threading

    threading.Thread(
        target=lambda: (process.stdin.write("".join(f"{s}\n" for s in shas).encode()), process.stdin.close()),
        daemon=True,
    ).start()
    block: list[bytes] = []
    for raw in process.stdout:
        if raw.startswith(b"\x01"):
            if block:
                yield parse(block)
            block = []
        block.append(raw[:-1] if raw.endswith(b"\n") else raw)
    if block:
        yield parse(block)
    process.wait()


def parse(block: list[bytes]) -> tuple[str, set[str], Hunks]:
    lines = [b.decode("utf-8", "replace") for b in block]
    paths: set[str] = set()
    hunks: Hunks = {}
    path, left, held = "", [0, 0], None
    for line in lines[1:]:
        if left[0] > 0 or left[1] > 0 or (line[:1] == "\\" and held is not None):
            held.append(line)
            left[0] -= line[:1] in " -"
            left[1] -= line[:1] in " +"
        elif match := re.match(r"(?:\d+|-)\t(?:\d+|-)\t(.*)$", line):
            name = match[1].strip('"')
            if found := _RENAME.match(name):
                name = f"{found[1]}{found[3]}{found[4]}".replace("//", "/")
            paths.add(name.rpartition(" => ")[2])
        elif line.startswith(("--- a/", "+++ b/")):
            path = line[6:].rstrip("\t")
        elif match := re.match(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@", line):
            old, new = int(match[2] or 1), int(match[4] or 1)
            left = [old, new]
            held = hunks.setdefault((path, f"@@ -{match[1]},{old} +{match[3]},{new} @@"), [])
        else:
            held = None
    return lines[0][1:], paths, hunks


def is_poor(path: str, line: str) -> bool:
    """Whether a line is a comment, an import, a licence or punctuation, by its file's suffix."""
    suffix = path.rpartition(".")[2]
    if suffix in ("py", "pyi", "sh", "yaml", "yml", "toml"):
        return bool(_POOR_PYTHON.match(line))
    return bool(
        (_POOR_C if suffix in ("cu", "cuh", "cpp", "cc", "c", "h", "hpp", "rs", "js") else _POOR_OTHER).match(
            line
        )
    )


def faults(card: Card, paths: set[str], hunks: Hunks) -> Iterator[str]:
    poor_change = all(
        is_poor(path, line[1:]) for (path, _), lines in hunks.items() for line in lines if line[:1] in "+-"
    )
    for excerpt in card.excerpts:
        shown = excerpt.text.split("\n")
        lines = hunks.get((excerpt.path, excerpt.hunk), [])
        if lines[excerpt.at - 1 : excerpt.at - 1 + len(shown)] != shown:
            yield f"excerpt not in git: {excerpt.path} {excerpt.hunk}"
        if any(line.startswith("@@") for line in shown):
            yield "hunk header in an excerpt"
        if (
            not poor_change
            and card.without_code is None
            and all(is_poor(excerpt.path, line[1:]) for line in shown if line[:1] in "+-")
        ):
            yield f"licence, imports or comments only: {excerpt.path}"
    if not card.excerpts and card.without_code is None:
        yield "no excerpt and no reason"
    missing = paths - {f.path for f in card.files}
    if missing or len(paths) != len(card.files):
        yield f"files: {len(paths)} in git, {len(card.files)} on the card, e.g. {sorted(missing)[:2]}"
    words = re.findall(r"\w+", card.motivation.lower())
    if _TEMPLATE.search(card.motivation) or (
        words and set(words) <= set(re.findall(r"\w+", card.title.lower()))
    ):
        yield f"template motivation: {card.motivation[:60]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True, help="git directory")
    parser.add_argument("--name", required=True, help="owner/name")
    parser.add_argument("--kb", required=True)
    options = parser.parse_args()
    store = Store.open(options.kb)
    texts = store.scan("cards", ["card"], Filter(repos=(options.name,)))["card"].to_pylist()
    cards = {c.sha: c for c in map(decode_card, texts) if c.origin == "git"}

    counts: Counter[str] = Counter()
    examples: list[str] = []
    seen = excerpts = 0
    for sha, paths, hunks in commits(
        options.repo, [c.sha for c in cards.values() if c.coverage.state == "complete"]
    ):
        seen += 1
        excerpts += len(cards[sha].excerpts)
        for fault in faults(cards[sha], paths, hunks):
            counts[fault.partition(":")[0]] += 1
            examples.append(f"{cards[sha].id}: {fault}")
    print(
        f"{len(cards)} cards, {seen} read a second time from git, {excerpts} excerpts compared byte for byte"
    )
    print("\n".join(examples[:25]))
    print(", ".join(f"{n} x {what}" for what, n in counts.items()) or "git agrees with every one of them")

    sys.stdout.flush()
    started = time.perf_counter()
    defects = list(check_store(store, [c.id for c in cards.values()]))
    elapsed = time.perf_counter() - started
    print(f"gate: {len(defects)} defects in {len(cards)} cards, {len(cards) / elapsed:.0f} cards a second")
    for defect in defects[:25]:
        print(f"{defect.card}: {defect.reason}: {defect.what}")
    sys.exit(1 if counts or defects else 0)


if __name__ == "__main__":
    main()
