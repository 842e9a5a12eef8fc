"""Pools and reductions: maxima and sums over windows, over all of space, or over any axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnx

from lutwright.frontend import ir, nodes
from lutwright.frontend.nodes import Pool
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import import joint
from lutwright.frontend.onnx_import.convolution import channels_last
from lutwright.frontend.onnx_import.expressions import monotone
from lutwright.frontend.onnx_import.geometry import ceiled, window_of
from lutwright.frontend.onnx_import.staircase import function, varying_axes
from lutwright.frontend.onnx_import.state import Import, Refused, activation, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    Anything,
    Constant,
    Mean,
    Pending,
    Quantized,
    Real,
    Value,
    aligned,
    map_constants,
    reduced,
    varies,
)
from lutwright.frontend.onnx_import.weights import EIGHT_BITS, integers

Activation = Quantized | Pending
POOLS = ("AveragePool", "GlobalAveragePool")  # those that executors fuse with quantizers


@operator("MaxPool", "GlobalMaxPool", integer=True)
def max_pool(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The maximum commutes with increasing functions, so a Pending stays one."""
    x = _spatial(state, node, inputs[0])
    if len(node.output) > 1 and node.output[1]:
        raise Refused("its second output, the indices, is not supported", "Use the maxima only")
    size = x.shape[2:]
    window = Window.of(size) if node.op_type == "GlobalMaxPool" else ceiled(node, size, window_of(node, size))
    return [maximum(state, node, x, window)]


@operator("AveragePool", "GlobalAveragePool", "LpPool", "GlobalLpPool", integer=True)
def average_pool(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    if "Lp" in node.op_type:
        raise Refused("the norm over a window is not supported", "Use AveragePool or MaxPool")
    x = integers(state, node, _spatial(state, node, inputs[0]))
    size = x.shape[2:]
    if node.op_type == "GlobalAveragePool":
        return [average(state, node, x, Window.of(size), None)]
    given = window_of(node, size)
    window = ceiled(node, size, given)
    return [average(state, node, x, window, given if attribute(node, "count_include_pad", 0) else None)]


@operator("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", integer=True)
def reduce(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """Over any axes but the batch: one window over what is reduced, all else as channels."""
    x, *rest = inputs
    x = activation(x)
    axes = _axes(node, x, rest[0] if rest else None)
    keep = bool(attribute(node, "keepdims", 1))
    if not axes:
        return [x]
    kind = node.op_type
    value = x if kind in ("ReduceMax", "ReduceMin") else integers(state, node, x)
    rank = len(value.shape)
    if value.batched and 0 in axes:
        raise Refused("it reduces the batch axis", "Keep axis 0 for the batch, and use the operator on other axes only")
    lead = [0] if value.batched else []
    others = [axis for axis in range(len(lead), rank) if axis not in axes]
    count = math.prod(value.shape[axis] for axis in axes)
    flat = (*(value.shape[axis] for axis in lead), math.prod(value.shape[axis] for axis in others), count)
    flat = flat if value.batched else (1, *flat)
    turned = state.transpose(value, [*lead, *others, *axes], f"{node.name}_transpose")
    turned = state.reshape(turned, flat, f"{node.name}_flat")
    window = Window.of((count,))
    if kind == "ReduceMean":
        result: Activation = average(state, node, integers(state, node, turned), window, None)
    elif kind == "ReduceSum":
        result = total(state, node, integers(state, node, turned), window)
    elif kind == "ReduceMax":
        result = maximum(state, node, turned, window)
    else:
        result = _negated(maximum(state, node, _negated(integers(state, node, turned)), window))
    kept = tuple(1 if axis in axes else value.shape[axis] for axis in range(rank))
    shape = kept if keep else tuple(value.shape[axis] for axis in range(rank) if axis not in axes)
    return [state.reshape(result, shape, f"{node.name}_shape")]


def maximum(state: Import, node: onnx.NodeProto, x: Activation, window: Window) -> Activation:
    """The maximum over windows of a tensor [B, C, ...]."""
    if isinstance(x, Pending) and len(x.sources) > 1:
        x = joint.combined(state, f"{node.name}_input", x)
    if isinstance(x, Pending):
        rising = _rising(state, x)
        if rising is None:
            x = integers(state, node, x)
        else:
            source = _oriented(state, node, x.source, rising)
            pooled = _pooled(state, node, source, "max", window)
            pooled = replace(pooled, scale=source.scale, offset=source.offset)
            return Pending((pooled,), map_constants(x.expression, lambda array: _checked(array, x.shape)))
    x = replace(x, scale=_checked(x.scale, x.shape), offset=_checked(x.offset, x.shape))
    source = _oriented(state, node, x, x.scale > 0)
    pooled = _pooled(state, node, source, "max", window)
    return replace(pooled, scale=source.scale, offset=source.offset, codes=x.codes)


def total(state: Import, node: onnx.NodeProto, x: Quantized, window: Window) -> Quantized:
    """The sum over windows without padding."""
    _checked(x.scale, x.shape)
    summed = _pooled(state, node, x, "sum", window)
    count = math.prod(window.kernel)
    offset = np.zeros(())
    if x.offset.any():
        offset = _window_sums(x, window)
    return replace(summed, scale=np.asarray(x.scale), offset=offset) if count else summed


def average(state: Import, node: onnx.NodeProto, x: Quantized, window: Window, including: Window | None) -> Quantized:
    """The mean over windows; `including`: the window whose padding counts as elements that are 0."""
    summed = total(state, node, x, window)
    size, rank = x.shape[2:], len(x.shape)
    pool = Pool("", (), ir.Type((1,), 0, 0), "sum", window)
    if including is None:
        counts = pool.counts(size)
    else:
        inside = tuple(length + sum(pads) for length, pads in zip(size, including.pads, strict=True))
        ends = tuple((0, sum(mine) - sum(given)) for mine, given in zip(window.pads, including.pads, strict=True))
        counts = replace(pool, window=replace(window, pads=ends)).counts(inside)
    number = counts.astype(np.float64).reshape(1, 1, *counts.shape) if (counts != counts.flat[0]).any() else None
    if number is None:
        number = np.full((1,) * rank, float(counts.flat[0]))
    mean = None
    if x.codes in EIGHT_BITS and x.scale.size == x.offset.size == 1:
        zero, whole = round(float(-x.offset.flat[0] / x.scale.flat[0])), node.op_type == "GlobalAveragePool"
        inner = pool.counts(size)
        elements = reduced(inner.reshape(1, 1, *inner.shape))
        mean = Mean(x.scale.astype(np.float32).reshape(()), zero, elements, reduced(number), whole)
    scale, offset = (reduced(np.asarray(part / number)) for part in (summed.scale, summed.offset))
    return replace(summed, scale=scale, offset=offset, mean=mean if node.op_type in POOLS else None)


def _window_sums(x: Quantized, window: Window) -> Real:
    """The sums of the offsets under each window."""
    image = np.moveaxis(np.broadcast_to(aligned(x.offset, len(x.shape)), (1, *x.shape[1:])), 1, -1)
    return reduced(np.moveaxis(sum(under for _, under in window.positions(image, 0)), -1, 1))  # type: ignore[arg-type]


def _pooled(state: Import, node: onnx.NodeProto, x: Quantized, kind: str, window: Window) -> Quantized:
    return channels_last(state, node, x, lambda source: Pool.of(state.name(node.name), source, kind, window))


def _spatial(state: Import, node: onnx.NodeProto, value: Value | None) -> Activation:
    value = activation(value)
    if len(value.shape) < 3 or (state.batch and not value.batched):
        raise Refused(
            f"its input of shape {value.shape} must have a batch, channels and spatial axes", "Check the model"
        )
    return value


def _checked(array: Real, shape: tuple[int, ...]) -> Real:
    """The array, if it is alike at all places of a window."""
    array = aligned(array, len(shape))
    if any(varies(array, axis) for axis in range(2, len(shape))):
        raise Refused(
            "its input's scales or constants differ between the places of a window",
            "Use one scale and one constant a channel, or quantize before it",
        )
    return array[(slice(None), slice(None), *(slice(0, 1),) * (len(shape) - 2))]


def _rising(state: Import, value: Pending) -> Anything | None:
    """Whether the function rises with the integers, for each channel; None if it is not certainly monotone."""
    axes = varying_axes(value, ())
    if not monotone(value.expression) or any(axis != 1 for axis in axes):
        return None
    interval, rows = value.source.node.type, value.shape[1] if axes else 1
    rule = function(state, value, lambda real: real, ())
    first, last = rule(np.broadcast_to(np.array([[interval.lo], [interval.hi]]), (2, rows)))
    rising = np.asarray(last >= first)
    return rising if rows == 1 else rising.reshape(1, rows, *(1,) * (len(value.shape) - 2))


def _oriented(state: Import, node: onnx.NodeProto, source: Quantized, rising: Anything) -> Quantized:
    """The source with the integers of falling channels negated, and their scales too."""
    if np.asarray(rising).all():
        return source
    sign = np.where(rising, 1, -1).astype(np.int64)
    factors = sign.reshape(-1, 1) if sign.size > 1 else sign.reshape(1, 1)
    rank = len(source.shape)
    turned = channels_last(
        state, node, source,
        lambda inner: nodes.Add.of(state.name(f"{node.name}_sign"), (inner,), factors),
    )  # fmt: skip
    scale = np.asarray(source.scale * (sign.reshape((1,) * rank) if sign.size == 1 else sign))
    return replace(turned, scale=scale, offset=source.offset)


def _negated(value: Quantized | Pending) -> Quantized:
    assert isinstance(value, Quantized)
    return replace(value, scale=-value.scale, offset=-value.offset, codes=None, product=None)


def _axes(node: onnx.NodeProto, x: Activation, given: Value | None) -> list[int]:
    rank = len(x.shape)
    found = attribute(node, "axes", list[int]())
    if isinstance(given, Constant):
        found = [int(axis) for axis in constant(given, "axes").ravel()]
    if not found:
        single = x.batched and x.shape[0] == 1 and attribute(node, "keepdims", 1)  # then the batch axis stays as it is
        return [] if attribute(node, "noop_with_empty_axes", 0) else list(range(int(single), rank))
    if not all(-rank <= axis < rank for axis in found):
        raise Refused(f"its axes {found} must lie within {rank} axes", "Export the model again")
    return sorted({axis % rank for axis in found})
