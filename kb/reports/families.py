"""Families and what no family covers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kb.family_views import FamilyCount, FamilyView, UnmatchedFile
from kb.references import engine_of
from kb.reports.safe import one_line


def families_text(counts: Sequence[FamilyCount]) -> str:
    """Families that have cards, and how many have none."""
    held = [c for c in counts if c.cards]
    width = max((len(c.slug) for c in held), default=0)
    lines = [f"{c.slug:<{width}}  {c.cards:>6}  {c.name}" for c in held]
    return "\n".join([*lines, f"{len(held)} families with cards, {len(counts) - len(held)} without"])


def family_json(view: FamilyView) -> dict[str, Any]:
    """One family or group."""
    return {
        "families": [
            {"slug": f.slug, "name": f.name, "group": f.group, "aliases": list(f.aliases), "paths": list(f.paths),
             "shared": list(f.shared), "classes": list(f.classes)}
            for f in view.entries
        ],
        "cards": view.cards,
        "by_engine": dict(view.by_engine),
        "by_kind": dict(view.by_kind),
        "hot_files": [{"path": p, "cards": n} for p, n in view.hot_files],
        "latest": [{"id": i, "day": d, "title": t} for i, d, t in view.latest],
    }  # fmt: skip


def family_text(view: FamilyView) -> str:
    """One family or group for people."""
    lines = [
        ", ".join(f"{f.name} ({f.slug})" for f in view.entries[:6])
        + (f" and {len(view.entries) - 6} more" if len(view.entries) > 6 else "")
    ]
    lines.append(f"{view.cards} cards: " + ", ".join(f"{e} {n}" for e, n in view.by_engine))
    if view.by_kind:
        lines.append("kinds: " + ", ".join(f"{k} {n}" for k, n in view.by_kind))
    if view.hot_files:
        lines += ["files touched most:", *(f"  {n:>5}  {one_line(p)}" for p, n in view.hot_files)]
    if view.latest:
        lines += ["latest:", *(f"  {d or 'unknown   '}  {i}  {one_line(t)}" for i, d, t in view.latest)]
    if view.cards and view.entries:
        lines.append(
            f"the manual: prlore family {view.entries[0].slug}"
            + ("" if len(view.entries) == 1 else " (and so on)")
        )
    return "\n".join(lines)


def unmatched_text(files: Sequence[UnmatchedFile]) -> str:
    """Model files of no family."""
    lines = [f"{f.cards:>5}  {engine_of(f.repo)}  {one_line(f.path)}" for f in files]
    return "\n".join(
        [*lines, f"{len(files)} model files no family covers; an entry in data/families.yaml mends each"]
    )
