"""Components in a row, and the axes of the beats between them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from lutwright.frontend.ir import Array, Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.moves import OUTSIDE
from lutwright.hdl.rearrange import Reorder
from lutwright.hdl.unit import Unit
from lutwright.hdl.winograd.combination import Combination


class Chain:
    """Components by name, each taking what the one before gives: beats along axes of `sizes`, of `lanes` elements each.

    `kind`: the interval of the elements.
    """

    def __init__(self, sizes: Sequence[int], kind: Type, lanes: int) -> None:
        self.parts: dict[str, Unit] = {}
        self.sizes, self.kind, self.lanes = list(sizes), kind, lanes

    @property
    def type(self) -> Type:
        """Of what the last one gives."""
        return Type((*self.sizes, self.lanes), self.kind.lo, self.kind.hi)

    def view(self, *sizes: int) -> None:
        """The same beats along other axes."""
        assert math.prod(sizes) == math.prod(self.sizes), f"{sizes} must hold as many beats as {self.sizes}"
        self.sizes = list(sizes)

    def add(self, name: str, part: Unit, kind: Type) -> None:
        """A component that gives a beat for each, in their order."""
        self.parts[name], self.kind = part, kind

    def turn(self, name: str, *order: int) -> None:
        """The axes in another order: nothing, where they only seem to move."""
        moving = [axis for axis in order if self.sizes[axis] > 1]
        before, strides = self.type, [math.prod(self.sizes[axis + 1 :]) for axis in range(len(self.sizes))]
        offsets = [np.arange(self.sizes[axis]) * strides[axis] for axis in order]
        self.sizes = [self.sizes[axis] for axis in order]
        if moving != sorted(moving):
            self._reorder(name, before, offsets)

    def extend(self, name: str, *sizes: int) -> None:
        """Axes made longer, by beats of 0."""
        if list(sizes) == self.sizes:
            return
        before, strides = self.type, [math.prod(self.sizes[axis + 1 :]) for axis in range(len(self.sizes))]
        offsets = [
            np.pad(np.arange(size) * stride, (0, wanted - size), constant_values=OUTSIDE)
            for size, stride, wanted in zip(self.sizes, strides, sizes, strict=True)
        ]
        self.sizes = list(sizes)
        self._reorder(name, before, offsets)

    def combine(self, name: str, matrix: Array, kind: Type, shift: int = 0) -> None:
        """A matrix times the vectors along the last axis."""
        self.parts[name] = Combination(self.type, matrix, kind, shift)
        self.sizes, self.kind = [*self.sizes[:-1], len(matrix)], kind

    def _reorder(self, name: str, before: Type, offsets: list[Array]) -> None:
        self.parts[name] = Reorder(Beats(before, self.lanes), Beats(self.type, self.lanes), offsets)
