"""Nodes on several activations: weighted sums, products, matrix products."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array, Node, Type
from lutwright.frontend.nodes.linear import LARGEST, as_integers, exact_type, weighted_interval


@dataclass(frozen=True, eq=False)
class Add(Node):
    """y[..., c] = constant[c] + sum over i of factors[c, i] * inputs[i][..., c], all inputs of one shape.

    factors: int64 [C, I]; constant: int64 [C]; C is the number of channels, or 1 for all channels alike. With one
    input it scales and shifts.
    """

    factors: Array
    constant: Array

    @classmethod
    def of(cls, name: str, sources: tuple[Node, ...], factors: Array, constant: Array | None = None) -> Add:
        start = np.zeros(len(factors), np.int64) if constant is None else constant
        node = cls(name, tuple(source.name for source in sources), sources[0].type, factors, start)
        return replace(node, type=node.infer(*(source.type for source in sources)))

    def evaluate(self, *inputs: Array) -> Array:
        total = np.broadcast_to(self.constant, inputs[0].shape).copy()
        for index, x in enumerate(inputs):
            total += self.factors[:, index] * x
        return total

    def infer(self, *inputs: Type) -> Type:
        rows, first = len(self.factors), inputs[0]
        if any(x.shape != first.shape for x in inputs):
            raise GraphError(f"'{self.name}' must have inputs of one shape, not {[x.shape for x in inputs]}")
        if rows not in (1, first.channels) or self.factors.shape[1] != len(inputs) or self.constant.shape != (rows,):
            raise GraphError(f"'{self.name}' has factors {self.factors.shape} for {len(inputs)} inputs like {first}")
        low, high = self.constant.astype(object), self.constant.astype(object)
        for index, x in enumerate(inputs):
            ends = np.stack([self.factors[:, index].astype(object) * end for end in (x.lo, x.hi)])
            low, high = low + ends.min(axis=0), high + ends.max(axis=0)
        lo, hi = min(low), max(high)
        if max(-lo, hi) > LARGEST:
            raise GraphError(f"'{self.name}' has sums up to {max(-lo, hi)}, which 64 bits cannot hold")
        return Type(first.shape, int(lo), int(hi))


@dataclass(frozen=True, eq=False)
class Multiply(Node):
    """y = inputs[0] * inputs[1], elementwise, both of one shape."""

    @classmethod
    def of(cls, name: str, left: Node, right: Node) -> Multiply:
        node = cls(name, (left.name, right.name), left.type)
        return replace(node, type=node.infer(left.type, right.type))

    def evaluate(self, *inputs: Array) -> Array:
        return inputs[0] * inputs[1]

    def infer(self, *inputs: Type) -> Type:
        left, right = inputs
        if left.shape != right.shape:
            raise GraphError(f"'{self.name}' must have inputs of one shape, not {left.shape} and {right.shape}")
        squared = self.inputs[0] == self.inputs[1]
        ends = [left.lo * right.lo, left.hi * right.hi] + ([] if squared else [left.lo * right.hi, left.hi * right.lo])
        lo = 0 if squared and left.lo <= 0 <= left.hi else min(ends)
        if max(-lo, *ends) > LARGEST:
            raise GraphError(f"'{self.name}' has products up to {max(ends)}, which 64 bits cannot hold")
        return Type(left.shape, lo, max(ends))


@dataclass(frozen=True, eq=False)
class MatMul(Node):
    """y[..., m, n] = sum over k of left[..., m, k] * right[..., k, n]; both of one rank, leading axes equal."""

    @classmethod
    def of(cls, name: str, left: Node, right: Node) -> MatMul:
        node = cls(name, (left.name, right.name), left.type)
        return replace(node, type=node.infer(left.type, right.type))

    def evaluate(self, *inputs: Array) -> Array:
        left, right = inputs
        largest = int(np.abs(left).max(initial=1)) * int(np.abs(right).max(initial=1)) * left.shape[-1]
        kind = exact_type(largest)
        return as_integers(left.astype(kind) @ right.astype(kind))

    def infer(self, *inputs: Type) -> Type:
        left, right = inputs
        a, b = left.shape, right.shape
        if len(a) < 2 or len(a) != len(b) or a[:-2] != b[:-2] or a[-1] != b[-2]:
            raise GraphError(f"'{self.name}' cannot multiply {a} by {b}")
        ends = np.array([[x * y for x in (left.lo, left.hi)] for y in (right.lo, right.hi)], object).ravel()
        inner = np.full((1, 1), a[-1], np.int64)
        if max(map(abs, ends)) * a[-1] > LARGEST:
            raise GraphError(f"'{self.name}' has sums that 64 bits cannot hold")
        lo, hi = weighted_interval(self.name, inner, np.zeros(1, np.int64), int(min(ends)), int(max(ends)))
        return Type((*a[:-1], b[-1]), lo, hi)
