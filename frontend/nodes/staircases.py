"""Functions of one element: staircases (Threshold) and any other function (Table, Embedding); ArgMax over channels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array, Node, Type


@dataclass(frozen=True, eq=False)
class Threshold(Node):
    """y[..., c] = base[c] + step[c] * count over t of (x[..., c] >= thresholds[c, t]).

    thresholds: int64 [C, T], ascending along T (equal values make a step of more than one); base: int64 [C];
    step: int64 [C], each +1 or -1. C is the number of channels of x, or 1 for all channels alike.
    """

    thresholds: Array
    base: Array
    step: Array

    @classmethod
    def of(cls, name: str, source: Node, thresholds: Array, base: Array, step: Array) -> Threshold:
        node = cls(name, (source.name,), source.type, thresholds, base, step)
        return cls(name, (source.name,), node.infer(source.type), thresholds, base, step)

    @classmethod
    def fit(cls, name: str, source: Node, points: Array, levels: Array) -> Threshold | None:
        """The staircase with the value levels[c, i] from points[c, i] on; None if a row is not monotone.

        Both are [C, I], points ascending from the lower end of the source's interval; those beyond it are ignored.
        Rows with fewer thresholds than others are filled up with the first integer beyond the interval.
        """
        rows, base, step = list[Array](), list[int](), list[int]()
        for row_points, row_levels in zip(points, levels, strict=True):
            inside = row_points <= source.type.hi
            rises = np.diff(row_levels[inside])
            if (rises > 0).any() and (rises < 0).any():
                return None
            rows.append(np.repeat(row_points[inside][1:], np.abs(rises)))
            base.append(int(row_levels[0]))
            step.append(-1 if (rises < 0).any() else 1)
        thresholds = np.full((len(rows), max(map(len, rows))), source.type.hi + 1, np.int64)
        for index, row in enumerate(rows):
            thresholds[index, : len(row)] = row
        return cls.of(name, source, thresholds, np.array(base, np.int64), np.array(step, np.int64))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        count = np.empty_like(x)
        for channel in range(x.shape[-1]):
            levels = self.thresholds[channel % len(self.thresholds)]
            count[..., channel] = np.searchsorted(levels, x[..., channel], side="right")
        return np.asarray(self.base + self.step * count)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        rows = len(self.thresholds)
        if rows not in (1, x.channels) or len(self.base) != rows or len(self.step) != rows:
            raise GraphError(f"'{self.name}' has {rows} rows of thresholds, its input {x.channels} channels")
        if (np.diff(self.thresholds, axis=1) < 0).any():
            raise GraphError(f"'{self.name}' must have ascending thresholds")
        if not np.isin(self.step, (-1, 1)).all():
            raise GraphError(f"'{self.name}' must have steps of +1 or -1")
        ends = [self.base + self.step * (self.thresholds <= value).sum(axis=1) for value in (x.lo, x.hi)]
        return Type(x.shape, int(np.min(ends)), int(np.max(ends)))


@dataclass(frozen=True, eq=False)
class Table(Node):
    """y[..., c] = values[c, x[..., c] - lo], lo the lower end of the input's interval.

    values: int64 [C, hi - lo + 1]; C is the number of channels of x, or 1 for all channels alike.
    """

    values: Array
    lo: int

    @classmethod
    def of(cls, name: str, source: Node, values: Array) -> Table:
        node = cls(name, (source.name,), source.type, values, source.type.lo)
        return cls(name, (source.name,), node.infer(source.type), values, source.type.lo)

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        rows = np.arange(x.shape[-1]) % len(self.values)
        return np.asarray(self.values[rows, x - self.lo])

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        rows, entries = self.values.shape
        if rows not in (1, x.channels):
            raise GraphError(f"'{self.name}' has {rows} rows, its input {x.channels} channels")
        if x.lo < self.lo or x.hi >= self.lo + entries:
            raise GraphError(f"'{self.name}' holds [{self.lo}, {self.lo + entries - 1}], its input is {x}")
        return Type(x.shape, int(self.values.min()), int(self.values.max()))


@dataclass(frozen=True, eq=False)
class Clamp(Node):
    """y = min(max(x, least), most): what would be a Threshold of one step for each value between them."""

    least: int
    most: int

    @classmethod
    def of(cls, name: str, source: Node, least: int, most: int) -> Clamp:
        node = cls(name, (source.name,), source.type, least, most)
        return cls(name, (source.name,), node.infer(source.type), least, most)

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return np.minimum(np.maximum(x, self.least), self.most)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if self.least > self.most:
            raise GraphError(f"'{self.name}' must clamp to least <= most, not [{self.least}, {self.most}]")
        lo, hi = (min(max(end, self.least), self.most) for end in (x.lo, x.hi))
        return Type(x.shape, lo, hi)


@dataclass(frozen=True, eq=False)
class ArgMax(Node):
    """y[..., 0] = the channel of the largest x[..., c]; of equal ones the lowest."""

    @classmethod
    def of(cls, name: str, source: Node) -> ArgMax:
        node = cls(name, (source.name,), source.type)
        return cls(name, (source.name,), node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return np.asarray(x.argmax(axis=-1, keepdims=True), dtype=np.int64)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        return Type((*x.shape[:-1], 1), 0, x.channels - 1)


@dataclass(frozen=True, eq=False)
class Embedding(Node):
    """y[..., d] = table[x[...] - lo, d]: a vector for each index, on a new last axis. table: int64 [entries, D]."""

    table: Array
    lo: int

    @classmethod
    def of(cls, name: str, source: Node, table: Array, lo: int) -> Embedding:
        node = cls(name, (source.name,), source.type, table, lo)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return self.table[x - self.lo]

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if self.table.ndim != 2 or x.lo < self.lo or x.hi >= self.lo + len(self.table):
            raise GraphError(
                f"'{self.name}' holds indices [{self.lo}, {self.lo + len(self.table) - 1}], its input is {x}"
            )
        reached = self.table[x.lo - self.lo : x.hi - self.lo + 1]
        return Type((*x.shape, self.table.shape[1]), int(reached.min()), int(reached.max()))
