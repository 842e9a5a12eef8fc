"""Nodes over windows that slide along the spatial axes: Conv and Pool. Channel last, any number of spatial axes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array, Node, Type
from lutwright.frontend.nodes.linear import as_integers, exact_type, largest_sum, weighted_interval

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
MOST_PLACES = 2**18  # of a window: a global pool over 512 x 512


@dataclass(frozen=True)
class Window:
    """The geometry of a sliding window, a number per spatial axis; `pads` are positions before and after."""

    kernel: Sizes
    strides: Sizes
    dilations: Sizes
    pads: Pads

    @classmethod
    def of(
        cls, kernel: Sizes, strides: Sizes | None = None, dilations: Sizes | None = None, pads: Pads | None = None
    ) -> Window:
        ones = (1,) * len(kernel)
        return cls(kernel, strides or ones, dilations or ones, pads or ((0, 0),) * len(kernel))

    def check(self, name: str, size: Sizes) -> None:
        """GraphError if the window cannot slide over a tensor with these spatial sizes."""
        rank = len(size)
        if any(len(part) != rank for part in (self.kernel, self.strides, self.dilations, self.pads)):
            raise GraphError(f"'{name}' has a window of {len(self.kernel)} axes over {rank} spatial axes")
        if min((*self.kernel, *self.strides, *self.dilations), default=1) < 1 or min(sum(self.pads, ()), default=0) < 0:
            raise GraphError(f"'{name}' must have positive sizes and pads of at least 0, not {self}")
        if math.prod(self.kernel) > MOST_PLACES:
            raise GraphError(f"'{name}' must have a window of at most {MOST_PLACES} places, not {self.kernel}")
        if min(self.output(size), default=1) < 1:
            raise GraphError(f"'{name}' has a window larger than its padded input {size}: {self}")

    def output(self, size: Sizes) -> Sizes:
        """The spatial sizes of the result."""
        return tuple(
            (length + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
            for length, kernel, stride, dilation, pads in zip(
                size, self.kernel, self.strides, self.dilations, self.pads, strict=True
            )
        )

    @property
    def padded(self) -> bool:
        return any(map(any, self.pads))

    def positions(self, x: NDArray[Any], fill: int) -> Iterator[tuple[Sizes, NDArray[Any]]]:
        """For each place of the kernel: what lies under it at every output, [batch, *output, C], `fill` outside."""
        size = x.shape[1:-1]
        if self.padded:
            x = np.pad(x, ((0, 0), *self.pads, (0, 0)), constant_values=fill)
        output = self.output(size)
        for place in np.ndindex(*self.kernel):
            starts = [index * dilation for index, dilation in zip(place, self.dilations, strict=True)]
            cuts = (
                slice(start, start + stride * (count - 1) + 1, stride)
                for start, stride, count in zip(starts, self.strides, output, strict=True)
            )
            yield place, x[(slice(None), *cuts)]


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """y[o.., n] = bias[n] + sum over k.., c of weight[n, k.., c] * x[o*stride + k*dilation - pad.., g*C/groups + c].

    g = n // (N / groups). x is `pad_value` outside. weight: int64 [N, *kernel, C / groups]; bias: int64 [N].
    """

    weight: Array
    bias: Array
    window: Window
    groups: int
    pad_value: int

    @cached_property
    def weight_type(self) -> Type:
        """What holds every weight, and 0."""
        return Type((), min(0, int(self.weight.min())), max(0, int(self.weight.max())))

    @classmethod
    def of(
        cls, name: str, source: Node, weight: Array, bias: Array, window: Window, groups: int = 1, pad_value: int = 0
    ) -> Conv:
        node = cls(name, (source.name,), source.type, weight, bias, window, groups, pad_value)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        rows, inner = len(self.weight), self.weight.shape[-1]
        widest = max(largest_sum(self._matrix, x), largest_sum(self._matrix, np.array([self.pad_value])))
        kind = exact_type(widest)
        total: Any = 0
        for place, under in self.window.positions(x.astype(kind), self.pad_value):
            weight = np.moveaxis(self.weight, 0, -2)[place].astype(kind)
            if self.groups == 1:
                total = total + under @ weight.T
            elif inner == 1:
                each = weight.reshape(self.groups, rows // self.groups)
                total = total + (under[..., np.newaxis] * each).reshape(*under.shape[:-1], rows)
            else:
                parts = zip(np.split(under, self.groups, -1), np.split(weight, self.groups), strict=True)
                total = total + np.concatenate([part @ own.T for part, own in parts], axis=-1)
        return as_integers(total) + self.bias

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        rows, inner = self.weight.shape[0], self.weight.shape[-1]
        if len(x.shape) < 1 or self.weight.ndim != len(x.shape) + 1 or self.weight.shape[1:-1] != self.window.kernel:
            raise GraphError(f"'{self.name}' has weights {self.weight.shape} and {self.window}, its input is {x}")
        self.window.check(self.name, x.shape[:-1])
        if self.groups < 1 or x.channels != inner * self.groups or rows % self.groups or self.bias.shape != (rows,):
            raise GraphError(
                f"'{self.name}' has weights {self.weight.shape}, {self.groups} groups and biases {self.bias.shape}, "
                f"its input {x.channels} channels"
            )
        lo, hi = x.lo, x.hi
        if self.window.padded:
            lo, hi = min(lo, self.pad_value), max(hi, self.pad_value)
        interval = weighted_interval(self.name, self._matrix, self.bias, lo, hi)
        return Type((*self.window.output(x.shape[:-1]), rows), *interval)

    @property
    def _matrix(self) -> Array:
        return self.weight.reshape(len(self.weight), -1)


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """y[o.., c] = the maximum, or the sum, of x[o*stride + k*dilation - pad.., c] over k.., positions outside left out.

    kind: "max" or "sum". Every window must hold at least one element of x.
    """

    kind: str
    window: Window

    @classmethod
    def of(cls, name: str, source: Node, kind: str, window: Window) -> Pool:
        node = cls(name, (source.name,), source.type, kind, window)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        result: Array | None = None
        for _, under in self.window.positions(x, 0 if self.kind == "sum" else int(np.iinfo(np.int64).min)):
            if result is None:
                result = under.copy()
            else:
                (np.add if self.kind == "sum" else np.maximum)(result, under, out=result)
        assert result is not None
        return result

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        if self.kind not in ("max", "sum"):
            raise GraphError(f"'{self.name}' must be a pool of kind max or sum, not {self.kind!r}")
        if len(x.shape) < 1:
            raise GraphError(f"'{self.name}' must have an input with channels, not {x}")
        self.window.check(self.name, x.shape[:-1])
        counts = self.counts(x.shape[:-1])
        if counts.min() < 1:
            raise GraphError(f"'{self.name}' has windows that lie in the padding only: {self.window} over {x}")
        shape = (*self.window.output(x.shape[:-1]), x.channels)
        if self.kind == "max":
            return Type(shape, x.lo, x.hi)
        least, most = int(counts.min()), int(counts.max())
        return Type(shape, min(least * x.lo, most * x.lo), max(least * x.hi, most * x.hi))

    def counts(self, size: Sizes) -> Array:
        """How many elements of x each output's window holds, [*output]."""
        ones = np.ones((1, *size, 1), np.int64)
        return np.asarray(sum(under for _, under in self.window.positions(ones, 0)))[0, ..., 0]


@dataclass(frozen=True, eq=False)
class Unfold(Node):
    """y[o.., (g, k.., c)] = x[o*stride + k*dilation - pad.., g*C/groups + c]: what a Conv multiplies by its weights.

    In one vector, group by group; the places of the kernel follow one another in raster order, channels fastest. x is
    `pad_value` outside.
    """

    window: Window
    pad_value: int
    groups: int = 1

    @classmethod
    def of(cls, name: str, source: Node, window: Window, pad_value: int, groups: int = 1) -> Unfold:
        node = cls(name, (source.name,), source.type, window, pad_value, groups)
        return replace(node, type=node.infer(source.type))

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        parts = [under for _, under in self.window.positions(x, self.pad_value)]
        places = np.stack([part.reshape(*part.shape[:-1], self.groups, -1) for part in parts], axis=-2)
        return places.reshape(*places.shape[:-3], -1)

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        self.window.check(self.name, x.shape[:-1])
        lo, hi = x.lo, x.hi
        if self.window.padded:
            lo, hi = min(lo, self.pad_value), max(hi, self.pad_value)
        return Type((*self.window.output(x.shape[:-1]), math.prod(self.window.kernel) * x.channels), lo, hi)
