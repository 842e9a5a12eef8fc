"""The fully connected layer: products with a constant matrix."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lutwright.errors import GraphError
from lutwright.frontend.ir import Array, Node, Type
from lutwright.frontend.nodes.linear import as_integers, exact_type, largest_sum, weighted_interval


@dataclass(frozen=True, eq=False)
class Dense(Node):
    """y[..., n] = bias[n] + sum over k of weight[n, k] * x[..., k]; weight is int64 [N, K], bias int64 [N].

    `wraps`: y is held in the width and sign of the node's type only, modulo 2 ** width (see `frontend.bounds`).
    """

    weight: Array
    bias: Array
    wraps: bool = False

    @cached_property
    def weight_type(self) -> Type:
        """What holds every weight, and 0."""
        return Type((), min(0, int(self.weight.min())), max(0, int(self.weight.max())))

    @cached_property
    def groups(self) -> int:
        """The most blocks on the diagonal of the weights outside of which all are 0, as a grouped Conv has them."""
        rows, columns = self.weight.shape
        first = int(np.flatnonzero(self.weight[0]).max(initial=0)) + 1  # columns of the first block, at the least
        most = min(math.gcd(rows, columns), columns // first)
        if most == 1:
            return 1
        row, column = np.nonzero(self.weight)
        counts = (count for count in range(most, 1, -1) if rows % count == columns % count == 0)
        return next((count for count in counts if (row * count // rows == column * count // columns).all()), 1)

    @cached_property
    def own(self) -> Array:
        """[N, K / groups]: of each row the weights of its own block."""
        rows, count = len(self.weight), self.groups
        blocks = self.weight.reshape(rows, count, -1)
        return blocks[np.arange(rows), np.arange(rows) * count // rows]

    @cached_property
    def weighs_all(self) -> bool:
        """Whether no weight of its own block is 0."""
        return bool((self.own != 0).all())

    @classmethod
    def of(cls, name: str, source: Node, weight: Array, bias: Array | None = None) -> Dense:
        start = np.zeros(len(weight), dtype=np.int64) if bias is None else bias
        node = cls(name, (source.name,), source.type, weight, start)
        return cls(name, (source.name,), node.infer(source.type), weight, start)

    def evaluate(self, *inputs: Array) -> Array:
        (x,) = inputs
        kind = exact_type(largest_sum(self.weight, x))
        y = as_integers(x.astype(kind) @ self.weight.T.astype(kind)) + self.bias
        return ((y - self.type.lo) & ((1 << self.type.width) - 1)) + self.type.lo if self.wraps else y

    def infer(self, *inputs: Type) -> Type:
        (x,) = inputs
        rows, columns = self.weight.shape
        if x.channels != columns or self.bias.shape != (rows,):
            raise GraphError(
                f"'{self.name}' has weights {self.weight.shape} and biases {self.bias.shape}, "
                f"its input {x.channels} channels"
            )
        shape = (*x.shape[:-1], rows)
        if self.wraps:
            return Type(shape, self.type.lo, self.type.hi)
        return Type(shape, *weighted_interval(self.name, self.weight, self.bias, x.lo, x.hi))
