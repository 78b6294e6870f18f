"""What changed and how it runs, in two to six statements that the diff itself proves."""

from __future__ import annotations

import re
from collections import Counter

from kb.critique.calls import Edge, FileFlow
from kb.critique.patch import Line, Patch, PatchFile

_MOST = 6
_CONDITION = re.compile(
    r"^\s*(?:if|elif|assert|while)\b\s*(.{6,90}?)\s*:?\s*$|^\s*(?:if|while)\s*\((.{4,90})\)\s*\{?\s*$"
)
_NAMED = 4


def statements(patch: Patch, flow: list[FileFlow]) -> list[str]:
    """Two to six statements, the widest first; names of code in backticks."""
    made = [
        _shape(patch),
        *_new_definitions(patch),
        *_changed_calls(flow),
        *_settings(patch),
        *_conditions(patch),
    ]
    reach = _reach(patch)
    made = made[: _MOST - 1] if reach else made[:_MOST]
    made += [reach] if reach else []
    if len(made) < 2:
        made.append(_largest(patch))
    return made


def _shape(patch: Patch) -> str:
    added, removed = sum(f.added for f in patch.files), sum(f.removed for f in patch.files)
    groups = Counter(f.group for f in patch.files)
    listed = ", ".join(f"{n} {g}" for g, n in sorted(groups.items(), key=lambda i: (-i[1], i[0])))
    files = "file" if len(patch.files) == 1 else "files"
    return f"{len(patch.files)} {files} (+{added} −{removed} lines): {listed}."


def _new_definitions(patch: Patch) -> list[str]:
    found: list[tuple[int, str, PatchFile]] = []
    for f in patch.files:
        if f.group in ("runtime", "kernel"):
            found += [
                (s.end - s.start, s.name, f)
                for s in f.symbols
                if s.change == "introduced" and s.kind != "macro"
            ]
    if not found:
        return []
    outer = [t for t in found if not any(t[1].startswith(o[1] + ".") and t[2] is o[2] for o in found)]
    outer.sort(key=lambda t: (-t[0], t[1]))
    named = ", ".join(f"`{name}` (`{f.path}`)" for _, name, f in outer[:_NAMED])
    more = f" and {len(outer) - _NAMED} more" if len(outer) > _NAMED else ""
    return [f"New: {named}{more}."]


def _changed_calls(flow: list[FileFlow]) -> list[str]:
    """For the definitions whose calls changed most: what they call now and what no more."""
    by_caller: dict[tuple[str, str], list[Edge]] = {}
    for f in flow:
        for e in f.edges:
            if (e.is_new or e.is_gone) and e.caller in f.changed:
                by_caller.setdefault((f.path, e.caller), []).append(e)
    ranked = sorted(by_caller.items(), key=lambda i: (-len({e.callee for e in i[1]}), i[0]))
    made = []
    for (path, caller), edges in ranked[:2]:
        new = list(dict.fromkeys(e.callee for e in edges if e.is_new))
        gone = [c for c in dict.fromkeys(e.callee for e in edges if e.is_gone) if c not in new]
        parts = []
        if new:
            parts.append(
                "now calls " + ", ".join(f"`{c}`" for c in new[:_NAMED]) + (" …" if len(new) > _NAMED else "")
            )
        if gone:
            parts.append("no longer calls " + ", ".join(f"`{c}`" for c in gone[:_NAMED]))
        made.append(f"`{caller}` (`{path}`) {' and '.join(parts)}.")
    return made


def _settings(patch: Patch) -> list[str]:
    facts = patch.facts
    parts = []
    for label, names in (
        ("adds flag", facts.flags_added), ("removes flag", facts.flags_removed), ("reads variable", facts.env_added),
        ("drops variable", facts.env_removed), ("adds setting", facts.config_added), ("drops setting", facts.config_removed),
    ):  # fmt: skip
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            parts.append(f"{label} {', '.join(f'`{n}`' for n in names[:3])}{more}")
    return ["Settings: " + "; ".join(parts) + "."] if parts else []


def _conditions(patch: Patch) -> list[str]:
    """New branches: under which condition the changed code runs."""
    found: list[tuple[str, str, Line]] = []
    for f in patch.files:
        if f.group in ("runtime", "kernel") and f.status != "added":
            for h in f.hunks:
                found += [
                    (c, h.symbol, r)
                    for r in h.lines
                    if r.mark == "+" and r.kind == "code" and (c := _condition(r.text))
                ]
    if not found:
        return []
    shown = [f"`{c.replace('`', '')}`" + (f" in `{s}`" if s else "") for c, s, _ in found[:2]]
    more = f" ({len(found) - 2} more new branches)" if len(found) > 2 else ""
    return [f"New branch on {'; on '.join(shown)}{more}."]


def _condition(text: str) -> str:
    match = _CONDITION.match(text)
    return (match[1] or match[2] or "").strip() if match else ""


def _reach(patch: Patch) -> str:
    areas = patch.areas
    if not areas:
        return ""
    named = ", ".join(list(areas)[:4])
    return f"Reaches every model or request through: {named}."


def _largest(patch: Patch) -> str:
    hunks = sorted(patch.hunks, key=lambda h: (-(h.hunk.added + h.hunk.removed), h.path, h.hunk.new_start))
    if not hunks:
        return "No line changes: names, modes or binary content only."
    first = hunks[0]
    where = f" in `{first.symbol}`" if first.symbol else ""
    return f"The largest hunk is +{first.hunk.added} −{first.hunk.removed} lines{where} of `{first.path}`."
