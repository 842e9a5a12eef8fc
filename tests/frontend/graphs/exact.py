"""Operators in plain NumPy float64, from their definitions: exact for integers, and the arbiter of float32 ties."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]


def execute(model: onnx.ModelProto, x: Array) -> dict[str, Array]:
    """Every tensor's values as float64 that holds integers (quotients where a pool averages)."""
    opset = next(entry.version for entry in model.opset_import if entry.domain == "")
    values = {item.name: constant(item) for item in model.graph.initializer} | {"input": x.astype(np.float64)}
    for node in model.graph.node:
        outputs = run_node(node, [values[name] if name else None for name in node.input], opset)
        values |= dict(zip(node.output, outputs, strict=True))
    return {name: values[name] for node in model.graph.node for name in node.output}


def run_node(node: onnx.NodeProto, inputs: list[Array | None], opset: int) -> list[Array]:
    """One operator on float64: exact for integers, else to float64's precision."""
    attributes = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
    if node.op_type == "RequantShift":
        return [requant_shift(*inputs, attributes)]  # type: ignore[arg-type]
    if node.op_type == "GlobalMaxPool":  # ONNX's evaluator gives a second output
        assert inputs[0] is not None
        return [inputs[0].max(axis=tuple(range(2, inputs[0].ndim)), keepdims=True)]
    if node.op_type in WINDOWED:
        return [WINDOWED[node.op_type](attributes, *inputs)]
    single = onnx.helper.make_graph([node], "one", _infos(node.input), _infos(node.output))
    one = onnx.helper.make_model(single, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=8)
    given = {name: value for name, value in zip(node.input, inputs, strict=True) if value is not None}
    return [np.asarray(value) for value in ReferenceEvaluator(one).run(None, given)]


def requant_shift(x: Array, mul: Array, add: Array, attributes: dict[str, Any]) -> Array:
    """clip(floor((x * mul + add + div / 2) / div)), in integers."""
    div, levels, signed = (
        int(numpy_helper.to_array(attributes[name]).flat[0]) for name in ("div", "n_levels_out", "signed")
    )
    numerator = x.astype(object) * mul.astype(np.int64) + add.astype(np.int64)
    low, high = (-(levels // 2), levels // 2 - 1) if signed else (0, levels - 1)
    exact = np.array(
        [(2 * int(n) + div) // (2 * div) if n == int(n) else np.floor((n + div / 2) / div) for n in numerator.flat]
    )
    return np.clip(exact, low, high).astype(np.float64).reshape(x.shape)


def constant(item: onnx.TensorProto) -> Array:
    """An initializer, floats as float64."""
    array = numpy_helper.to_array(item)
    return array.astype(np.float64) if array.dtype.kind == "f" and array.size else array


def _infos(names: Any) -> list[onnx.ValueInfoProto]:
    return [onnx.ValueInfoProto(name=name) for name in names if name]


def _geometry(attributes: dict[str, Any], sizes: tuple[int, ...], kernel: list[int]) -> tuple[list[int], ...]:
    """Strides, dilations, pads before and after each axis."""
    rank = len(sizes)
    strides, dilations = attributes.get("strides", [1] * rank), attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    auto = attributes.get("auto_pad", b"NOTSET").decode()
    before, after = list(pads[:rank]), list(pads[rank:])
    if auto.startswith("SAME"):
        for axis in range(rank):
            reach = (kernel[axis] - 1) * dilations[axis] + 1
            total = max(0, (-(-sizes[axis] // strides[axis]) - 1) * strides[axis] + reach - sizes[axis])
            small, large = total // 2, total - total // 2
            before[axis], after[axis] = (small, large) if auto == "SAME_UPPER" else (large, small)
    return strides, dilations, before, after


def _windows(attributes: dict[str, Any], x: Array, kernel: list[int], fill: float) -> Array:
    """[n, c, *out, *kernel]: what each window sees, `fill` outside."""
    sizes = x.shape[2:]
    strides, dilations, before, after = _geometry(attributes, sizes, kernel)
    padded = np.pad(x, [(0, 0), (0, 0), *zip(before, after, strict=True)], constant_values=fill)
    out = [
        (n - (k - 1) * d - 1) // s + 1 for n, k, d, s in zip(padded.shape[2:], kernel, dilations, strides, strict=True)
    ]
    result = np.empty((*x.shape[:2], *out, *kernel))
    for place in product(*map(range, kernel)):
        cut = [
            slice(p * d, p * d + (o - 1) * s + 1, s) for p, d, o, s in zip(place, dilations, out, strides, strict=True)
        ]
        result[(..., *place)] = padded[(slice(None), slice(None), *cut)]
    return result


def _conv(attributes: dict[str, Any], x: Array, weight: Array, bias: Array | None = None) -> Array:
    group, rank = attributes.get("group", 1), weight.ndim - 2
    seen = _windows(attributes, x, list(weight.shape[2:]), 0.0)
    parts = []
    for part, w in zip(np.split(seen, group, axis=1), np.split(weight, group, axis=0), strict=True):
        axes = [1, *range(part.ndim - rank, part.ndim)]
        parts.append(np.moveaxis(np.tensordot(part, w, (axes, range(1, w.ndim))), -1, 1))
    y = np.concatenate(parts, axis=1)
    return y if bias is None else y + bias.reshape(-1, *(1,) * rank)


def _conv_transpose(attributes: dict[str, Any], x: Array, weight: Array, bias: Array | None = None) -> Array:
    """Every input element adds the kernel, times itself, to the output."""
    group, kernel, sizes = attributes.get("group", 1), weight.shape[2:], x.shape[2:]
    strides, dilations, before, after = _geometry(attributes, sizes, list(kernel))
    extra = attributes.get("output_padding", [0] * len(sizes))
    full = [
        (n - 1) * s + (k - 1) * d + 1 + e
        for n, s, k, d, e in zip(sizes, strides, kernel, dilations, extra, strict=True)
    ]
    parts = []
    for part, w in zip(np.split(x, group, axis=1), np.split(weight, group, axis=0), strict=True):
        y = np.zeros((len(x), w.shape[1], *full))
        for place in product(*map(range, kernel)):
            cut = [
                slice(p * d, p * d + (n - 1) * s + 1, s)
                for p, d, n, s in zip(place, dilations, sizes, strides, strict=True)
            ]
            y[(slice(None), slice(None), *cut)] += np.einsum(
                "nc...,co->no...", part, w[(slice(None), slice(None), *place)]
            )
        parts.append(y)
    y = np.concatenate(parts, axis=1)
    y = y[(slice(None), slice(None), *(slice(b, f - a) for b, f, a in zip(before, full, after, strict=True)))]
    return y if bias is None else y + bias.reshape(-1, *(1,) * len(sizes))


def _max_pool(attributes: dict[str, Any], x: Array) -> Array:
    kernel = attributes["kernel_shape"]
    return _windows(attributes, x, kernel, -np.inf).max(axis=tuple(range(-len(kernel), 0)))


def _average_pool(attributes: dict[str, Any], x: Array) -> Array:
    kernel = attributes["kernel_shape"]
    axes = tuple(range(-len(kernel), 0))
    count = _windows(attributes, np.ones_like(x), kernel, float(attributes.get("count_include_pad", 0))).sum(axis=axes)
    return _windows(attributes, x, kernel, 0.0).sum(axis=axes) / count


WINDOWED = {"Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _max_pool, "AveragePool": _average_pool}
