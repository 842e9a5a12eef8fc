"""The abstract values of the import, and the elementwise expressions that stand between two quantizers.

Shapes are those of the ONNX tensors, batch included. Where the model's batch is symbolic it is interpreted as 1.
Arrays of scales, offsets and constants broadcast to the tensor's shape as ONNX (and NumPy) do, from the right.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lutwright.errors import Refusal
from lutwright.frontend import ir

Shape = tuple[int, ...]
Real = NDArray[np.float64]
Anything = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Lattice:
    """A constant seen as `scale * q`, elementwise; both have the constant's shape. `dtype` is the constant's."""

    q: ir.Array
    scale: Real
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known at import; `lattice` is there when a quantizer made it."""

    array: Anything
    lattice: Lattice | None = None

    @property
    def shape(self) -> Shape:
        return self.array.shape


@dataclass(frozen=True, eq=False)
class Quantized:
    """An IR node seen as `scale * q + offset`; `batched` says that axis 0 is the batch, which the IR node lacks."""

    node: ir.Node
    shape: Shape
    batched: bool
    scale: Real
    offset: Real
    dtype: np.dtype[Any]

    @property
    def sample_shape(self) -> Shape:
        return self.shape[1:] if self.batched else self.shape

    def real(self, q: ir.Array, scale: Anything, offset: Anything) -> Anything:
        """What the reference holds for the integers q: one rounding to the tensor's own type."""
        return np.asarray(scale * q + offset).astype(self.dtype)


@dataclass(frozen=True, eq=False)
class Variable:
    """In an expression: the source's real value."""


@dataclass(frozen=True, eq=False)
class Apply:
    """In an expression: an ONNX elementwise operator on expressions and constants."""

    operator: onnx.NodeProto
    arguments: tuple[Variable | Apply | Anything | None, ...]


Expression = Variable | Apply
VARIABLE = Variable()


@dataclass(frozen=True, eq=False)
class Pending:
    """An elementwise function of a Quantized, of the same shape, that no quantizer has made an integer yet."""

    source: Quantized
    expression: Expression

    @property
    def shape(self) -> Shape:
        return self.source.shape


@dataclass(frozen=True, eq=False)
class Raw:
    """Depends on a model input that is not quantized yet: the host's share before the hardware."""

    shape: Shape
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Host:
    """Comes after integer nodes through an operator without integer meaning; fine if only outputs follow.

    `refusal` is raised when an integer node needs the value.
    """

    refusal: Refusal


@dataclass(frozen=True, eq=False)
class Unknown:
    """Stands for the value of a refused node, so that the nodes after it do not add refusals of their own."""


Value = Constant | Quantized | Pending | Raw | Host | Unknown


def map_constants(expression: Expression, change: Callable[[Anything], Anything]) -> Expression:
    """The expression with every array argument replaced by `change(array)`."""
    memo: dict[int, Expression] = {}

    def visit(node: Expression) -> Expression:
        if isinstance(node, Variable):
            return node
        if id(node) not in memo:
            arguments = tuple(
                visit(item) if isinstance(item, (Variable, Apply)) else None if item is None else change(item)
                for item in node.arguments
            )
            memo[id(node)] = Apply(node.operator, arguments)
        return memo[id(node)]

    return visit(expression)


def constants_of(expression: Expression) -> list[Anything]:
    """Every array in the expression."""
    found: list[Anything] = []

    def note(array: Anything) -> Anything:
        found.append(array)
        return array

    map_constants(expression, note)
    return found


def fits(shape: Shape, into: Shape) -> bool:
    """Whether an array of that shape broadcasts to `into` without enlarging it."""
    tail = into[len(into) - len(shape) :]
    return len(shape) <= len(into) and all(size in (1, other) for size, other in zip(shape, tail, strict=True))


def aligned(array: Anything, rank: int) -> Anything:
    """The array with axes of size 1 put in front until it has `rank` axes."""
    return array.reshape((1,) * (rank - array.ndim) + array.shape)


def varies(array: Anything, axis: int) -> bool:
    """Whether the array has unequal values along the axis."""
    return array.shape[axis] > 1 and bool((array != array.take([0], axis)).any())


def reduced(array: Anything) -> Anything:
    """The array with every axis along which its values are equal cut to size 1."""
    for axis in range(array.ndim):
        if array.shape[axis] > 1 and not varies(array, axis):
            array = array.take([0], axis)
    return array
