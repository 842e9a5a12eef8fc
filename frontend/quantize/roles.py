"""What each operator is to a quantized network."""

from __future__ import annotations

from enum import Enum, auto

import onnx

from lutwright.frontend.quantize.graph import FloatGraph, attributes


class Role(Enum):
    """What an operator needs of its inputs, and what its output is.

    LAYER, JOIN and AVERAGE need quantized inputs and give new values; CONCAT and PASS give values of their inputs;
    AFFINE, elementwise, belongs to what makes its input; FUNCTION, elementwise, takes a quantized input; FLOAT stays
    as it is; OTHER does not compute with floats at all.
    """

    LAYER = auto()
    JOIN = auto()
    AVERAGE = auto()
    CONCAT = auto()
    PASS = auto()
    AFFINE = auto()
    FUNCTION = auto()
    FLOAT = auto()
    OTHER = auto()


LAYERS = {"Conv", "ConvTranspose", "Gemm", "MatMul"}
AVERAGES = {"AveragePool", "GlobalAveragePool", "ReduceMean"}
PASSES = {
    *("MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Pad", "Slice", "Resize"),
    *("DepthToSpace", "Identity", "GlobalMaxPool", "Split"),
}
AFFINES = {"Relu", "Clip", "BatchNormalization"}
ARITHMETIC = {"Add", "Sub", "Mul", "Div"}
FUNCTIONS = {"LeakyRelu", "Sigmoid", "Tanh", "HardSigmoid", "HardSwish"}
HOST = {"Softmax", "LogSoftmax", "ArgMax", "TopK", "Cast"}  # no loss where they stand before or after the network


def role(graph: FloatGraph, node: onnx.NodeProto) -> tuple[Role, str]:
    """The node's role, and where it is FLOAT the reason."""
    inputs, kind = graph.inputs(node), node.op_type
    if not any(map(graph.is_float, node.output)) or (not inputs and kind != "Cast"):
        return Role.OTHER, ""
    constants = [name for name in node.input[1:] if name and graph.constant(name)]
    if node.domain or kind not in LAYERS | AVERAGES | PASSES | AFFINES | ARITHMETIC | FUNCTIONS | {"Concat"}:
        return Role.FLOAT, "it is no operator that can be quantized"
    if kind in LAYERS:
        return _layer(graph, node)
    if kind == "Concat":
        same = all(not graph.constant(name) for name in node.input)
        return (Role.CONCAT, "") if same else (Role.FLOAT, "it joins activations with constants")
    if kind in ARITHMETIC:
        if len(inputs) == len(set(node.input)) and kind in ("Add", "Mul"):
            return Role.JOIN, ""
        return (
            (Role.AFFINE, "")
            if len(inputs) < len(set(node.input))
            else (Role.FLOAT, "both its operands are activations")
        )
    if kind in FUNCTIONS:
        return Role.FUNCTION, ""
    if kind in AFFINES:
        known = kind == "Relu" or len(constants) == len([name for name in node.input[1:] if name])
        return (Role.AFFINE, "") if known else (Role.FLOAT, "its parameters are no constants")
    reason = _pass_problem(graph, node)
    if reason:
        return Role.FLOAT, reason
    return Role.AVERAGE if kind in AVERAGES else Role.PASS, ""


def _layer(graph: FloatGraph, node: onnx.NodeProto) -> tuple[Role, str]:
    weights = [name for name in node.input[:2] if graph.constant(name)]
    if len(weights) != 1 or (node.op_type != "MatMul" and weights[0] != node.input[1]):
        return Role.FLOAT, "it has no constant weights"
    if node.op_type == "MatMul" and graph.constants[weights[0]].ndim != 2:
        return Role.FLOAT, "its weights are no matrix"
    if node.op_type == "Gemm" and attributes(node).get("transA", 0):
        return Role.FLOAT, "it transposes its activations (transA)"
    if len(node.input) > 2 and node.input[2]:
        bias = graph.constants.get(node.input[2])
        if bias is None or bias.ndim != 1:
            return Role.FLOAT, "its bias is not one constant a channel"
    return Role.LAYER, ""


def _pass_problem(graph: FloatGraph, node: onnx.NodeProto) -> str:
    values = attributes(node)
    if node.op_type == "Resize" and values.get("mode", b"nearest") != b"nearest":
        return f"its mode is '{values['mode'].decode()}', and only 'nearest' keeps values"
    if node.op_type == "Resize" and values.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        return "it fills in values from outside of its input"
    if node.op_type == "Pad" and values.get("mode", b"constant") == b"constant" and len(node.input) > 2:
        fill = graph.constants.get(node.input[2]) if node.input[2] else None
        if node.input[2] and (fill is None or fill.any()):
            return "it pads with something else than zeros"
    if node.op_type == "MaxPool" and len(node.output) > 1 and node.output[1]:
        return "its indices are used"
    return ""
