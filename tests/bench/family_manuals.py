"""Are the manuals of real histories true, and how long do they take?

    python tests/bench/family_manuals.py --kb STORE --git sglang=CLONE --git vllm=CLONE [--out DIR] [FAMILY ...]

For each family and engine, read from the Markdown as a reader sees it, against git itself:
every path in backticks is in the tree of the indexed commit, or is said to be an older name, gone, or not in the tree;
every `name:line` under a file stands on that line of it; every pull request named is in the store; the skill folder obeys the
format. The manuals of Moss-VL and Ernie4.5 have to carry the facts of the older hand-written ones. The baseline printed with
each is how many paths of the same pull requests, taken as they were merged, the tree lacks.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from kb.families import FamilyError
from kb.manuals.manual import Manual, held_evidence, write_manual
from kb.references import ENGINES
from kb.reports.manuals import manual_markdown
from kb.reports.skills import write_skill
from kb.store import Store
from kb.trees.git import open_git_tree

FAMILIES = ("moss-vl", "ernie45", "qwen3", "deepseek-v3")
FACTS = {
    ("moss-vl", "sglang"): ("grid_thw", "media_nums_per_sample", "visible_frame_counts", "vision_position_ids", "encoder_cached",
                            "requires flashinfer prefill attention backend", "cross_attention_custom_mask"),
    ("ernie45", "sglang"): ("Original text route", "fused Triton route", "cached cos/sin route", "#15679", "#18856", "#19743"),
    ("ernie45", "vllm"): ("Original rotary route", "#22514"),
}  # fmt: skip
_PATH = re.compile(r"`([\w.+@-]+(?:/[\w.+@-]+)+\.\w+)(?::\d+(?:-\d+)?)?`")


def git(clone: Path, *args: str) -> str:
    """Output of git."""
    return subprocess.run(["git", "-C", str(clone), *args], capture_output=True, check=True, text=True).stdout


def wrong_paths(text: str, tree: set[str]) -> list[str]:
    """Paths that are not in the tree and of which the line does not say so."""
    ends: dict[str, set[str]] = {}
    for path in tree:
        parts = path.split("/")
        for start in range(len(parts) - 1):
            ends.setdefault("/".join(parts[start:]), set()).add(path)
    excused = set(re.findall(r"was ((?:`[^`]+`(?:, )?)+)", text))
    older = {p for group in excused for p in re.findall(r"`([^`]+)`", group)}
    gone = "\n".join(
        re.findall(r"(?m)^- .*(?: was removed | moved to | is not there yet | is in no commit ).*$", text)
    ).replace("\\", "")
    found = []
    for line in text.split("## The same family in other engines")[
        0
    ].splitlines():  # there it says that none was looked up
        for match in _PATH.finditer(line):
            path = match[1]
            said = (
                path in older
                or path in gone
                or line[match.end() :].startswith(" (not in this tree)")
                or "is gone (" in line
            )
            if path not in ends and not said:
                found.append(f"{path}: {line[:120]}")
    return found


def wrong_lines(manual: Manual, clone: Path, revision: str) -> list[str]:
    """Definitions whose line of the file does not hold their name."""
    found = []
    for file in manual.places.runtime:
        content = git(clone, "show", f"{revision}:{file.path}").split("\n") if file.symbols else []
        found += [f"{file.path}:{s.line} {s.name}" for s in file.symbols if s.name not in content[s.line - 1]]
    return found


def unknown_pulls(text: str, store: Store) -> list[str]:
    """Pull requests under links that no card describes."""
    ids = {f"{r}#{n}" for r, n in re.findall(r"\(https://github\.com/([\w.-]+/[\w.-]+)/pull/(\d+)\)", text)}
    held = set(store.cards_by_id(sorted(ids), ["id"])["id"].to_pylist())
    return sorted(ids - held)


def main() -> int:
    """Write and check all; the exit status says whether everything was true."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kb", required=True)
    parser.add_argument("--git", action="append", required=True, metavar="ENGINE=CLONE")
    parser.add_argument("--out", type=Path)
    parser.add_argument("families", nargs="*", default=list(FAMILIES))
    options = parser.parse_args()
    store, bad = Store.open(options.kb), 0
    for engine, _, place in (pair.partition("=") for pair in options.git):
        clone = Path(place)
        for name in options.families:
            started, cpu = time.perf_counter(), time.process_time()
            try:
                evidence = held_evidence(store, name, engine)
            except FamilyError as exc:
                print(f"{name} {engine}: {exc}")
                continue
            with open_git_tree(ENGINES[engine], clone, evidence.indexed or "HEAD") as tree:
                manual = write_manual(store, evidence, tree)
                revision = tree.revision
            text = manual_markdown(manual)
            took, cpu = time.perf_counter() - started, time.process_time() - cpu
            paths = set(git(clone, "ls-tree", "-r", "-z", "--name-only", revision).split("\0")) - {""}
            merged = {f.path for c in evidence.cards for f in c.own}
            faults = [f"path {p}" for p in wrong_paths(text, paths)]
            faults += [f"line {p}" for p in wrong_lines(manual, clone, revision)]
            faults += [f"no card {p}" for p in unknown_pulls(text, store)]
            faults += [f"lacks {fact!r}" for fact in FACTS.get((name, engine), ()) if fact not in text]
            with tempfile.TemporaryDirectory() as scratch:
                skill = write_skill(manual, options.out or Path(scratch))
                body, history = (
                    (skill / p).read_text("utf-8").count("\n")
                    for p in ("SKILL.md", "references/pr-history.md")
                )
            if options.out:
                (options.out / f"{name}-{engine}.md").write_text(text, "utf-8")
            print(
                f"{name} {engine}: {len(evidence.cards)} pull requests, {text.count(chr(10))} lines, {len(text) // 1024} KiB, "
                f"{len(set(_PATH.findall(text)))} paths, SKILL.md {body} lines, history {history} lines; {took:.1f} s ({cpu:.1f} s CPU); "
                f"as merged {len(merged - paths)} of {len(merged)} own paths would be wrong; faults {len(faults)}"
            )
            for fault in faults[:12]:
                print(f"  {fault}")
            bad += len(faults)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
