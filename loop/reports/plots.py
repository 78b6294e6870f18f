"""Pictures of a campaign: gains with intervals, and the pairs behind them. Needs matplotlib (`prlore[plots]`)."""

from __future__ import annotations

import math
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loop.records import Comparison
from loop.reports.story import Story
from loop.stats.compare import pairs_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"FASTER": "#1b7837", "SLOWER": "#b2182b", "TIED": "#666666", "UNDECIDED": "#999999"}


def missing() -> str:
    """Why nothing can be drawn, empty when it can."""
    return (
        ""
        if find_spec("matplotlib")
        else "No plots: `pip install 'prlore[plots]'`, then `prlore loop report`."
    )


def draw(story: Story, into: Path) -> None:
    """Write gains.svg and pairs.svg; the same campaign gives the same files."""
    import matplotlib as mpl

    found = list(story.comparisons.values())
    if not found:
        return
    into.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"svg.hashsalt": "prlore", "font.size": 8, "savefig.bbox": "tight"}):
        _figure(into / "gains.svg", (7, 0.3 * len(found) + 1), lambda axes: _gains(axes, found))
        shown = [c for c in found if c.kind in ("aa", "measure", "confirm", "gap")][-12:]
        _figure(into / "pairs.svg", (7, 0.4 * len(shown) + 1), lambda axes: _pairs(axes, story, shown))


def _figure(path: Path, size: tuple[float, float], fill: Any) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    fill(figure.subplots())
    figure.savefig(path, metadata={"Date": None})


def _percent(value: float) -> float:
    return 100 * math.expm1(value)


def _gains(axes: Axes, found: list[Comparison]) -> None:
    for place, one in enumerate(reversed(found)):
        colour = _COLOURS[one.verdict]
        axes.plot([_percent(one.low), _percent(one.high)], [place, place], color=colour, linewidth=2)
        axes.plot([_percent(one.mean)], [place], "o", color=colour, markersize=4)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(range(len(found)), [f"{one.key} ({one.n})" for one in reversed(found)])
    axes.set_xlabel("gain of B over A, % (BCa interval over server starts; pairs in brackets)")


def _pairs(axes: Axes, story: Story, found: list[Comparison]) -> None:
    for place, one in enumerate(reversed(found)):
        blocks = [story.blocks[digest] for digest in one.blocks]
        pairs = pairs_of(blocks, one.metric)
        values = [_percent(pair.value) for pair in pairs if pair.valid]
        axes.plot(values, [place] * len(values), "|", color=_COLOURS[one.verdict], markersize=9)
    axes.axvline(0, color="black", linewidth=0.6)
    axes.set_yticks(range(len(found)), [one.key for one in reversed(found)])
    axes.set_xlabel("gain of each pair, %")
