"""Operators on codes: golden == onnxruntime on every code, ONNX's own and those of com.microsoft."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto

from lutwright.errors import ImportRefused
from lutwright.frontend.model import Model, load
from lutwright.frontend.nodes import Conv

from .builder import MICROSOFT, Net, kinds, same, samples

F = np.float32


def codes(*shape: int, kind: str = "int8") -> NDArray[Any]:
    bounds = np.iinfo(kind)
    return np.random.default_rng(1).integers(bounds.min, bounds.max + 1, shape).astype(kind)


def level(kind: str, value: int, *shape: int) -> NDArray[Any]:
    """A zero point that is `value` for uint8 and the same distance from the lowest code for int8."""
    return np.full(shape, value - (128 if kind == "int8" else 0), kind)


def equal(net: Net, output: str, folder: Path, kind: Any) -> Model:
    bounds = np.iinfo(net.dtype)
    return same(net, output, samples(net, bounds.min, bounds.max), folder, "qoperator", dtype=kind)


both = pytest.mark.parametrize("kind", ["uint8", "int8"])


CONVS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "2-d": ((2, 4, 5), (3, 2, 3, 3), {}),
    "1-d": ((2, 9), (3, 2, 3), {"strides": [2], "pads": [1, 1]}),
    "pads": ((2, 4, 5), (3, 2, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    "SAME_LOWER": ((2, 4, 5), (3, 2, 4, 4), {"auto_pad": "SAME_LOWER"}),
    "groups, dilations": ((4, 6, 6), (4, 2, 3, 3), {"group": 2, "dilations": [2, 1]}),
    "depthwise": ((3, 5, 5), (3, 1, 3, 3), {"group": 3, "pads": [1, 1, 1, 1]}),
}


@both
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
@pytest.mark.parametrize("channels", [False, True], ids=["one scale", "scales per channel"])
@pytest.mark.parametrize(("shape", "kernel", "attributes"), CONVS.values(), ids=CONVS)
def test_q_linear_conv(
    shape: tuple[int, ...],
    kernel: tuple[int, ...],
    attributes: dict[str, Any],
    channels: bool,
    bias: bool,
    kind: str,
    tmp_path: Path,
) -> None:
    net, rows = Net(*shape, dtype=kind), kernel[0]
    scale = F([0.02, 0.013, 0.4, 0.001][:rows]) if channels else F(0.013)
    shift = np.zeros((rows,) if channels else (), np.int8)
    added = [np.arange(rows, dtype=np.int32) * 3000 - 4000] if bias else []
    y = net.op(
        "QLinearConv", "input", F(0.05), level(kind, 114), codes(*kernel), scale, shift, F(0.71), level(kind, 90),
        *added, **attributes,
    )  # fmt: skip
    model = equal(net, y, tmp_path, kind)
    (conv,) = [node for node in model.graph if isinstance(node, Conv)]
    assert len(kinds(model)) == 2 and conv.pad_value == int(level(kind, 114))


@pytest.mark.parametrize("shifts", [5, (5, -100, 127)], ids=["one zero point", "zero points per channel"])
def test_q_linear_conv_with_zero_points_of_weights(shifts: Any, tmp_path: Path) -> None:
    net = Net(2, 4, 5, dtype=np.uint8)
    shift = np.array(shifts, np.int8)
    scale = np.broadcast_to(F(0.02), shift.shape)
    y = net.op("QLinearConv", "input", F(0.05), np.uint8(114), codes(3, 2, 3, 3), scale, shift, F(1.9), np.uint8(90))
    assert len(kinds(equal(net, y, tmp_path, np.uint8))) == 2


@both
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("columns", [False, True], ids=["one scale", "scales per column"])
def test_q_linear_matmul(shape: tuple[int, ...], columns: bool, kind: str, tmp_path: Path) -> None:
    net = Net(*shape, dtype=kind)
    scale = F([0.02, 0.013, 0.4]) if columns else F(0.013)
    shift = np.array([3, -9, 100], np.int8) if columns else np.int8(3)
    y = net.op("QLinearMatMul", "input", F(0.05), level(kind, 114), codes(4, 3), scale, shift, F(0.71), level(kind, 90))
    assert len(kinds(equal(net, y, tmp_path, kind))) == 2


def test_q_linear_matmul_with_the_constant_first(tmp_path: Path) -> None:
    net = Net(4, 3, dtype=np.uint8)
    w = [codes(2, 4, kind="uint8"), F(0.02), np.uint8(99)]
    y = net.op("QLinearMatMul", *w, "input", F(0.05), np.uint8(114), F(0.71), np.uint8(90))
    assert len(kinds(equal(net, y, tmp_path, np.uint8))) == 2


@both
def test_q_linear_matmul_of_two_activations(kind: str, tmp_path: Path) -> None:
    net = Net(4, 3, dtype=kind)
    other = net.op("Transpose", "input", perm=[0, 2, 1])
    grid = F(0.05), level(kind, 114)
    y = net.op("QLinearMatMul", "input", *grid, other, *grid, F(1.7), level(kind, 90))
    assert "MatMul" in kinds(equal(net, y, tmp_path, kind))


@both
@pytest.mark.parametrize("real", [False, True], ids=["codes", "reals"])
@pytest.mark.parametrize("attributes", [{}, {"transB": 1}, {"alpha": 0.3, "transB": 1}], ids=str)
@pytest.mark.parametrize("bias", [False, True], ids=["no bias", "bias"])
def test_q_gemm(attributes: dict[str, Any], bias: bool, real: bool, kind: str, tmp_path: Path) -> None:
    net = Net(4, dtype=kind)
    w = codes(3, 4) if attributes.get("transB") else codes(4, 3)
    inputs = ["input", F(0.05), level(kind, 114), w, F(0.02), np.int8(3)]
    if bias:
        inputs.append(np.array([-4000, 0, 999], np.int32))
    if not real:
        inputs += [*([] if bias else [""]), F(0.71), level(kind, 90)]
    y = net.op("QGemm", *inputs, domain=MICROSOFT, **attributes)
    model = equal(net, y, tmp_path, np.float32 if real else kind)
    assert len(kinds(model)) == 2 - real


@both
@pytest.mark.parametrize("zeros", [True, False], ids=["zero points", "none"])
def test_matmul_integer(zeros: bool, kind: str, tmp_path: Path) -> None:
    """What dynamic quantizers export, with static scales: the int32 sums, cast, scaled, quantized."""
    net = Net(4, dtype=kind)
    shifts = [level(kind, 114), np.int8(3)] if zeros else []
    acc = net.op("MatMulInteger", "input", codes(4, 3), *shifts)
    y = net.op("Mul", net.op("Cast", acc, to=TensorProto.FLOAT), F(0.0013))
    y = net.quantized(y, 0.11, level(kind, 90))
    assert len(kinds(equal(net, y, tmp_path, kind))) == 2


@pytest.mark.parametrize("ending", ["int32", "reals"])
def test_conv_integer(ending: str, tmp_path: Path) -> None:
    net = Net(2, 4, 5, dtype=np.uint8)
    y = net.op("ConvInteger", "input", codes(3, 2, 3, 3, kind="uint8"), np.uint8(114), np.uint8(7), pads=[1, 1, 0, 1])
    if ending == "reals":
        y = net.op("Mul", net.op("Cast", y, to=TensorProto.FLOAT), F([0.001, 0.02, 0.3]).reshape(3, 1, 1))
    model = equal(net, y, tmp_path, np.int32 if ending == "int32" else np.float32)
    assert kinds(model) == ["Conv"]
    (conv,) = [node for node in model.graph if isinstance(node, Conv)]
    assert conv.pad_value == 114


def test_matmul_integer_per_column_zero_points(tmp_path: Path) -> None:
    net = Net(4, dtype=np.uint8)
    y = net.op("MatMulInteger", "input", codes(4, 3), np.uint8(9), np.array([3, -9, 100], np.int8))
    assert kinds(equal(net, y, tmp_path, np.int32)) == ["Dense"]


@both
@pytest.mark.parametrize("bias", [False, True])
def test_matmul_integer_to_float(bias: bool, kind: str, tmp_path: Path) -> None:
    net = Net(4, dtype=kind)
    inputs = ["input", codes(4, 3), F(0.05), F([0.02, 0.3, 0.001]), level(kind, 114), np.int8([3, -9, 100])]
    inputs += [F([0.3, -2, 11])] if bias else []
    y = net.op("MatMulIntegerToFloat", *inputs, domain=MICROSOFT)
    assert kinds(equal(net, y, tmp_path, np.float32)) == ["Dense"]


GRIDS = {
    "equal": ((0.05, 114), (0.05, 114), (0.05, 114)),
    "powers of two": ((0.0625, 128), (0.03125, 120), (0.125, 130)),
    "without a common step": ((0.05, 128), (0.031, 3), (0.07, 110)),
    "coarse output": ((0.02, 0), (0.013, 255), (0.9, 0)),
}
pairs = pytest.mark.parametrize("operator", ["QLinearAdd", "QLinearMul"])


@both
@pairs
@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
def test_pairs(operator: str, grids: Any, kind: str, tmp_path: Path) -> None:
    net = Net(6, 7, dtype=kind)
    first, second, third = [(F(scale), level(kind, zero)) for scale, zero in grids]
    x, y = net.ops("Split", "input", np.array([3, 3]), outputs=2, axis=1)
    equal(net, net.op(operator, x, *first, y, *second, *third, domain=MICROSOFT), tmp_path, kind)


@both
@pairs
@pytest.mark.parametrize("shape", [(3, 1), (4,), (1,), (3, 4), (1, 1, 4), ()], ids=str)
@pytest.mark.parametrize("first", [False, True], ids=["second", "first"])
def test_pairs_with_constants(operator: str, shape: tuple[int, ...], first: bool, kind: str, tmp_path: Path) -> None:
    net = Net(3, 4, dtype=kind)
    x, c = ["input", F(0.05), level(kind, 114)], [codes(*shape, kind=kind), F(0.031), level(kind, 3)]
    y = net.op(operator, *((*c, *x) if first else (*x, *c)), F(0.07), level(kind, 100), domain=MICROSOFT)
    assert len(kinds(equal(net, y, tmp_path, kind))) == 1


@both
@pairs
def test_pairs_of_one_tensor_with_itself(operator: str, kind: str, tmp_path: Path) -> None:
    net = Net(3, 4, dtype=kind)
    x = ["input", F(0.05), level(kind, 114)]
    y = net.op(operator, *x, *x, F(0.07), level(kind, 100), domain=MICROSOFT)
    assert len(kinds(equal(net, y, tmp_path, kind))) == 1


@both
@pairs
def test_gates_are_broadcast(operator: str, kind: str, tmp_path: Path) -> None:
    net = Net(3, 4, 4, dtype=kind)
    gate = net.op("MaxPool", "input", kernel_shape=[4, 4])
    grid = F(0.05), level(kind, 114)
    y = net.op(operator, "input", *grid, gate, F(0.031), level(kind, 7), F(0.07), level(kind, 100), domain=MICROSOFT)
    equal(net, y, tmp_path, kind)


@both
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.1}), ("QLinearLeakyRelu", {"alpha": -0.7})],
    ids=str,
)
def test_tables(operator: str, attributes: dict[str, Any], kind: str, tmp_path: Path) -> None:
    net = Net(64, dtype=kind)
    y = net.op(operator, "input", F(0.05), level(kind, 114), F(0.0039), level(kind, 5), domain=MICROSOFT, **attributes)
    assert kinds(equal(net, y, tmp_path, kind)) in (["Threshold"], ["Table"], ["Requantize"])


@both
@pytest.mark.parametrize("axis", [1, 2, -1])
@pytest.mark.parametrize("grids", GRIDS.values(), ids=GRIDS)
def test_concat(grids: Any, axis: int, kind: str, tmp_path: Path) -> None:
    net = Net(6, 6, dtype=kind)
    first, second, third = [(F(scale), level(kind, zero)) for scale, zero in grids]
    x, y = net.ops("Split", "input", np.array([3, 3]), outputs=2, axis=axis)
    equal(net, net.op("QLinearConcat", *third, x, *first, y, *second, axis=axis, domain=MICROSOFT), tmp_path, kind)


POOLS: dict[str, tuple[str, dict[str, Any]]] = {
    "windows": ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "3 x 2": ("QLinearAveragePool", {"kernel_shape": [3, 2]}),
    "pads": ("QLinearAveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "pads that count": ("QLinearAveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
    "ceil_mode": ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "global": ("QLinearGlobalAveragePool", {}),
}


@both
@pytest.mark.parametrize("last", [0, 1], ids=["channels first", "channels last"])
@pytest.mark.parametrize(("operator", "attributes"), POOLS.values(), ids=POOLS)
def test_average_pools(operator: str, attributes: dict[str, Any], last: int, kind: str, tmp_path: Path) -> None:
    """The scale is a power of two: onnxruntime sums reals one after the other, and its ties would depend on that."""
    net = Net(*((5, 5, 3) if last else (3, 5, 5)), dtype=kind)
    grids = F(0.0625), level(kind, 114), F(0.043), level(kind, 121)
    y = net.op(operator, "input", *grids, domain=MICROSOFT, channels_last=last, **attributes)
    assert kinds(equal(net, y, tmp_path, kind))[0] == "Pool"


def test_a_network(tmp_path: Path) -> None:
    """As onnxruntime's static quantizer writes it in the QOperator format."""
    net = Net(2, 6, 6)
    x = net.quantized("input", 0.05, np.uint8(114))
    grid = F(0.05), np.uint8(114)
    conv = net.op("QLinearConv", x, *grid, codes(2, 2, 3, 3), F(0.003), np.int8(0), F(0.11), np.uint8(0),
                  pads=[1, 1, 1, 1])  # fmt: skip
    joined = net.op("QLinearAdd", conv, F(0.11), np.uint8(0), x, *grid, F(0.12), np.uint8(30), domain=MICROSOFT)
    pooled = net.op("MaxPool", joined, kernel_shape=[2, 2], strides=[2, 2])
    mean = net.op("QLinearGlobalAveragePool", pooled, F(0.12), np.uint8(30), F(0.1), np.uint8(25), domain=MICROSOFT)
    flat = net.op("Flatten", mean)
    y = net.op("QGemm", flat, F(0.1), np.uint8(25), codes(2, 3), F(0.02), np.int8(0), "", F(0.3), np.uint8(128),
               domain=MICROSOFT)  # fmt: skip
    y = net.real(y, 0.3, np.uint8(128))
    model = same(net, y, samples(net, -6, 7, 1 / 64), tmp_path, "qoperator")
    assert [kind for kind in kinds(model) if kind in ("Conv", "Dense", "Pool")] == ["Conv", "Pool", "Pool", "Dense"]


REFUSED: dict[str, tuple[Callable[[Net], str], str]] = {
    "shapes that do not fit": (
        lambda net: net.op(
            "QLinearAdd", "input", F(1), np.uint8(0), codes(5, kind="uint8"), F(1), np.uint8(0), F(1), np.uint8(0),
            domain=MICROSOFT,
        ),
        "do not fit each other",
    ),
    "16-bit codes": (
        lambda net: net.op(
            "QLinearSigmoid", "input", F(1), np.uint8(0), F(1), np.uint16(0), domain=MICROSOFT
        ),
        "it must have 8-bit codes",
    ),
    "inputs missing": (
        lambda net: net.op("QLinearAdd", "input", F(1), np.uint8(0), domain=MICROSOFT), "it must have 7 to 8 inputs"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(build: Callable[[Net], str], reason: str, tmp_path: Path) -> None:
    net = Net(3, 4, dtype=np.uint8, batch=1)
    path = tmp_path / "model.onnx"
    path.write_bytes(net.model(build(net), np.uint8).SerializeToString())
    with pytest.raises(ImportRefused, match=reason):
        load(path)
