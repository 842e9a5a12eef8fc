"""Rewriting a case's model: constants for inputs, quantizers around the operator, operands from one tensor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from conformance_check import executor
from conformance_samples import Array, largest
from onnx import TensorProto, helper, numpy_helper

Model = onnx.ModelProto
QDQ = ((1.0, 5), (0.6, -9))  # of the operands' quantizers: scale relative to the grid's range, and zero point
LEVELS = 100  # how many steps of an operand's quantizer cover the largest magnitude
OUTPUT_LEVELS = 93.7  # and of the output's: its ratio to LEVELS makes no exact ties, which float sums would decide
OUTPUT_ZERO = 3
OLDEST, RECENT, NEWEST = 13, 19, 25  # the opsets whose quantizers onnxruntime runs, and from RECENT also onnx
INSTEAD = 21


def copied(model: Model) -> Model:
    return Model.FromString(model.SerializeToString())


def at_opset(model: Model) -> Model | None:
    """The model at an opset with quantizers that an executor runs; None if the operator does not exist there so."""
    result = copied(model)
    (entry,) = [item for item in result.opset_import if item.domain in ("", "ai.onnx")]
    if RECENT <= entry.version <= NEWEST:
        return result
    own, entry.version = entry.version, INSTEAD
    result.ir_version = max(result.ir_version, 10)
    try:
        onnx.checker.check_model(result, full_check=True)
        return result
    except Exception:  # the checker and shape inference raise several types
        return copied(model) if OLDEST <= own <= NEWEST else None


def indexed(model: Model, constants: Sequence[Array], index: int, output: int = 0) -> Model:
    """The model with one input and one output; the other inputs become initializers."""
    result = copied(model)
    inputs, outputs = list(result.graph.input), list(result.graph.output)
    del result.graph.input[:], result.graph.output[:]
    result.graph.input.append(inputs[index])
    result.graph.output.append(outputs[output])
    for position, item in enumerate(inputs):
        if position != index:
            result.graph.initializer.append(numpy_helper.from_array(np.asarray(constants[position]), item.name))
    return result


def requantized(model: Model, inputs: Sequence[Array]) -> Model | None:
    """With its output quantized to int8 and dequantized; None where it is no number or cannot be computed."""
    try:
        run = executor(model)
        outputs = [np.asarray(run([array])[0]) for array in inputs]
    except Exception:  # executors raise all kinds
        return None
    if outputs[0].dtype.kind in "OUS" or not any(part.size for part in outputs):
        return None
    result = copied(model)
    graph, name = result.graph, result.graph.output[0].name
    if outputs[0].dtype != np.float32:
        graph.node.append(helper.make_node("Cast", [name], ["lw_float"], name="lw_cast", to=TensorProto.FLOAT))
        name = "lw_float"
    name = _pair(graph, name, "lw_output", largest(outputs) / OUTPUT_LEVELS, OUTPUT_ZERO)
    graph.output[0].CopyFrom(helper.make_tensor_value_info(name, TensorProto.FLOAT, outputs[0].shape))
    return result


def quantized(
    model: Model, inputs: Sequence[Array], weights: Sequence[str], biases: Sequence[str], axis: int | None
) -> Model:
    """With a quantizer after its input, int8 weights (per tensor, or per `axis`) and int32 biases, dequantized."""
    result = copied(model)
    graph, source = result.graph, result.graph.input[0].name
    body = list(graph.node)
    del graph.node[:]
    scale = np.float32(largest(inputs) / LEVELS)
    name, weight_scale = _pair(graph, source, "lw_input", float(scale), QDQ[0][1]), np.float32(1)
    for item in list(graph.initializer):
        array = numpy_helper.to_array(item)
        if item.name not in (*weights, *biases) or array.dtype != np.float32:
            continue
        graph.initializer.remove(item)
        if item.name in weights:
            weight_scale = _weight_scale(array, axis)
            spread = (
                weight_scale.reshape([-1 if k == axis else 1 for k in range(array.ndim)])
                if axis is not None
                else weight_scale
            )
            q = np.clip(np.round(array / spread), -127, 127).astype(np.int8)
            _constant(graph, item.name, q, weight_scale, axis)
        else:
            step = np.asarray(scale * weight_scale)
            q = np.round(array / step).astype(np.int32)
            _constant(graph, item.name, q, step, 0 if axis is not None else None)
    for node in body:
        node.input[:] = [name if given == source else given for given in node.input]
        graph.node.append(node)
    return result


def joined(
    model: Model, constants: Sequence[Array], operands: Sequence[int], shapes: Sequence[Sequence[int]], scales: Any
) -> Model:
    """Its operands cut out of one input [1, n], each through a quantizer of its own where scales are given."""
    result = copied(model)
    graph, inputs = result.graph, list(result.graph.input)
    dtype = inputs[operands[0]].type.tensor_type.elem_type
    body = list(graph.node)
    del graph.node[:], graph.input[:], graph.output[1:]
    for position, item in enumerate(inputs):
        if position not in operands:
            graph.initializer.append(numpy_helper.from_array(np.asarray(constants[position]), item.name))
    start = 0
    reach = max((largest([constants[index]]) for index in operands), default=1.0)
    for count, (index, shape) in enumerate(zip(operands, shapes, strict=True)):
        stop = start + int(np.prod(shape))
        for key, value in (("start", [start]), ("stop", [stop]), ("axis", [1]), ("shape", list(shape))):
            graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"lw_{key}_{count}"))
        cut, name = f"lw_cut_{count}", inputs[index].name
        bounds = [f"lw_{key}_{count}" for key in ("start", "stop", "axis")]
        graph.node.append(helper.make_node("Slice", ["lw_activations", *bounds], [cut], name=f"lw_slice_{count}"))
        shaped = name if scales is None else f"lw_shaped_{count}"
        graph.node.append(helper.make_node("Reshape", [cut, f"lw_shape_{count}"], [shaped], name=f"lw_reshape_{count}"))
        if scales is not None:
            factor, zero = scales[count % len(scales)]
            made = _pair(graph, shaped, f"lw_operand_{count}", factor * reach / LEVELS, zero)
            graph.node.append(helper.make_node("Identity", [made], [name], name=f"lw_identity_{count}"))
        start = stop
    graph.node.extend(body)
    graph.input.append(helper.make_tensor_value_info("lw_activations", dtype, [1, start]))
    return result


def _pair(graph: onnx.GraphProto, source: str, name: str, scale: float, zero: int) -> str:
    """QuantizeLinear and DequantizeLinear to int8; the name of the result."""
    graph.initializer.append(numpy_helper.from_array(np.array(scale, np.float32), f"{name}_scale"))
    graph.initializer.append(numpy_helper.from_array(np.array(zero, np.int8), f"{name}_zero"))
    parameters = [f"{name}_scale", f"{name}_zero"]
    graph.node.append(helper.make_node("QuantizeLinear", [source, *parameters], [f"{name}_q"], name=f"{name}_quantize"))
    graph.node.append(
        helper.make_node("DequantizeLinear", [f"{name}_q", *parameters], [name], name=f"{name}_dequantize")
    )
    return name


def _constant(graph: onnx.GraphProto, name: str, q: Array, scale: Array, axis: int | None) -> None:
    """An integer initializer and the DequantizeLinear that makes `name` from it."""
    graph.initializer.append(numpy_helper.from_array(q, f"{name}_q"))
    graph.initializer.append(numpy_helper.from_array(np.asarray(scale), f"{name}_scale"))
    keys = {} if axis is None else {"axis": axis}
    graph.node.append(
        helper.make_node("DequantizeLinear", [f"{name}_q", f"{name}_scale"], [name], name=f"{name}_dq", **keys)
    )


def _weight_scale(array: Array, axis: int | None) -> Array:
    """What makes the largest magnitude 127, for all or for each slice along the axis."""
    others = None if axis is None else tuple(k for k in range(array.ndim) if k != axis)
    peak = np.abs(array).max(axis=others)
    return np.asarray(np.where(peak == 0, 1, peak) / np.float32(127), np.float32)
