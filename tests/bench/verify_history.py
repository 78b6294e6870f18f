"""Compare a store with its history, pull request by pull request, by a second reading of git.

    python tests/bench/verify_history.py --repo ~/src/sglang --name sgl-project/sglang --kb /tmp/kb

Numbers are read from subjects by a plain pattern, counts from `git log --numstat` with git's own defaults. Exits 1
where anything disagrees.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections import Counter

from kb.cards import decode_card
from kb.filters import Filter
from kb.store import Store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True, help="git directory")
    parser.add_argument("--name", required=True, help="owner/name")
    parser.add_argument("--kb", required=True)
    parser.add_argument("--rev", default="HEAD")
    options = parser.parse_args()

    argv = ["git", f"--git-dir={options.repo}", "log", "--numstat", "--first-parent", "-m", "--format=\x01%H %s"]
    counts: dict[str, tuple[int, int, int]] = {}
    numbered: list[tuple[str, int]] = []
    sha = ""
    with subprocess.Popen([*argv, options.rev], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip("\n")
            if line.startswith("\x01"):
                sha, _, subject = line[1:].partition(" ")
                counts[sha] = (0, 0, 0)
                found = re.search(r"\(#(\d+)\)$", subject) or re.match(r"Merg\w+ (?:pull request|PR) #(\d+)", subject)
                if found:
                    numbered.append((sha, int(found[1])))
            elif line:
                added, removed, _ = line.split("\t", 2)
                a, r, n = counts[sha]
                counts[sha] = (a + int(added if added != "-" else 0), r + int(removed if removed != "-" else 0), n + 1)

    store = Store.open(options.kb)
    where = Filter(repos=(options.name,))
    cards = {}
    for text in store.scan("cards", ["card"], where)["card"].to_pylist():
        card = decode_card(text)
        cards[card.number] = card
    outcomes = Counter(store.scan("commits", ["outcome"], where)["outcome"].to_pylist())
    print(f"{len(numbered)} numbered subjects, {len(cards)} cards, {outcomes['duplicate']} reported duplicates")
    wrong = []
    if len(numbered) - outcomes["duplicate"] != len(cards):
        wrong.append("the counts do not add up")
    first = {number: sha for sha, number in numbered}  # the log is newest first: the oldest stays
    for number, sha in first.items():
        card = cards.get(number)
        if card is None:
            wrong.append(f"#{number} has no card")
        elif card.sha != sha:
            wrong.append(f"#{number} is {card.sha[:10]}, the first merged is {sha[:10]}")
        elif (card.additions, card.deletions, card.coverage.files_total) != counts[sha]:
            wrong.append(f"#{number}: card {card.additions}/{card.deletions}, git {counts[sha]}")
    print("\n".join(wrong[:20]) or "every card agrees with git log --numstat")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
