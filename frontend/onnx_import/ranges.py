"""Where integers may leave their type: ONNX wraps them there, so that a sum or product is no longer one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from lutwright.frontend.onnx_import.state import Refused, attribute
from lutwright.frontend.onnx_import.values import Anything, Apply, Quantized, Variable


@dataclass(frozen=True)
class Range:
    """The least and the greatest value, as far as they are known, and their type."""

    lo: float
    hi: float
    dtype: np.dtype[Any]


def check(sources: Sequence[Quantized], expression: Apply) -> None:
    """Refused if the expression's last operator is arithmetic of integers that may leave their type, or an odd cast."""
    if expression.operator.op_type == "Cast":
        to = attribute(expression.operator, "to", 1)
        try:
            dtype = helper.tensor_dtype_to_np_dtype(to)
        except KeyError:
            raise Refused(f"it casts to the type {to}, which ONNX does not have", "Export the model again") from None
        if dtype.isbuiltin != 1:
            raise Refused(
                f"it casts to {dtype}, a type that NumPy does not have", "Use QuantizeLinear, or a wider type"
            )
    found = range_of(sources, expression)
    if found is None or found.dtype.kind not in "iu":
        return
    limits = np.iinfo(found.dtype)
    if found.lo < limits.min or found.hi > limits.max:
        raise Refused(
            f"its result from {found.lo:.0f} to {found.hi:.0f} may leave {found.dtype}, where it would wrap",
            "Cast its inputs to a wider type, or to float",
        )


def range_of(sources: Sequence[Quantized], item: Variable | Apply | Anything | None) -> Range | None:
    """Of sums, products, quotients by constants, casts, bounds and roundings; None for all other operators.

    These are all the operators that `expressions.monotone` takes for monotone: where one may wrap, it is refused.
    """
    if item is None or (isinstance(item, np.ndarray) and (item.dtype.kind not in "iuf" or not item.size)):
        return None
    if isinstance(item, Variable):
        source = sources[item.index]
        ends = [np.asarray(source.scale * q + source.offset) for q in (source.node.type.lo, source.node.type.hi)]
        return Range(float(np.min(ends)), float(np.max(ends)), source.dtype)
    if not isinstance(item, Apply):
        return Range(float(item.min()), float(item.max()), item.dtype)
    kind = item.operator.op_type
    arguments = [argument for argument in item.arguments if argument is not None]
    parts = [range_of(sources, argument) for argument in arguments]
    known = [part for part in parts if part is not None]
    if len(known) != len(parts) or not known:
        return None
    first, *rest = known
    if kind == "Cast":
        dtype = helper.tensor_dtype_to_np_dtype(attribute(item.operator, "to", 1))
        return Range(first.lo, first.hi, dtype) if dtype.kind in "iuf" else None
    if kind == "Neg":
        return Range(-first.hi, -first.lo, first.dtype)
    if kind in ("Add", "Sum"):
        return Range(sum(part.lo for part in known), sum(part.hi for part in known), first.dtype)
    if kind == "Sub":
        return Range(first.lo - rest[0].hi, first.hi - rest[0].lo, first.dtype)
    if kind == "Mul":
        corners = [a * b for a in (first.lo, first.hi) for b in (rest[0].lo, rest[0].hi)]
        return Range(min(corners), max(corners), first.dtype)
    if kind == "Div":
        return _quotient(first, arguments[1])
    if kind in ("Clip", "Max", "Min", "Relu", "Sign", "LeakyRelu"):
        return _bounded(item, known)
    if kind in ("Floor", "Ceil", "Round", "Identity"):
        low, high = np.floor(first.lo), np.ceil(first.hi)
        return first if kind == "Identity" else Range(float(low), float(high), first.dtype)
    return None


def _quotient(first: Range, divisor: Variable | Apply | Anything) -> Range | None:
    if not isinstance(divisor, np.ndarray) or (divisor == 0).any():
        return None
    ends = [np.asarray(end / divisor.astype(np.float64)) for end in (first.lo, first.hi)]
    return Range(float(np.min(ends)), float(np.max(ends)), first.dtype)


def _bounded(item: Apply, known: Sequence[Range]) -> Range:
    kind, (first, *rest) = item.operator.op_type, known
    if kind == "Sign":
        return Range(-1.0, 1.0, first.dtype)
    if kind == "Relu":
        return Range(max(first.lo, 0.0), max(first.hi, 0.0), first.dtype)
    if kind == "LeakyRelu":
        corners = [
            factor * end for end in (first.lo, first.hi) for factor in (1, attribute(item.operator, "alpha", 0.01))
        ]
        return Range(min(corners), max(corners), first.dtype)
    if kind in ("Max", "Min"):
        choose = max if kind == "Max" else min
        return Range(choose(part.lo for part in known), choose(part.hi for part in known), first.dtype)
    low, high = attribute(item.operator, "min", -np.inf), attribute(item.operator, "max", np.inf)
    given = iter(rest)
    for place, argument in enumerate(item.arguments[1:3]):
        if argument is not None:
            bound = next(given)
            low, high = (bound.lo, high) if place == 0 else (low, bound.hi)
    ends = [min(max(end, low), high) for end in (first.lo, first.hi)]
    return Range(ends[0], ends[1], first.dtype)
