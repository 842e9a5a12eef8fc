"""A chain of real functions that no quantizer follows, as integers with a scale.

Affine chains fold into the scale; others become a staircase on a grid that all their values lie on, or, for bounds
of values that are too many for that, a Clamp.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lutwright.frontend import ir, nodes
from lutwright.frontend.onnx_import import joint
from lutwright.frontend.onnx_import.constants import on_grid
from lutwright.frontend.onnx_import.expressions import affine, integral
from lutwright.frontend.onnx_import.staircase import staircase, values_on_interval
from lutwright.frontend.onnx_import.state import QUANTIZE, Import, Refused, attribute
from lutwright.frontend.onnx_import.values import (
    Anything,
    Apply,
    Pending,
    Quantized,
    Variable,
    aligned,
    dtype_of,
    reduced,
)

MOST_LEVELS = 2**16  # values of an activation that gets a grid of its own
LARGEST = 2.0**52  # of an integer in the reference's floats
MOST_STEPS = 2**12  # of a Threshold where a Clamp would do
BOUNDS = ("Relu", "Clip", "Max", "Min")


def as_integers(state: Import, wish: str, value: Pending) -> Quantized:
    """The value as an IR node with a scale; Refused where it has none."""
    dtype = dtype_of(value.sources, value.expression)
    if len(value.sources) > 1:
        return replace(joint.combined(state, wish, value), dtype=dtype)
    folded = affine(value.sources, value.expression)
    if folded is not None:
        source = value.source
        scale, offset = (reduced(aligned(part, len(source.shape))) for part in (folded[0][0], folded[1]))
        return replace(source, scale=scale, offset=offset, dtype=dtype, codes=None, product=None, mean=None)
    interval = value.source.node.type
    clamped = _clamped(state, wish, value) if interval.hi - interval.lo > MOST_STEPS else None
    if clamped is not None:
        return replace(clamped, dtype=dtype)
    try:
        return replace(_on_own_grid(state, wish, value), dtype=dtype)
    except Refused as refused:
        result = _as_they_are(state, wish, value)
        if result is None:
            raise refused from None
        return replace(result, dtype=dtype)


def _on_own_grid(state: Import, wish: str, value: Pending) -> Quantized:
    """What the chain's values are exact multiples of: relu of a quantized tensor keeps the tensor's own scale."""
    source = value.source
    reals = values_on_interval(state, value, MOST_LEVELS)
    if not np.isfinite(reals).all():
        raise Refused("the function before it gives infinite values", QUANTIZE)
    step = float(np.abs(source.scale.flat[0]))
    if step == 0 or (np.asarray(np.round(reals / step) * step).astype(source.dtype) != reals).any():
        grid = on_grid(reals)
        if grid is None:
            raise Refused("the function before it gives values that are no small integers times a scale", QUANTIZE)
        step = grid[0]

    def levels(real: Anything) -> ir.Array:
        return np.asarray(np.round(real.astype(np.float64) / step)).astype(np.int64)

    result = staircase(state, wish, value, levels, ())
    return replace(result, scale=np.asarray(step), offset=np.asarray(0.0))


def _as_they_are(state: Import, wish: str, value: Pending) -> Quantized | None:
    """Values that are integers by construction, such as requantization in ordinary operators; None if too many."""
    if not integral(value.sources, value.expression):
        return None

    def levels(real: Anything) -> ir.Array:
        if not np.isfinite(real).all() or (np.abs(real.astype(np.float64)) > LARGEST).any():
            raise Refused("the function before it gives integers beyond 2^52", QUANTIZE)
        return np.asarray(real).astype(np.int64)

    try:
        result = staircase(state, wish, value, levels, ())
    except Refused:
        return None
    return replace(result, scale=np.ones(()), offset=np.zeros(()))


def _clamped(state: Import, wish: str, value: Pending) -> Quantized | None:
    """Relu, Clip, Max or Min with a constant number, of any integers; None where the bound is none of them."""
    top = value.expression
    bounds = _bounds_of(top)
    if bounds is None or bounds[0] > bounds[1] or not isinstance(top, Apply):
        return None
    (inner,) = (item for item in top.arguments if isinstance(item, (Variable, Apply)))
    try:
        source = joint.centred(state, wish, as_integers(state, wish, Pending(value.sources, inner)))
    except Refused:
        return None
    if not (source.scale > 0).all():
        return None
    ends = []
    for bound, far in zip(bounds, (source.node.type.lo, source.node.type.hi), strict=True):
        number = np.asarray(bound / source.scale) if np.isfinite(bound) else np.asarray(float(far))
        if (number != np.round(number.flat[0])).any() or abs(number.flat[0]) > LARGEST:
            return None
        ends.append(round(float(number.flat[0])))
    made = state.add(nodes.Clamp.of(state.name(wish), source.node, ends[0], max(ends)))
    return replace(source, node=made, codes=None, product=None, mean=None)


def _bounds_of(top: Variable | Apply) -> tuple[float, float] | None:
    """The least and the greatest value that the operator lets through; None if it is another or has several."""
    if not isinstance(top, Apply) or top.operator.op_type not in BOUNDS:
        return None
    kind, numbers = top.operator.op_type, list[float | None]()
    for item in top.arguments:
        if isinstance(item, np.ndarray):
            if item.size != 1:
                return None
            numbers.append(float(item.flat[0]))
        elif item is None:
            numbers.append(None)
    if kind == "Relu":
        return 0.0, np.inf
    if kind == "Clip":
        low, high = (attribute(top.operator, name, sign * np.inf) for name, sign in (("min", -1), ("max", 1)))
        given = [*numbers, None, None]
        return (low if given[0] is None else given[0], high if given[1] is None else given[1])
    if len(numbers) != 1 or len(top.arguments) != 2 or numbers[0] is None:
        return None
    return (numbers[0], np.inf) if kind == "Max" else (-np.inf, numbers[0])
