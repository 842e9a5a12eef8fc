"""docs/qdq_fusion.md is true: what onnxruntime's optimized graphs make of quantizers around operators."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.onnx_import import fused

ZERO = {"uint8": 128, "int8": 0, "uint16": 32768}
LOWEST = {"uint8": 0, "int8": -128}


class Network:
    """Nodes of a QDQ graph whose activations are of one type."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.nodes: list[Any] = []
        self.inputs: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, array: Any) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return str(self.constants[-1].name)

    def node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], name, **attributes))
        return name

    def linear(self, operator: str, x: str, scale: Any, zero: Any, kind: str, **attributes: Any) -> str:
        parameters = self.constant(np.asarray(scale, np.float32)), self.constant(np.asarray(zero, kind))
        return self.node(operator, x, *parameters, **attributes)

    def quantized(self, x: str, scale: float = 0.07, zero: int | None = None) -> str:
        """x quantized and dequantized."""
        zero = ZERO[self.kind] if zero is None else zero
        q = self.linear("QuantizeLinear", x, scale, zero, self.kind)
        return self.linear("DequantizeLinear", q, scale, zero, self.kind)

    def activation(self, *shape: Any, scale: float = 0.05) -> str:
        name = f"x{len(self.inputs)}"
        self.inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return self.quantized(name, scale)

    def weight(self, *shape: int, kind: str = "int8", channels: int = 0, zero: int = 0) -> str:
        codes = np.random.default_rng(0).integers(0, 100, shape).astype(kind)
        scale = np.full(channels, 0.02) if channels else 0.02
        axis = {"axis": shape.index(channels)} if channels else {}
        return self.linear("DequantizeLinear", self.constant(codes), scale, np.full_like(scale, zero), kind, **axis)

    def bias(self, size: int, scale: float = 0.001, kind: str = "int32") -> str:
        codes = self.constant(np.arange(size).astype(kind))
        return self.node("DequantizeLinear", codes, self.constant(np.float32(scale)))

    def reals(self, *shape: int) -> str:
        return self.constant(np.random.default_rng(0).standard_normal(shape).astype(np.float32))

    def conv(self, *bias: str, **weight: Any) -> str:
        return self.node("Conv", self.activation(1, 3, 8, 8), self.weight(4, 3, 3, 3, **weight), *bias)

    def gemm(self, *bias: str, **attributes: Any) -> str:
        return self.node("Gemm", self.activation(2, 8), self.weight(8, 6), *bias, **attributes)

    def matmul(self, *shape: Any, **weight: Any) -> str:
        return self.node("MatMul", self.activation(*(shape or (2, 8))), self.weight(8, 6, **weight))

    def unary(self, operator: str, *inputs: str, scale: float = 0.07, **attributes: Any) -> str:
        return self.quantized(self.node(operator, self.activation(1, 3, 8, 8), *inputs, **attributes), scale)

    def pair(self, operator: str) -> str:
        return self.quantized(self.node(operator, self.activation(2, 5), self.activation(2, 5, scale=0.03)))

    def lowest(self, x: str) -> str:
        return self.quantized(self.node("Relu", x), 0.07, LOWEST[self.kind])

    def clip(self, x: str, lo: float, hi: float) -> str:
        return self.node("Clip", x, self.constant(np.float32(lo)), self.constant(np.float32(hi)))

    def sizes(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))


def operators(
    kind: str, build: Callable[[Network], Any], folder: Path, int8_allowed: bool, opset: int = 13
) -> set[str]:
    """The operators of the optimized graph, but for quantizers and the transposes of channel-last convolutions."""
    network = Network(kind)
    result = build(network)
    outputs = [onnx.ValueInfoProto(name=name) for name in ([result] if isinstance(result, str) else result)]
    graph = helper.make_graph(network.nodes, "g", network.inputs, outputs, network.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.add_session_config_entry("session.qdqisint8allowed", str(int(int8_allowed)))
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [node.op_type for node in onnx.load(folder / "optimized.onnx").graph.node]
    return {name for name in names if name not in ("QuantizeLinear", "DequantizeLinear", "Transpose")}


# What a group becomes, uint8 by default and int8 with session.qdqisint8allowed.
GROUPS: list[tuple[str, Callable[[Network], Any], set[str]]] = [
    ("conv", lambda n: n.quantized(n.conv()), {"QLinearConv"}),
    ("conv per channel", lambda n: n.quantized(n.conv(channels=4, zero=5)), {"QLinearConv"}),
    ("conv int32 bias", lambda n: n.quantized(n.conv(n.bias(4))), {"QLinearConv"}),
    ("conv int32 bias 1 % off", lambda n: n.quantized(n.conv(n.bias(4, 0.001009))), {"QLinearConv"}),
    ("conv int32 bias 2 % off", lambda n: n.quantized(n.conv(n.bias(4, 0.00102))), {"Conv"}),
    ("conv int8 bias", lambda n: n.quantized(n.conv(n.bias(4, kind="int8"))), {"Conv"}),
    ("conv float bias", lambda n: n.quantized(n.conv(n.reals(4))), {"QLinearConv"}),
    (
        "conv float weights",
        lambda n: n.quantized(n.node("Conv", n.activation(1, 3, 8, 8), n.reals(4, 3, 3, 3))),
        {"QLinearConv"},
    ),
    ("conv relu lowest", lambda n: n.lowest(n.conv()), {"QLinearConv"}),
    ("conv relu inside", lambda n: n.quantized(n.node("Relu", n.conv())), {"FusedConv"}),
    ("conv clip wide", lambda n: n.quantized(n.clip(n.conv(), -50, 60)), {"QLinearConv"}),
    ("conv clip narrow", lambda n: n.quantized(n.clip(n.conv(), 0, 6)), {"FusedConv"}),
    ("conv no q", lambda n: n.conv(), {"Conv"}),
    ("conv leaky relu", lambda n: n.quantized(n.node("LeakyRelu", n.conv())), {"FusedConv"}),
    ("conv add", lambda n: n.quantized(n.node("Add", n.conv(), n.reals(4, 1, 1))), {"Conv", "Add"}),
    (
        "conv maxpool",
        lambda n: n.quantized(n.node("MaxPool", n.conv(), kernel_shape=[2, 2])),
        {"QLinearConv", "NhwcMaxPool"},
    ),
    (
        "convtranspose",
        lambda n: n.quantized(n.node("ConvTranspose", n.activation(1, 3, 8, 8), n.weight(3, 4, 3, 3))),
        {"ConvTranspose"},
    ),
    ("matmul", lambda n: n.quantized(n.matmul()), {"QLinearMatMul"}),
    ("matmul per column", lambda n: n.quantized(n.matmul(channels=6, zero=5)), {"QLinearMatMul"}),
    ("matmul no q", lambda n: n.matmul(), {"MatMulIntegerToFloat"}),
    ("matmul relu lowest", lambda n: n.lowest(n.matmul()), {"QLinearMatMul"}),
    ("matmul add", lambda n: n.quantized(n.node("Add", n.matmul(), n.reals(6))), {"QGemm"}),
    ("matmul add no q", lambda n: n.node("Add", n.matmul(), n.reals(6)), {"Gemm"}),
    ("matmul add symbolic", lambda n: n.quantized(n.node("Add", n.matmul("N", 8), n.reals(6))), {"QGemm"}),
    (
        "matmul add symbolic 3-d",
        lambda n: n.quantized(n.node("Add", n.matmul("N", 5, 8), n.reals(6))),
        {"MatMulIntegerToFloat", "Add"},
    ),
    ("gemm", lambda n: n.quantized(n.gemm()), {"QGemm"}),
    ("gemm no q", lambda n: n.gemm(), {"QGemm"}),
    ("gemm int32 bias", lambda n: n.quantized(n.gemm(n.bias(6))), {"QGemm"}),
    ("gemm int32 bias of any scale", lambda n: n.quantized(n.gemm(n.bias(6, 0.5))), {"QGemm"}),
    ("gemm int32 bias no q", lambda n: n.gemm(n.bias(6)), {"QGemm"}),
    ("gemm float bias", lambda n: n.quantized(n.gemm(n.reals(6))), {"QGemm"}),
    ("gemm float bias no q", lambda n: n.gemm(n.reals(6)), {"Gemm"}),
    ("gemm alpha", lambda n: n.quantized(n.gemm(alpha=0.5)), {"QGemm"}),
    ("gemm alpha int32 bias", lambda n: n.quantized(n.gemm(n.bias(6), alpha=0.5)), {"Gemm"}),
    ("gemm beta int32 bias", lambda n: n.quantized(n.gemm(n.bias(6), beta=0.5)), {"Gemm"}),
    ("add", lambda n: n.pair("Add"), {"QLinearAdd"}),
    ("mul", lambda n: n.pair("Mul"), {"QLinearMul"}),
    ("sub", lambda n: n.pair("Sub"), {"Sub"}),
    ("add float constant", lambda n: n.unary("Add", n.reals(8)), {"Add"}),
    ("add relu lowest", lambda n: n.lowest(n.node("Add", n.activation(2, 5), n.activation(2, 5))), {"QLinearAdd"}),
    ("sigmoid", lambda n: n.unary("Sigmoid"), {"QLinearSigmoid"}),
    ("leaky relu", lambda n: n.unary("LeakyRelu"), {"QLinearLeakyRelu"}),
    ("softmax", lambda n: n.unary("Softmax"), {"QLinearSoftmax"}),
    ("average pool", lambda n: n.unary("AveragePool", kernel_shape=[2, 2]), {"QLinearAveragePool"}),
    ("global average pool", lambda n: n.unary("GlobalAveragePool"), {"QLinearGlobalAveragePool"}),
    ("reduce mean", lambda n: n.unary("ReduceMean", axes=[2, 3]), {"ReduceMean"}),
    (
        "concat",
        lambda n: n.quantized(n.node("Concat", n.activation(2, 5), n.activation(2, 5), axis=1)),
        {"QLinearConcat"},
    ),
    ("relu", lambda n: n.unary("Relu"), {"Relu"}),
    ("relu lowest", lambda n: n.lowest(n.activation(2, 5)), set()),
    ("tanh", lambda n: n.unary("Tanh"), {"Tanh"}),
    ("linear resize", lambda n: n.unary("Resize", "", n.constant(np.float32([1, 1, 2, 2])), mode="linear"), {"Resize"}),
    ("conv two readers", lambda n: [n.quantized(y := n.conv()), n.node("Tanh", y)], {"Conv", "Tanh"}),
    ("conv twice quantized", lambda n: [n.quantized(y := n.conv()), n.quantized(y, 0.09)], {"Conv"}),
]


@pytest.mark.parametrize("kind, int8_allowed", [("uint8", False), ("int8", True)])
@pytest.mark.parametrize("build, wanted", [pytest.param(*group, id=name) for name, *group in GROUPS])
def test_groups(build: Any, wanted: set[str], kind: str, int8_allowed: bool, tmp_path: Path) -> None:
    assert operators(kind, build, tmp_path, int8_allowed) == wanted


# Operators that move data drop DQ and Q around them where the grids are equal: one Q and one DQ are left.
MOVES = [
    ("Reshape", lambda n: [n.sizes(1, -1)], {}, True),
    ("Transpose", lambda n: [], {"perm": [0, 2, 3, 1]}, True),
    ("Slice", lambda n: [n.sizes(1), n.sizes(5), n.sizes(2)], {}, True),
    ("MaxPool", lambda n: [], {"kernel_shape": [2, 2]}, True),
    ("Resize", lambda n: ["", n.constant(np.float32([1, 1, 2, 2]))], {"mode": "nearest"}, True),
    ("Pad", lambda n: [n.sizes(0, 0, 1, 1, 0, 0, 1, 1)], {}, False),
]


@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("operator, inputs, attributes, drops", MOVES)
def test_moves(operator: str, inputs: Any, attributes: Any, drops: bool, kind: str, tmp_path: Path) -> None:
    for scale, quantizers in ((0.05, 1 if drops else 2), (0.07, 2)):
        operators(kind, lambda n, s=scale: n.unary(operator, *inputs(n), scale=s, **attributes), tmp_path, False)
        names = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
        assert names.count("QuantizeLinear") == names.count("DequantizeLinear") == quantizers


@pytest.mark.parametrize("channels", [0, 4])
def test_float_bias_becomes_int32(channels: int, tmp_path: Path) -> None:
    operators("uint8", lambda n: n.quantized(n.conv(n.reals(4), channels=channels)), tmp_path, False)
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    conv = next(node for node in graph.node if node.op_type == "QLinearConv")
    bias = next(item for item in graph.initializer if item.name == conv.input[8])
    reals = np.random.default_rng(0).standard_normal(4).astype(np.float32)
    wanted = fused.quantize_bias(reals, np.float32(0.05), np.float32(0.02))
    assert np.array_equal(numpy_helper.to_array(bias), wanted)


def residual(n: Network) -> str:
    x = n.activation(1, 4, 8, 8)
    return n.quantized(n.node("Add", n.quantized(n.node("Conv", x, n.weight(4, 4, 1, 1)), 0.03), x))


def test_two_readers_keep_int8_in_float_by_default(tmp_path: Path) -> None:
    assert operators("uint8", residual, tmp_path, False) == {"QLinearConv", "QLinearAdd"}
    assert operators("int8", residual, tmp_path, False) == {"Conv", "Add"}
    assert operators("int8", residual, tmp_path, True) == {"QLinearConv", "QLinearAdd"}


def test_16_bit_matmul_is_no_reference(tmp_path: Path) -> None:
    assert operators("uint16", lambda n: n.quantized(n.matmul()), tmp_path, False, 21) == {"MatMulNBits"}
    assert operators("uint16", lambda n: n.quantized(n.conv()), tmp_path, False, 21) == {"Conv"}
    assert operators("uint16", lambda n: n.pair("Add"), tmp_path, False, 21) == {"Add"}
