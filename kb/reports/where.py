"""Answers of the source map for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.trees import Fate
from kb.reports.safe import inline_code, markdown_text, one_line
from kb.sourcemap.resolve import AnchorFound, Answer, PlaceFound, TopicFound
from kb.sourcemap.topics import SourceMap, Topic


def fate_text(path: str, fate: Fate) -> str:
    """What became of a path, as one sentence; inert in a terminal."""
    to = ", ".join(one_line(t) for t in fate.to)
    when = f" on {fate.day} by {one_line(fate.subject)}" if fate.subject else ""
    names = f" ({', '.join(one_line(n) for n in fate.names[:4])})" if fate.names else ""
    return f"{one_line(path)} " + {
        "moved": f"moved to {to}{when}",
        "removed": f"was removed{when}" + (f"; its names{names} are now in {to}" if to else "; nothing defines its names now"),
        "older-name": f"is a later name{when}: here it is {to}",
        "not-yet": f"is not there yet, it comes{when}" + (f"; its names{names} are in {to}" if to else ""),
        "unknown": "is in no commit of this history",
    }[fate.kind]  # fmt: skip


def where_text(answer: Answer) -> str:
    """An answer for a terminal."""
    return "\n".join([one_line(answer.tree), *_lines(answer, markdown=False)])


def where_markdown(answer: Answer) -> str:
    """An answer as Markdown."""
    return "\n".join([f"_{markdown_text(answer.tree)}_", *_lines(answer, markdown=True)])


def _lines(answer: Answer, *, markdown: bool) -> Iterator[str]:
    bullet = "- " if markdown else "  "
    if answer.path:
        path, here, fate = answer.path
        yield ""
        yield bullet + (
            _place(here, markdown) if here else _sentence(path, fate or Fate("unknown"), markdown)
        )
    for topic in answer.topics:
        yield ""
        yield ("## " if markdown else "") + _heading(topic)
        if markdown:
            yield ""
        yield from _anchors(topic, markdown)
    if answer.names:
        yield from ("", "## defined" if markdown else "defined", *([""] if markdown else []))
        for place in answer.names:
            line = f":{place.line}" if place.line else ""
            yield (
                bullet
                + (inline_code(place.path + line) if markdown else f"{one_line(place.path)}{line}")
                + f" {one_line(place.name)}"
            )
    if answer.files:
        yield from (
            "",
            "no topic of the map; paths with these words" + (":" if not markdown else ":\n"),
        )
        yield from (bullet + (inline_code(f) if markdown else one_line(f)) for f in answer.files)


def _heading(topic: TopicFound) -> str:
    return f"{topic.item.name}" + ("" if isinstance(topic.item, Topic) else ", step by step")


def _anchors(topic: TopicFound, markdown: bool) -> Iterator[str]:
    if not topic.anchors:
        yield ("- " if markdown else "  ") + "this engine has no such thing in the map"
    for number, anchor in enumerate(topic.anchors, start=1):
        mark = "- " if isinstance(topic.item, Topic) else f"{number}. "
        yield f"{mark if markdown or mark != '- ' else '  '}{anchor.what or topic.item.name}{_how(anchor)}"
        indent = "  " if markdown and mark == "- " else "   " if markdown else "    "
        for place in anchor.places:
            yield f"{indent}{'- ' if markdown else ''}{_place(place, markdown)}"
        if anchor.more:
            yield f"{indent}{'- ' if markdown else ''}and {anchor.more} more"
        for path, fate in anchor.gone:
            yield f"{indent}{'- ' if markdown else ''}{_sentence(path, fate, markdown)}"


def _how(anchor: AnchorFound) -> str:
    return {
        "path": "",
        "name": " (elsewhere; found by its names)",
        "history": " (followed through the history)",
        "nothing": ": not in this tree",
    }[anchor.by]


def _sentence(path: str, fate: Fate, markdown: bool) -> str:
    text = fate_text(path, fate)
    return markdown_text(text) if markdown else text


def _place(place: PlaceFound, markdown: bool) -> str:
    name = place.path + ("/" if place.files else "")
    shown = inline_code(name) if markdown else one_line(name)
    if place.files:
        shown += f" ({place.files} files)"
    defined = [
        f"{line.name} {'' if line.path == place.path else line.path[len(place.path) + 1 :]}:{line.line}".replace(" :", ":")
        if line.line
        else line.name
        for line in place.lines
    ]  # fmt: skip
    if defined:
        shown += ": " + ", ".join(inline_code(d) if markdown else one_line(d) for d in defined)
    return shown


def where_json(answer: Answer) -> dict[str, Any]:
    """An answer as one object."""
    path = None
    if answer.path:
        name, here, fate = answer.path
        path = {"path": name, "here": here is not None, "fate": _fate(fate) if fate else None}
    return {
        "question": answer.question,
        "tree": answer.tree,
        "answered": answer.answered,
        "path": path,
        "topics": [_topic(t) for t in answer.topics],
        "names": [{"name": p.name, "path": p.path, "line": p.line or None} for p in answer.names],
        "files": list(answer.files),
    }


def _topic(topic: TopicFound) -> dict[str, Any]:
    return {
        "id": topic.item.id,
        "name": topic.item.name,
        "kind": "topic" if isinstance(topic.item, Topic) else "task",
        "score": topic.score,
        "anchors": [
            {
                "what": a.what,
                "found_by": a.by,
                "places": [
                    {
                        "path": p.path,
                        "files": p.files or None,
                        "names": [{"name": d.name, "path": d.path, "line": d.line or None} for d in p.lines],
                    }
                    for p in a.places
                ],
                "more": a.more,
                "gone": [{"path": p, **_fate(f)} for p, f in a.gone],
            }
            for a in topic.anchors
        ],
    }


def _fate(fate: Fate) -> dict[str, Any]:
    return {"fate": fate.kind, "to": list(fate.to), "day": fate.day, "by": fate.subject}


def topics_text(source_map: SourceMap) -> str:
    """All topics and tasks of an engine's map."""
    rows = [(t.id, t.name) for t in source_map.topics if source_map.anchors(t.id)]
    rows += [(t.id, t.name) for t in source_map.tasks if source_map.engine in t.engines]
    width = max(len(i) for i, _ in rows)
    return "\n".join(f"{i:<{width}}  {name}" for i, name in rows)
