"""The abstract values of the import, and the elementwise expressions that stand between two quantizers.

Shapes are those of the ONNX tensors, batch included. Where the model's batch is symbolic it is interpreted as 1.
Arrays of scales, offsets and constants broadcast to the tensor's shape as ONNX (and NumPy) do, from the right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from lutwright.errors import Refusal
from lutwright.frontend import ir

Shape = tuple[int, ...]
Real = NDArray[np.float64]
Anything = NDArray[Any]
LOGICAL = ("And", "Or", "Not", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")  # bool out


@dataclass(frozen=True, eq=False)
class Lattice:
    """A constant seen as `scale * q`, elementwise; both have the constant's shape. `dtype` is the constant's.

    `codes`: the type that DequantizeLinear made it of, moved at most; None for any other.
    """

    q: ir.Array
    scale: Real
    dtype: np.dtype[Any]
    codes: np.dtype[Any] | None = None


@dataclass(frozen=True, eq=False)
class Constant:
    """A value known at import; `lattice` is there when a quantizer made it."""

    array: Anything
    lattice: Lattice | None = None

    @property
    def shape(self) -> Shape:
        return self.array.shape


@dataclass(frozen=True, eq=False)
class Product:
    """What a fused quantizer needs of a sum of products of two dequantized operands: their float32 scales.

    The executor's accumulator is the node's integers plus `bias`; `w_scale` and `bias` broadcast to the tensor's shape.
    """

    x_scale: Anything
    w_scale: Anything
    bias: ir.Array


@dataclass(frozen=True, eq=False)
class Mean:
    """What a fused quantizer needs of a pool's sum of 8-bit codes: their grid and how many they are.

    `elements`, and the `count` by which the sum is divided, broadcast to the tensor's shape; `whole` says that the
    window is all of space.
    """

    x_scale: Anything
    x_zero: int
    elements: Anything
    count: Anything
    whole: bool


@dataclass(frozen=True, eq=False)
class Quantized:
    """An IR node seen as `scale * q + offset`; `batched` says that axis 0 is the batch, which the IR node lacks.

    `codes`: the type that DequantizeLinear made it of, moved at most, so that executors fuse it into integer operators.
    `product`: a sum of products of two such
    operands, `mean`: a pool over one.
    """

    node: ir.Node
    shape: Shape
    batched: bool
    scale: Real
    offset: Real
    dtype: np.dtype[Any]
    codes: np.dtype[Any] | None = None
    product: Product | None = None
    mean: Mean | None = None

    @property
    def sample_shape(self) -> Shape:
        return self.shape[1:] if self.batched else self.shape

    def real(self, q: ir.Array, scale: Anything, offset: Anything) -> Anything:
        """What the reference holds for the integers q: one rounding to the tensor's own type."""
        return np.asarray(scale * q + offset).astype(self.dtype)


@dataclass(frozen=True)
class Variable:
    """In an expression: the real value of a source, by its index."""

    index: int = 0


@dataclass(frozen=True, eq=False)
class Apply:
    """In an expression: an ONNX elementwise operator on expressions and constants.

    `depth` is how many operators are within each other, `size` how many there are, each as often as it is used.
    """

    operator: onnx.NodeProto
    arguments: tuple[Variable | Apply | Anything | None, ...]
    depth: int = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        inner = [item for item in self.arguments if isinstance(item, Apply)]
        object.__setattr__(self, "depth", 1 + max((item.depth for item in inner), default=0))
        object.__setattr__(self, "size", 1 + sum(item.size for item in inner))


Expression = Variable | Apply
VARIABLE = Variable()


@dataclass(frozen=True, eq=False)
class Pending:
    """An elementwise function of Quantized values, all of one shape, that no quantizer has made an integer yet."""

    sources: tuple[Quantized, ...]
    expression: Expression

    @property
    def source(self) -> Quantized:
        """The only source; staircases, pools and the host's share need there to be one."""
        (source,) = self.sources
        return source

    @property
    def shape(self) -> Shape:
        return self.sources[0].shape

    @property
    def batched(self) -> bool:
        return self.sources[0].batched


@dataclass(frozen=True, eq=False)
class Raw:
    """Depends on a model input that is not quantized yet: the host's share before the hardware."""

    shape: Shape
    dtype: np.dtype[Any]


@dataclass(frozen=True, eq=False)
class Host:
    """Comes after integer nodes through an operator without integer meaning; fine if only outputs follow.

    `refusal` is raised when an integer node needs the value. `zeros` has the tensor's shape and type, if known.
    """

    refusal: Refusal
    zeros: Anything | None = None


@dataclass(frozen=True, eq=False)
class Unknown:
    """Stands for the value of a refused node, so that the nodes after it do not add refusals of their own."""


Value = Constant | Quantized | Pending | Raw | Host | Unknown


def pending(value: Quantized | Pending) -> Pending:
    return value if isinstance(value, Pending) else Pending((value,), VARIABLE)


def map_constants(
    expression: Expression,
    change: Callable[[Anything], Anything],
    rename: Callable[[Variable], Variable] = lambda variable: variable,
) -> Expression:
    """The expression with every array argument replaced by `change(array)`, and its variables renamed."""
    memo: dict[int, Expression] = {}

    def visit(node: Expression) -> Expression:
        if isinstance(node, Variable):
            return rename(node)
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


def dtype_of(sources: Sequence[Quantized], expression: Expression) -> np.dtype[Any]:
    """The type that the expression's operators give."""
    if isinstance(expression, Variable):
        return sources[expression.index].dtype
    kind, arguments = expression.operator.op_type, expression.arguments
    if kind == "Cast":
        wanted = next(item.i for item in expression.operator.attribute if item.name == "to")
        return helper.tensor_dtype_to_np_dtype(wanted)
    if kind in LOGICAL:
        return np.dtype(np.bool_)
    first = next(item for item in (arguments[1:] if kind == "Where" else arguments) if item is not None)
    return dtype_of(sources, first) if isinstance(first, (Variable, Apply)) else first.dtype


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
