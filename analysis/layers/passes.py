"""Forward passes and their layers, as they ran."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.layers.model import Model
from analysis.layers.rows import Rows, Run
from analysis.steps import Stage
from analysis.trace import Bools, Ints, Trace

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Layer:
    """One layer as it ran. Times are ns from the trace's first event.

    Attributes:
        index: from 0 in its pass.
        kind: `mixer+mlp`, from the configuration where there is one and it fits, else from the kernels.
        start_ns, end_ns: first kernel's start, last kernel's end.
        kernel_ns: sum of its kernels' times.
        communication_ns: the part of it that is collectives.
        kernels: how many.
        mlp_at: place in `rows` where the MLP half starts.
    """

    index: int
    kind: str
    start_ns: int
    end_ns: int
    kernel_ns: int
    communication_ns: int
    kernels: int
    mlp_at: int
    first: int
    run: Run

    @property
    def rows(self) -> Ints:
        """Its kernels in order of start."""
        return self.run.all[self.first : self.first + self.kernels]

    @property
    def wall_ns(self) -> int:
        """From its first kernel's start to its last kernel's end."""
        return self.end_ns - self.start_ns


# a layer in a pass; places are in the pass's run, `kind` in its kinds
SPAN = np.dtype(
    [("first", "<i4"), ("kernels", "<i4"), ("mlp", "<i4"), ("kind", "<i2"), ("start", "<i8"), ("end", "<i8"),
     ("kernel", "<i8"), ("communication", "<i8")]
)  # fmt: skip


class Layers(Sequence[Layer]):
    """The layers of a pass, held as numbers: a long trace has many.

    Attributes:
        spans: an array of `SPAN`.
        kinds: what its kinds stand for.
    """

    __slots__ = ("kinds", "run", "spans")

    def __init__(self, run: Run, spans: NDArray[Any], kinds: tuple[str, ...]) -> None:
        self.run, self.spans, self.kinds = run, spans, kinds

    @property
    def wall(self) -> Ints:
        """Wall time of each layer in ns."""
        wall: Ints = self.spans["end"] - self.spans["start"]
        return wall

    def is_kind(self, kind: str) -> Bools:
        """Whether layers are of a kind."""
        fits: Bools = np.array([known == kind for known in self.kinds], np.bool_)
        return np.take(fits, self.spans["kind"])

    def of(self, kind: str) -> NDArray[Any]:
        """The spans of one kind."""
        return self.spans[self.is_kind(kind)]

    def __len__(self) -> int:
        return len(self.spans)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        first, kernels, mlp, kind, start, end, kernel, communication = self.spans[index].item()
        number = range(len(self))[index]
        return Layer(
            number, self.kinds[kind], start, end, kernel, communication, kernels, mlp, first, self.run
        )


@dataclass(frozen=True)
class ForwardPass:
    """One forward pass.

    Attributes:
        index: on its device, from 0.
        step: number of the step, None where the trace names none.
        name: the step's name.
        first_ns, last_ns: all kernels of the pass, with embedding, head and sampling.
        whole: it has as many layers as the model or, without a configuration, as others of its stage.
    """

    index: int
    device: int
    step: int | None
    stage: Stage
    name: str
    layers: Layers
    first_ns: int
    last_ns: int
    whole: bool

    @property
    def start_ns(self) -> int:
        """Start of the first layer."""
        return int(self.layers.spans["start"][0])

    @property
    def end_ns(self) -> int:
        """End of the last layer to end."""
        return int(self.layers.spans["end"].max())

    @property
    def wall_ns(self) -> int:
        """From the first layer's start to the last layer's end."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Layered:
    """The passes of a trace.

    Attributes:
        passes: by device, then time.
        model: what they were checked against.
        warnings: where passes and configuration differ, and what was not searched.
    """

    trace: Trace
    rows: Rows
    passes: tuple[ForwardPass, ...]
    model: Model | None
    warnings: tuple[str, ...]
