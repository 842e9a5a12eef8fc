"""What an expression is: its values, whether it is monotone, whether it is affine in the integers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from lutwright.frontend.onnx_import.state import Import, attribute
from lutwright.frontend.onnx_import.values import Anything, Apply, Expression, Quantized, Real, Variable, dtype_of

MONOTONE = {"Ceil", "Clip", "Floor", "Identity", "Max", "Min", "Neg", "Relu", "Round", "Sign"}  # for constant bounds
MONOTONE |= {"Add", "Sub", "Mul", "Div", "Cast"}  # where the variable is not the divisor
ROUNDINGS = {"Ceil", "Floor", "Round", "Sign"}
KEEP_INTEGERS = {"Abs", "Add", "Cast", "Clip", "Identity", "Max", "Min", "Mul", "Neg", "Relu", "Sub", "Sum", "Where"}
FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
Affine = tuple[tuple[Real, ...], Real]  # the scales of the sources' integers, and the offset


def evaluate(state: Import, expression: Expression, reals: Sequence[Anything]) -> Anything:
    """The expression's value where the variables are `reals`."""
    result = _evaluated(state, expression, reals, {})
    assert result is not None
    return result


def _evaluated(
    state: Import, item: Variable | Apply | Anything | None, reals: Sequence[Anything], memo: dict[int, Anything]
) -> Anything | None:
    """No closure: one that calls itself is a cycle, which keeps its arrays until the collector comes by."""
    if isinstance(item, Variable):
        return reals[item.index]
    if not isinstance(item, Apply):
        return item
    if id(item) not in memo:
        arguments = [_evaluated(state, argument, reals, memo) for argument in item.arguments]
        memo[id(item)] = state.execute(item.operator, arguments)[0]
    return memo[id(item)]


def inner_of_monotone(expression: Expression) -> Expression | None:
    """The argument of an operator that is certainly monotone in it, rounding included, on each channel; else None."""
    if isinstance(expression, Variable):
        return None
    variable = [index for index, item in enumerate(expression.arguments) if isinstance(item, (Variable, Apply))]
    kind = expression.operator.op_type
    leaky = kind == "LeakyRelu" and attribute(expression.operator, "alpha", 0.01) >= 0
    if len(variable) != 1 or not (kind in MONOTONE or leaky) or (kind in ("Div", "Clip") and variable != [0]):
        return None
    inner = expression.arguments[variable[0]]
    assert isinstance(inner, (Variable, Apply))
    return inner


def monotone(expression: Expression) -> bool:
    """Whether the expression is certainly monotone in its one variable, rounding included, on each channel."""
    inner: Expression | None = expression
    while isinstance(inner, Apply):
        inner = inner_of_monotone(inner)
    return inner is not None


def affine(sources: Sequence[Quantized], expression: Expression) -> Affine | None:
    """Scales and offset of an expression that is affine in the sources' integers; None if it is not."""
    if isinstance(expression, Variable):
        zero = np.zeros(1)
        scales = tuple(source.scale if i == expression.index else zero for i, source in enumerate(sources))
        return scales, sources[expression.index].offset
    kind = expression.operator.op_type
    parts = [
        affine(sources, item)
        if isinstance(item, (Variable, Apply))
        else None
        if item is None
        else ((np.zeros(1),) * len(sources), item.astype(np.float64))
        for item in expression.arguments
    ]
    if not parts or any(part is None for part in parts):
        return None
    known = [part for part in parts if part is not None]
    if kind in ("Identity", "Neg", "Cast"):
        if kind == "Cast" and attribute(expression.operator, "to", 0) not in FLOATS and not _whole(known[0]):
            return None
        return _scaled(known[0], np.asarray(-1.0)) if kind == "Neg" else known[0]
    if kind in ("Add", "Sub", "Sum"):
        total = known[0]
        for part in known[1:]:
            part = _scaled(part, np.asarray(-1.0)) if kind == "Sub" else part
            total = tuple(a + b for a, b in zip(total[0], part[0], strict=True)), np.asarray(total[1] + part[1])
        return total
    if kind in ("Mul", "Div") and len(known) == 2:
        left, right = expression.arguments
        if isinstance(right, np.ndarray) and (kind == "Mul" or right.dtype.kind == "f"):  # integers divide inexactly
            return _finite(_scaled(known[0], known[1][1], np.multiply if kind == "Mul" else np.divide))
        if isinstance(left, np.ndarray) and kind == "Mul":
            return _finite(_scaled(known[1], known[0][1]))
    return None


def _whole(part: Affine) -> bool:
    """Whether it has integer scales and an integer offset: then casting to integers in range does nothing."""
    return all((array == np.round(array)).all() for array in (*part[0], part[1]))


def integral(sources: Sequence[Quantized], expression: Expression) -> bool:
    """Whether the values are integers by construction: roundings, integer types, sums and products of integers."""
    if isinstance(expression, Variable):
        source = sources[expression.index]
        return all((array == np.round(array)).all() for array in (source.scale, source.offset))
    kind, arguments = expression.operator.op_type, expression.arguments
    if kind in ROUNDINGS or dtype_of(sources, expression).kind in "biu":
        return True
    if kind not in KEEP_INTEGERS:
        return False
    bounds = [attribute(expression.operator, name, 0.0) for name in ("min", "max")] if kind == "Clip" else []
    return all(bound == np.round(bound) for bound in bounds) and all(
        integral(sources, item) if isinstance(item, (Variable, Apply)) else bool((item == np.round(item)).all())
        for item in (arguments[1:] if kind == "Where" else arguments)
        if item is not None
    )


def _scaled(part: Affine, number: Real, operation: Callable[[Real, Real], Any] = np.multiply) -> Affine:
    with np.errstate(all="ignore"):
        scales = tuple(np.asarray(operation(scale, number)) for scale in part[0])
        return scales, np.asarray(operation(part[1], number))


def _finite(part: Affine) -> Affine | None:
    """The part, if nothing in it overflowed or was divided by zero."""
    return part if all(np.isfinite(array).all() for array in (*part[0], part[1])) else None
