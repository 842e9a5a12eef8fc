"""A float model made ready: read, checked, optimized by onnxruntime's tool, and its layers brought into one form."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import helper, version_converter
from onnxruntime.quantization import quant_pre_process

from lutwright.errors import ModelError
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.onnx_import.source import Source, read
from lutwright.frontend.quantize.graph import Anything, FloatGraph, attributes

OPSET = 13  # the first whose DequantizeLinear has an axis
QUANTIZING = {
    *("QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul"),
    *("ConvInteger", "MatMulInteger", "Quant", "IntQuant", "BipolarQuant", "FloatQuant", "Trunc", "MultiThreshold"),
}
MOVABLE = ("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze")  # Relu after these is Relu before


def read_float(path: str | Path) -> Source:
    """The float model in the file; ModelError if it is no valid model, or is quantized already."""
    source = read(path)
    for node in source.nodes:
        if node.op_type in QUANTIZING or node.op_type.startswith("QLinear"):
            raise ModelError(
                f"'{path}' must be a float model, but {node.op_type} '{node.name}' says that it is quantized already. "
                "Give it to lutwright inspect, compile or build as it is"
            )
    return source


def prepare(source: Source) -> FloatGraph:
    """The float model after constant folding, the fusion of BatchNormalization and the like.

    ModelError if it cannot run in onnxruntime.
    """
    model = source.model
    if source.opset < OPSET:
        try:
            model = version_converter.convert_version(model, OPSET)
        except Exception as error:  # the converter raises RuntimeError and its own kinds
            raise ModelError(
                f"the model must have ONNX opset {OPSET} or newer, not {source.opset}, and cannot be converted: "
                f"{error}. Export it with a newer opset"
            ) from error
    try:
        session(model)
    except Exception as error:  # onnxruntime's exceptions have no common type
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"the model must run in onnxruntime, but: {reason}. Export it with standard operators"
        ) from error
    with TemporaryDirectory() as folder:
        before, after = Path(folder) / "float.onnx", Path(folder) / "optimized.onnx"
        onnx.save(model, before)
        quant_pre_process(before, after, skip_symbolic_shape=True)  # that needs sympy, and no shape here is symbolic
        graph = FloatGraph.of(read(after))
    return _relu_first(_normalization_folded(_gemms(graph)))


def _gemms(graph: FloatGraph) -> FloatGraph:
    """MatMul of a matrix as Gemm, which has room for a bias; Gemm with alpha = beta = 1 and a bias of one axis."""
    nodes, constants = list[onnx.NodeProto](), dict(graph.constants)
    for node in graph.nodes:
        if node.op_type == "MatMul" and _is_matrix_product(graph, node):
            node = helper.make_node("Gemm", list(node.input), list(node.output), node.name)
        elif node.op_type == "Gemm":
            node = _plain_gemm(node, constants)
        nodes.append(node)
    return graph.changed(nodes, constants)


def _is_matrix_product(graph: FloatGraph, node: onnx.NodeProto) -> bool:
    x, weight = node.input
    return len(graph.shapes.get(x, ())) == 2 and graph.constant(weight) and graph.constants[weight].ndim == 2


def _plain_gemm(node: onnx.NodeProto, constants: dict[str, Anything]) -> onnx.NodeProto:
    values = {"alpha": 1.0, "beta": 1.0} | attributes(node)
    if node.input[1] not in constants:
        return node
    weight = constants[node.input[1]]
    inputs = [node.input[0], node.input[1]]
    if values["alpha"] != 1:
        inputs[1] = f"{node.output[0]}_weight"
        constants[inputs[1]] = weight * weight.dtype.type(values["alpha"])
    if len(node.input) > 2 and node.input[2]:
        bias = constants.get(node.input[2])
        size = weight.shape[0] if values.get("transB", 0) else weight.shape[1]
        if bias is None or bias.size not in (1, size) or bias.shape[-1:] not in ((), (1,), (size,)):
            return node
        inputs.append(f"{node.output[0]}_bias")
        constants[inputs[2]] = np.broadcast_to(bias.reshape(-1) * bias.dtype.type(values["beta"]), (size,)).copy()
    kept = {name: value for name, value in values.items() if name not in ("alpha", "beta")}
    return helper.make_node("Gemm", inputs, list(node.output), node.name, **kept)


def _normalization_folded(graph: FloatGraph) -> FloatGraph:
    """BatchNormalization after a Gemm or ConvTranspose inside it: those that onnxruntime leaves."""
    users, makers = graph.users(), graph.makers()
    nodes, constants = list(graph.nodes), dict(graph.constants)
    for node in graph.nodes:
        layer = makers.get(node.input[0])
        if node.op_type != "BatchNormalization" or layer is None or layer not in nodes:
            continue
        if layer.op_type not in ("Conv", "ConvTranspose", "Gemm") or graph.only_user(node.input[0], users) is None:
            continue
        if not all(name in constants for name in (*node.input[1:], *filter(None, layer.input[1:]))):
            continue
        nodes[nodes.index(layer)] = _scaled(layer, node, constants)
        nodes.remove(node)
    return graph.changed(nodes, constants)


def _scaled(layer: onnx.NodeProto, normalization: onnx.NodeProto, constants: dict[str, Anything]) -> onnx.NodeProto:
    """The layer with the normalization's factor in its weights and bias, giving the normalization's output."""
    gain, shift, mean, variance = (constants[name].astype(np.float64) for name in normalization.input[1:])
    factor = gain / np.sqrt(variance + attributes(normalization).get("epsilon", 1e-5))
    weight, values = constants[layer.input[1]], attributes(layer)
    axis, groups = channel_axis(layer), values.get("group", 1) if layer.op_type == "ConvTranspose" else 1
    shape = [-1 if index == axis else 1 for index in range(weight.ndim)]
    if groups == 1:
        scaled = weight * factor.reshape(shape)
    else:
        per_group = zip(np.split(weight, groups), np.split(factor, groups), strict=True)
        scaled = np.concatenate([part * gains.reshape(shape) for part, gains in per_group])
    bias = constants[layer.input[2]] if len(layer.input) > 2 and layer.input[2] else np.zeros(len(factor))
    output = normalization.output[0]
    names = [f"{output}_weight", f"{output}_bias"]
    constants[names[0]] = scaled.astype(weight.dtype)
    constants[names[1]] = ((bias - mean) * factor + shift).astype(weight.dtype)
    return helper.make_node(layer.op_type, [layer.input[0], *names], [output], layer.name, **values)


def channel_axis(layer: onnx.NodeProto) -> int:
    """The axis of the weights along which the output's channels lie."""
    if layer.op_type == "Conv":
        return 0
    if layer.op_type == "Gemm":
        return 0 if attributes(layer).get("transB", 0) else 1
    return 1


def _relu_first(graph: FloatGraph) -> FloatGraph:
    """Relu and Clip moved before the pools and reshapes that they follow, for there they end a layer."""
    moved = _moved(graph)
    while moved is not None:
        graph, moved = moved, _moved(moved)
    return graph


def _moved(graph: FloatGraph) -> FloatGraph | None:
    users, makers = graph.users(), graph.makers()
    for index, node in enumerate(graph.nodes):
        before = makers.get(node.input[0]) if node.op_type in ("Relu", "Clip") else None
        if before is None or before.op_type not in MOVABLE or len(before.output) > 1:
            continue
        if graph.only_user(before.output[0], users) is None or not all(map(graph.constant, node.input[1:])):
            continue
        x, between, y = before.input[0], before.output[0], node.output[0]
        first, second = onnx.NodeProto(), onnx.NodeProto()
        first.CopyFrom(node), second.CopyFrom(before)
        first.input[0], first.output[0] = x, between
        second.input[0], second.output[0] = between, y
        nodes: list[Any] = list(graph.nodes)
        nodes[index] = second
        nodes[graph.nodes.index(before)] = first
        shapes = graph.shapes | ({between: graph.shapes[x]} if x in graph.shapes else {})
        return replace(graph, nodes=tuple(nodes), shapes=shapes)
    return None
