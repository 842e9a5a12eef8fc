"""Nodes that only move elements, or add constant ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array, Node, Type


@dataclass(frozen=True, eq=False)
class Reshape(Node):
    """The same elements in the same raster order, in another shape."""

    @classmethod
    def of(cls, name: str, source: Node, shape: tuple[int, ...]) -> Reshape:
        return cls(name, (source.name,), Type(shape, source.type.lo, source.type.hi))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return x.reshape(len(x), *self.type.shape)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if math.prod(self.type.shape) != x.size:
            raise GraphError(f"'{self.name}' must keep the {x.size} elements of {x.shape}, not make {self.type.shape}")
        return Type(self.type.shape, x.lo, x.hi)


@dataclass(frozen=True, eq=False)
class Transpose(Node):
    """The axes of one sample in the order `axes` (0 is the first axis after the batch)."""

    axes: tuple[int, ...]

    @classmethod
    def of(cls, name: str, source: Node, axes: tuple[int, ...]) -> Transpose:
        node = cls(name, (source.name,), source.type, axes)
        return cls(name, (source.name,), node.infer(source.type), axes)

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return x.transpose(0, *(axis + 1 for axis in self.axes))

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if sorted(self.axes) != list(range(len(x.shape))):
            raise GraphError(f"'{self.name}' must permute {len(x.shape)} axes, not {self.axes}")
        return Type(tuple(x.shape[axis] for axis in self.axes), x.lo, x.hi)


@dataclass(frozen=True, eq=False)
class Take(Node):
    """y[.., i, ..] = x[.., indices[i], ..] along one axis: slices, splits, repeats, flips. indices: int64 [I]."""

    axis: int
    indices: Array

    @classmethod
    def of(cls, name: str, source: Node, axis: int, indices: Array) -> Take:
        node = cls(name, (source.name,), source.type, axis, indices)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return x.take(self.indices, axis=self.axis + 1)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if not 0 <= self.axis < len(x.shape) or self.indices.ndim != 1 or not self.indices.size:
            raise GraphError(f"'{self.name}' must take indices along one axis of {x}, not {self.axis}")
        if self.indices.min() < 0 or self.indices.max() >= x.shape[self.axis]:
            raise GraphError(f"'{self.name}' must take indices below {x.shape[self.axis]}, not {self.indices.max()}")
        return Type((*x.shape[: self.axis], self.indices.size, *x.shape[self.axis + 1 :]), x.lo, x.hi)


@dataclass(frozen=True, eq=False)
class Concat(Node):
    """The inputs one after the other along `axis`."""

    axis: int

    @classmethod
    def of(cls, name: str, sources: tuple[Node, ...], axis: int) -> Concat:
        node = cls(name, tuple(source.name for source in sources), sources[0].type, axis)
        return replace(node, type=node.infer(*(source.type for source in sources)))

    def evaluate(self, *inputs: Array) -> Array:
        return np.concatenate(inputs, axis=self.axis + 1)

    def infer(self, *inputs: Type) -> Type:
        shapes = [list(x.shape) for x in inputs]
        if not 0 <= self.axis < min(map(len, shapes)):
            raise GraphError(f"'{self.name}' must join along an axis of its inputs, not {self.axis}")
        sizes = [shape.pop(self.axis) for shape in shapes]
        if any(shape != shapes[0] for shape in shapes):
            raise GraphError(f"'{self.name}' must join inputs that differ along axis {self.axis} only")
        shape = (*shapes[0][: self.axis], sum(sizes), *shapes[0][self.axis :])
        return Type(shape, min(x.lo for x in inputs), max(x.hi for x in inputs))


@dataclass(frozen=True, eq=False)
class Pad(Node):
    """x with `pads[axis]` elements of `value` before and after it along each axis."""

    pads: tuple[tuple[int, int], ...]
    value: int

    @classmethod
    def of(cls, name: str, source: Node, pads: tuple[tuple[int, int], ...], value: int) -> Pad:
        node = cls(name, (source.name,), source.type, pads, value)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        return np.pad(x, ((0, 0), *self.pads), constant_values=self.value)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if len(self.pads) != len(x.shape) or min((count for pair in self.pads for count in pair), default=0) < 0:
            raise GraphError(f"'{self.name}' must have two pads of at least 0 for each axis of {x}, not {self.pads}")
        shape = tuple(size + before + after for size, (before, after) in zip(x.shape, self.pads, strict=True))
        if shape == x.shape:
            return x
        return Type(shape, min(x.lo, self.value), max(x.hi, self.value))


@dataclass(frozen=True, eq=False)
class Stuff(Node):
    """y[i*strides..] = x[i..] and `value` in between: what a transposed convolution does to its input.

    Axes as in x; a size S becomes (S - 1) * stride + 1.
    """

    strides: tuple[int, ...]
    value: int

    @classmethod
    def of(cls, name: str, source: Node, strides: tuple[int, ...], value: int) -> Stuff:
        node = cls(name, (source.name,), source.type, strides, value)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        y = np.full((len(x), *self._sizes(x.shape[1:])), self.value, np.int64)
        y[(slice(None), *(slice(None, None, stride) for stride in self.strides))] = x
        return y

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if len(self.strides) != len(x.shape) or min(self.strides, default=1) < 1:
            raise GraphError(f"'{self.name}' must have a stride of at least 1 for each axis of {x}, not {self.strides}")
        shape = self._sizes(x.shape)
        return x if shape == x.shape else Type(shape, min(x.lo, self.value), max(x.hi, self.value))

    def _sizes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple((size - 1) * stride + 1 for size, stride in zip(shape, self.strides, strict=True))
