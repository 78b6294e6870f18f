"""The files of our skill: the shipped text, and the manuals of chosen families as references."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kb.datafiles import data_file
from kb.manuals.manual import held_evidence, write_manual
from kb.references import ENGINES
from kb.reports.manuals import manual_markdown
from kb.reports.skills import SkillError, check_skill, skill_name
from kb.store import Store
from kb.trees.choose import choose_tree

SKILL = "prlore"


class Wanted(NamedTuple):
    """A family in an engine."""

    family: str
    engine: str


def wanted(text: str) -> Wanted:
    """`deepseek-v3` or `vllm:ernie45`.

    Raises:
        SkillError: the engine is none.
    """
    engine, _, family = text.rpartition(":")
    if engine not in ("", *ENGINES):
        raise SkillError(
            f"--family {text!r}: write it as FAMILY or ENGINE:FAMILY, engine one of {', '.join(ENGINES)}"
        )
    return Wanted(family, engine or "sglang")  # fmt: skip


def skill_bundle(store: Store | None, families: Iterable[Wanted], checkout: Path | None) -> dict[str, str]:
    """The files by path below the skill's folder.

    Args:
        store: for the manuals; not needed without families.
        families: whose manuals go along.
        checkout: a clone in which paths and symbols are looked up.

    Raises:
        SkillError: the skill format does not allow the result.
        PrloreError: no card is about a family.
    """
    try:
        text = data_file("skill", "SKILL.md").read_text("utf-8")
    except OSError as exc:
        raise SkillError(f"can't read the shipped skill: {exc.strerror}: reinstall prlore") from exc
    files, rows = {}, []
    for family, engine in families:
        assert store is not None
        evidence = held_evidence(store, family, engine)
        with choose_tree(ENGINES[engine], checkout, "", lambda: store, evidence.indexed) as tree:
            manual = write_manual(store, evidence, tree)
        path = f"references/{skill_name(manual)}.md"
        files[path] = manual_markdown(manual)
        rows.append(f"- {manual.name} in {engine}, {len(evidence.cards)} pull requests: [{path}]({path})")
    if rows:
        text += "\n## Family manuals\n\nRead one before work on its model.\n\n" + "\n".join(rows) + "\n"
    files["SKILL.md"] = text
    check_skill(files, SKILL)
    return files
