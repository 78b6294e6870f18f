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


def git(repo: str, *args: str, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", f"--git-dir={repo}", *args], input=stdin, capture_output=True, check=False)


def numbered_commits(repo: str, rev: str) -> list[tuple[str, int]]:
    """(commit, number) of every subject that carries a number, newest first."""
    found = []
    for line in git(repo, "log", "--format=%H %s", rev).stdout.decode("utf-8", "replace").splitlines():
        sha, _, subject = line.partition(" ")
        match = re.search(r"\(#(\d+)\)$", subject) or re.match(r"Merg\w+ (?:pull request|PR) #(\d+)", subject)
        if match:
            found.append((sha, int(match[1])))
    return found


def numstat(repo: str, shas: list[str]) -> dict[str, tuple[int, int, int]]:
    """(added, removed, files) of each commit; those that git can't read are left out."""
    counts: dict[str, tuple[int, int, int]] = {}
    rest = shas
    options = ("--numstat", "--diff-merges=first-parent")
    while rest:
        names = "".join(f"{sha}\n" for sha in rest).encode()
        done = git(repo, "log", "--no-walk=unsorted", "--stdin", *options, "--format=%x01%H", stdin=names)
        blocks = done.stdout.decode("utf-8", "replace").split("\x01")[1:]
        for block in blocks:
            sha, *lines = block.split("\n")
            rows = [line.split("\t") for line in lines if line]
            added = sum(int(row[0]) for row in rows if row[0] != "-")
            removed = sum(int(row[1]) for row in rows if row[1] != "-")
            counts[sha] = (added, removed, len(rows))
        if done.returncode == 0:
            break
        # git died in the commit it printed last, or in the one behind it
        last = rest.index(blocks[-1].split("\n")[0]) if blocks else -1
        whole = last >= 0 and git(repo, "log", "-1", *options, "--format=", rest[last]).returncode == 0
        if last >= 0 and not whole:
            del counts[rest[last]]
        rest = rest[last + (2 if whole or last < 0 else 1) :]
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repo", required=True, help="git directory")
    parser.add_argument("--name", required=True, help="owner/name")
    parser.add_argument("--kb", required=True)
    parser.add_argument("--rev", default="HEAD")
    options = parser.parse_args()
    numbered = numbered_commits(options.repo, options.rev)
    counts = numstat(options.repo, [sha for sha, _ in numbered])

    store = Store.open(options.kb)
    where = Filter(repos=(options.name,))
    texts = store.scan("cards", ["card"], where)["card"].to_pylist()
    cards = {card.number: card for card in map(decode_card, texts) if card.origin == "git"}
    duplicates = Counter(store.scan("commits", ["outcome"], where)["outcome"].to_pylist())["duplicate"]
    wrong = []
    if len(numbered) - duplicates != len(cards):
        wrong.append("the counts do not add up")
    for number, sha in {number: sha for sha, number in numbered}.items():  # the oldest stays
        card = cards.get(number)
        if card is None:
            wrong.append(f"#{number} has no card")
        elif card.sha != sha:
            wrong.append(f"#{number} is {card.sha[:10]}, the first merged is {sha[:10]}")
        elif sha not in counts:
            if card.coverage.state != "missing":
                wrong.append(f"#{number}: git can't read the diff, the card says {card.coverage.state}")
        elif (card.additions, card.deletions, card.coverage.files_total) != counts[sha]:
            wrong.append(f"#{number}: card {card.additions}/{card.deletions}, git {counts[sha]}")
    unread = len({sha for sha, _ in numbered} - counts.keys())
    print(
        f"{len(numbered)} numbered subjects, {len(cards)} cards, {duplicates} reported duplicates, {unread} unreadable"
    )
    print("\n".join(wrong[:20]) or "every card agrees with git log --numstat")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
