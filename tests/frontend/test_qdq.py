"""QuantizeLinear and DequantizeLinear: golden == onnxruntime as users run it, and the nodes that groups become.

docs/qdq_fusion.md has the groups; int8 tensors with two readers would stay float, so int8 cases have one each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from lutwright.errors import ImportRefused
from lutwright.frontend.model import Model, load
from lutwright.frontend.nodes import Conv

from .builder import MICROSOFT, Net, kinds, same, samples

Reals = NDArray[np.float32]


def integers(*shape: int, kind: str = "int8", low: int = -100, high: int = 100) -> NDArray[Any]:
    least, most = (-8, 7) if kind == "int4" else (0, 15) if kind == "uint4" else (low, high)
    found = np.random.default_rng(1).integers(max(least, 0) if kind.startswith("u") else least, most + 1, shape)
    return found.astype(helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind.upper())))


def zero(kind: str, value: int = 0, *shape: int) -> NDArray[Any]:
    return np.full(shape, value).astype(helper.tensor_dtype_to_np_dtype(getattr(TensorProto, kind.upper())))


def qdq(net: Net, output: str, folder: Path, low: float = -7, high: float = 7, step: float = 1 / 64) -> Model:
    return same(net, output, samples(net, low, high, step), folder, "qdq")


OPSETS = [10, 13, 19, 21]
ACTIVATIONS = {
    "uint8": ("uint8", 128),
    "uint8, zero 7": ("uint8", 7),
    "int8": ("int8", 0),
    "int8, zero -9": ("int8", -9),
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize(("kind", "level"), ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_one_convolution(kind: str, level: int, opset: int, tmp_path: Path) -> None:
    """Padding stands for the zero point."""
    net = Net(2, 5, 5, opset=opset)
    w = net.real(integers(3, 2, 3, 3), 0.02, zero("int8"))
    y = net.op("Conv", net.pair("input", 0.05, zero(kind, level)), w, pads=[1, 1, 1, 1])
    model = qdq(net, net.pair(y, 0.37, zero(kind, level)), tmp_path)
    assert kinds(model)[0] == "Conv" and len(kinds(model)) == 2
    (conv,) = [node for node in model.graph if isinstance(node, Conv)]
    assert conv.pad_value == level


WEIGHTS = {"int8": ("int8", 0), "int8, zero 5": ("int8", 5), "uint8": ("uint8", 128), "uint8, zero 90": ("uint8", 90)}


@pytest.mark.parametrize("channels", [False, True], ids=["one scale", "scales per channel"])
@pytest.mark.parametrize(("kind", "level"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights(kind: str, level: int, channels: bool, tmp_path: Path) -> None:
    net = Net(2, 5, 5)
    size = (3,) if channels else ()
    scale = np.float32([0.02, 0.005, 0.3]) if channels else 0.02
    axis = {"axis": 0} if channels else {}
    w = net.real(integers(3, 2, 3, 3, kind=kind, low=-128, high=127), scale, zero(kind, level, *size), **axis)
    y = net.op("Conv", net.pair("input", 0.05, zero("uint8", 114)), w, strides=[2, 2], pads=[0, 1, 1, 0])
    assert len(kinds(qdq(net, net.pair(y, 0.9, zero("uint8", 101)), tmp_path))) == 2


@pytest.mark.parametrize("kind", ["int4", "uint4", "int16", "uint16"])
@pytest.mark.parametrize("channels", [False, True], ids=["one scale", "scales per channel"])
def test_other_weights_run_in_float(kind: str, channels: bool, tmp_path: Path) -> None:
    """Scales that are powers of two: the reference's float32 sums are exact."""
    net = Net(2, 5, 5, opset=21)
    scale = np.float32([0.25, 0.5, 2]) if channels else 0.25
    shift = zero(kind, 3, *(scale.shape if channels else ()))
    w = net.real(integers(3, 2, 3, 3, kind=kind), scale, shift, **({"axis": 0} if channels else {}))
    y = net.op("Conv", net.pair("input", 0.0625, zero("uint8", 114)), w)
    assert len(kinds(qdq(net, net.pair(y, 4.3, zero("uint8", 101)), tmp_path))) == 2


@pytest.mark.parametrize(("kind", "level"), [("int16", -300), ("uint16", 32768)])
def test_16_bit_activations_run_in_float(kind: str, level: int, tmp_path: Path) -> None:
    net = Net(2, 5, 5, opset=21)
    w = net.real(integers(3, 2, 3, 3, low=-9, high=9), 0.25, zero("int8"))
    y = net.op("Conv", net.pair("input", 2.0**-9, zero(kind, level)), w, pads=[1, 1, 1, 1])
    assert kinds(qdq(net, net.pair(y, 1.3, zero(kind, level)), tmp_path))[0] == "Conv"


@pytest.mark.parametrize(("kind", "level"), [("int4", 1), ("uint4", 6)])
def test_4_bit_activations_run_in_float(kind: str, level: int, tmp_path: Path) -> None:
    net = Net(2, 3, opset=21)
    y = net.op("Tanh", net.pair("input", 0.5, zero(kind, level)))
    assert kinds(qdq(net, net.pair(y, 0.2, zero(kind, level)), tmp_path)) == ["Threshold"]


BIASES: dict[str, Callable[[Net], Any]] = {
    "int32": lambda net: net.real(integers(3, kind="int32", low=-4000, high=4000), 0.05 * 0.02),
    "int32 with a zero point": lambda net: net.real(
        integers(3, kind="int32", low=-4000, high=4000), np.float32(0.05) * np.float32(0.02), zero("int32")
    ),
    "float": lambda net: np.float32([0.3, -3.123, 2]),
}


@pytest.mark.parametrize("layer", ["Conv", "Gemm"])
@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
def test_biases(bias: Callable[[Net], Any], layer: str, tmp_path: Path) -> None:
    shape, kernel = ((2, 4, 4), (3, 2, 3, 3)) if layer == "Conv" else ((5,), (5, 3))
    net = Net(*shape)
    w = net.real(integers(*kernel), 0.02, zero("int8"))
    y = net.op(layer, net.pair("input", 0.05, zero("uint8", 128)), w, bias(net))
    assert len(kinds(qdq(net, net.pair(y, 0.37, zero("uint8", 120)), tmp_path))) == 2


def dense(net: Net, kind: str = "int8", **quantizer: Any) -> str:
    return net.op("MatMul", net.pair("input", 0.05, zero("uint8", 128)), net.real(integers(5, 3), 0.02, zero("int8")))


AFTER: dict[str, Callable[[Net, str], str]] = {
    "nothing": lambda net, x: x,
    "Relu": lambda net, x: net.op("Relu", x),
    "Clip": lambda net, x: net.op("Clip", x, np.float32(0), np.float32(6)),
    "Sigmoid": lambda net, x: net.op("Sigmoid", x),
    "HardSwish": lambda net, x: net.op("HardSwish", x),
    "Tanh": lambda net, x: net.op("Tanh", x),
    "LeakyRelu": lambda net, x: net.op("LeakyRelu", x, alpha=0.1),
    "Add of a row": lambda net, x: net.op("Add", x, np.float32([0.3, -3.123, 2])),
    "Add of a row, Relu": lambda net, x: net.op("Relu", net.op("Add", x, np.float32([0.3, -3.123, 2]))),
    "Mul by a number": lambda net, x: net.op("Mul", x, np.float32(0.77)),
}


@pytest.mark.parametrize("level", [0, 37], ids=["zero at the lowest code", "zero inside"])
@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_between_a_layer_and_its_quantizer(after: Callable[[Net, str], str], level: int, tmp_path: Path) -> None:
    net = Net(5, opset=14)
    y = net.pair(after(net, dense(net)), 0.37, zero("uint8", level))
    found = kinds(qdq(net, y, tmp_path))
    assert found[0] == "Dense" and len(found) == 2


@pytest.mark.parametrize("after", AFTER.values(), ids=AFTER)
def test_between_two_quantizers(after: Callable[[Net, str], str], tmp_path: Path) -> None:
    net = Net(2, 3, opset=14)
    y = net.pair(after(net, net.pair("input", 0.05, zero("uint8", 114))), 0.031, zero("uint8", 100))
    assert len(kinds(qdq(net, y, tmp_path))) <= 1


GRIDS: dict[str, tuple[tuple[float, int], tuple[float, int], tuple[float, int]]] = {
    "equal": ((0.05, 128), (0.05, 128), (0.05, 128)),
    "powers of two": ((0.0625, 128), (0.03125, 120), (0.125, 130)),
    "without a common step": ((0.05, 128), (0.031, 3), (0.07, 110)),
    "the lowest zero": ((0.02, 0), (0.013, 0), (0.03, 0)),
}


def two(net: Net, kind: str, first: tuple[float, int], second: tuple[float, int]) -> list[str]:
    """Two tensors on grids of their own, cut out of one that a quantizer reads first."""
    whole = net.pair("input", 1 / 64, zero("int16" if net.opset > 20 else kind, 0), axis=1)
    parts = net.ops("Split", whole, np.array([3, 3]), outputs=2, axis=1)
    shift = 128 if kind == "int8" else 0
    return [net.pair(x, s, zero(kind, z - shift)) for x, (s, z) in zip(parts, (first, second), strict=True)]


@pytest.mark.parametrize("operator", ["Add", "Sub", "Mul", "Max", "Min"])
@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
def test_pairs(operator: str, kind: str, grids: Any, tmp_path: Path) -> None:
    net = Net(6, 4, opset=21)
    level = grids[2][1] - (128 if kind == "int8" else 0)
    y = net.pair(net.op(operator, *two(net, kind, *grids[:2])), grids[2][0], zero(kind, level))
    found = kinds(qdq(net, y, tmp_path))
    assert [item for item in found if item in ("Conv", "Dense", "Concat")] == []


@pytest.mark.parametrize("operator", ["Add", "Mul"])
@pytest.mark.parametrize("first", [False, True])
def test_pairs_with_a_quantized_constant(operator: str, first: bool, tmp_path: Path) -> None:
    net = Net(3, 4)
    x = net.pair("input", 0.05, zero("uint8", 128))
    c = net.real(integers(3, 1, kind="uint8", high=255), 0.013, zero("uint8", 99))
    y = net.op(operator, *((c, x) if first else (x, c)))
    assert len(kinds(qdq(net, net.pair(y, 0.07, zero("uint8", 110)), tmp_path))) == 1


MEANS: dict[str, tuple[str, dict[str, Any]]] = {
    "AveragePool": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "AveragePool 3 x 3": ("AveragePool", {"kernel_shape": [3, 3]}),
    "GlobalAveragePool": ("GlobalAveragePool", {}),
    "ReduceMean": ("ReduceMean", {"axes": [2, 3]}),
    "MaxPool": ("MaxPool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "GlobalMaxPool": ("GlobalMaxPool", {}),
    "Transpose": ("Transpose", {"perm": [0, 2, 3, 1]}),
    "DepthToSpace": ("DepthToSpace", {"blocksize": 2}),
    "Flatten": ("Flatten", {}),
}


@pytest.mark.parametrize("kind", ["uint8", "int8"])
@pytest.mark.parametrize("target", [(0.0625, 114), (0.043, 121)], ids=["equal grids", "unequal grids"])
@pytest.mark.parametrize(("operator", "attributes"), MEANS.values(), ids=MEANS)
def test_pools_and_moves(
    operator: str, attributes: dict[str, Any], target: tuple[float, int], kind: str, tmp_path: Path
) -> None:
    """The scale is a power of two: onnxruntime sums reals one after the other, and its ties would depend on that."""
    net = Net(4, 4, 4)
    shift = 128 if kind == "int8" else 0
    x = net.op(operator, net.pair("input", 0.0625, zero(kind, 114 - shift)), **attributes)
    model = qdq(net, net.pair(x, target[0], zero(kind, target[1] - shift)), tmp_path)
    moves = operator in ("Transpose", "DepthToSpace", "Flatten")
    staircases = target[0] != 0.0625 or "Average" in operator or "Mean" in operator
    assert len(kinds(model)) == (not moves) + staircases


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_concat(axis: int, kind: str, tmp_path: Path) -> None:
    net = Net(6, 4, opset=21)
    x = net.op("Concat", *two(net, kind, (0.05, 128), (0.031, 140)), axis=axis)
    qdq(net, net.pair(x, 0.06, zero(kind, 125 - (128 if kind == "int8" else 0))), tmp_path)


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_a_clip_on_codes_narrows_them(kind: str, tmp_path: Path) -> None:
    """QCDQ: 4-bit activations and weights as Brevitas exports them, with the Clip on integers."""
    low, high = (0, 15) if kind == "uint8" else (-7, 7)
    net = Net(2, 5, 5)
    grid = np.float32(0.25), zero(kind)
    x = net.op("Clip", net.quantized("input", *grid), zero(kind, low), zero(kind, high))
    w = net.op("Clip", net.quantized(integers(3, 2, 3, 3).astype(np.float32) / 50, 0.5, zero("int8")),
               zero("int8", -3), zero("int8", 3))  # fmt: skip
    y = net.op("Conv", net.real(x, *grid), net.real(w, 0.5, zero("int8")), pads=[1, 1, 1, 1])
    y = net.op("Clip", net.quantized(y, 0.75, zero(kind)), zero(kind, low), zero(kind, high))
    model = qdq(net, net.real(y, 0.75, zero(kind)), tmp_path)
    (conv,) = [node for node in model.graph if isinstance(node, Conv)]
    output = model.graph[model.graph.output].type
    assert np.abs(conv.weight).max() == 3 and low <= output.lo and output.hi <= high


def test_double_pairs(tmp_path: Path) -> None:
    """Each quantizes: what the second pair takes is on the first one's grid."""
    net = Net(3, 4)
    x = net.pair(net.pair("input", 0.05, zero("uint8", 114)), 0.09, zero("uint8", 120))
    y = net.op("MatMul", x, net.real(integers(4, 2), 0.02, zero("int8")))
    found = kinds(qdq(net, net.pair(y, 0.37, zero("uint8", 128)), tmp_path))
    assert "Dense" in found and len(found) == 3


def test_equal_double_pairs_are_one(tmp_path: Path) -> None:
    net = Net(3, 4)
    grid = 0.05, zero("uint8", 114)
    y = net.op("MatMul", net.pair(net.pair("input", *grid), *grid), net.real(integers(4, 2), 0.02, zero("int8")))
    assert len(kinds(qdq(net, net.pair(y, 0.37, zero("uint8", 128)), tmp_path))) == 2


@pytest.mark.parametrize("size", [2, 3])
def test_weights_in_blocks(size: int, tmp_path: Path) -> None:
    """Scales and zero points for blocks along the axis that is summed over; opset 21."""
    net = Net(6, opset=21)
    scales = 2.0 ** np.random.default_rng(2).integers(-3, 1, (6 // size, 4))
    shift = np.arange(scales.size).reshape(scales.shape).astype(np.int8)
    w = net.real(integers(6, 4, low=-9, high=9), scales, shift, axis=0, block_size=size)
    y = net.op("MatMul", net.pair("input", 0.0625, zero("uint8", 128)), w)
    assert len(kinds(qdq(net, net.pair(y, 1.7, zero("uint8", 100)), tmp_path))) == 2


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16"])
def test_the_model_quantizes_its_integer_input(kind: str, tmp_path: Path) -> None:
    """Pixels come as integers: cast, normalized, quantized."""
    net = Net(3, 4, 4, dtype=kind)
    x = net.op("Div", net.op("Cast", "input", to=TensorProto.FLOAT), np.float32(255))
    x = net.pair(x, 0.0043, zero("uint8", 9))
    y = net.op("Conv", x, net.real(integers(2, 3, 3, 3), 0.02, zero("int8")))
    bounds = np.iinfo(kind)
    model = qdq(net, net.pair(y, 0.37, zero("uint8", 128)), tmp_path, max(bounds.min, -300), min(bounds.max, 300), 1)
    assert kinds(model)[:1] in (["Conv"], ["Threshold"])


def test_an_integer_input_is_dequantized(tmp_path: Path) -> None:
    net = Net(3, 4, 4, dtype=np.uint8)
    x = net.real("input", 0.0043, zero("uint8", 9))
    y = net.op("Conv", x, net.real(integers(2, 3, 3, 3), 0.02, zero("int8")))
    model = qdq(net, net.pair(y, 0.37, zero("uint8", 128)), tmp_path, 0, 255, 1)
    assert kinds(model)[0] == "Conv" and len(kinds(model)) == 2


def test_codes_are_the_output(tmp_path: Path) -> None:
    net = Net(5)
    y = net.quantized(dense(net), 0.37, zero("uint8", 128))
    same(net, y, samples(net, -7, 7, 1 / 64), tmp_path, "qdq", dtype=np.uint8)


@pytest.mark.parametrize("axis", [1, -3])
def test_activations_per_channel(axis: int, tmp_path: Path) -> None:
    net = Net(3, 2, 2)
    scale, shift = np.float32([0.05, 0.25, 0.01]), np.array([128, 3, 250], np.uint8)
    y = net.op("MaxPool", net.pair("input", scale, shift, axis=axis), kernel_shape=[2, 2])
    qdq(net, y, tmp_path)


def test_a_transposed_convolution_runs_in_float(tmp_path: Path) -> None:
    net = Net(2, 3, 3)
    x = net.pair("input", 0.0625, zero("uint8", 114))
    y = net.op("ConvTranspose", x, net.real(integers(2, 3, 3, 3, low=-9, high=9), 0.25, zero("int8")), strides=[2, 2])
    assert kinds(qdq(net, net.pair(y, 1.3, zero("uint8", 120)), tmp_path))[-2:] == ["Conv", "Threshold"]


def test_a_residual_network(tmp_path: Path) -> None:
    net = Net(2, 6, 6)
    x = net.pair("input", 0.05, zero("uint8", 114))
    y = net.op("Relu", net.op("Conv", x, net.real(integers(2, 2, 3, 3), 0.02, zero("int8")), pads=[1, 1, 1, 1]))
    y = net.pair(net.op("Add", net.pair(y, 0.21, zero("uint8")), x), 0.22, zero("uint8", 30))
    y = net.pair(net.op("GlobalAveragePool", y), 0.19, zero("uint8", 40))
    y = net.op("Gemm", net.op("Flatten", y), net.real(integers(4, 2), 0.03, zero("int8")), transB=1)
    found = kinds(qdq(net, net.pair(y, 0.5, zero("uint8", 128)), tmp_path))
    assert found[0] == "Conv" and "Pool" in found and "Dense" in found


@pytest.mark.parametrize("kind", ["uint8", "int8", "uint16", "int16"])
def test_quantizers_of_com_microsoft_mean_the_same(kind: str, tmp_path: Path) -> None:
    net = Net(2, 5, 5)
    w = net.real(integers(3, 2, 3, 3, kind=kind, low=-9, high=9), 0.25, zero(kind))
    y = net.pair(net.op("Conv", net.pair("input", 0.0625, zero(kind, 20)), w), 4.3, zero(kind, 30))
    for node in net.nodes:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            node.domain = MICROSOFT
    assert len(kinds(qdq(net, y, tmp_path))) == 2


REFUSED: dict[str, tuple[Callable[[Net], str], str]] = {
    "scale 0": (lambda net: net.pair("input", 0.0, zero("uint8")), "its scale must be finite and above 0"),
    "two scales for three channels": (
        lambda net: net.pair("input", np.float32([1, 2]), zero("uint8", 0, 2), axis=1),
        "its scales of shape",
    ),
    "zero points that do not fit": (
        lambda net: net.pair("input", np.float32([1, 2, 3]), zero("uint8", 0, 2), axis=1),
        "do not fit its scales",
    ),
    "a scale from data": (lambda net: net.ops("DynamicQuantizeLinear", "input", outputs=3)[0], "depends on the data"),
}


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(build: Callable[[Net], str], reason: str, tmp_path: Path) -> None:
    net = Net(3, 4, batch=1)
    onnx.save(net.model(build(net)), tmp_path / "model.onnx")
    with pytest.raises(ImportRefused, match=reason):
        load(tmp_path / "model.onnx")
