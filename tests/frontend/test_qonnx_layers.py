"""QONNX's operators beside quantizers: Trunc, layers, Im2Col, channels last, and quantizers that the host runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import ImportRefused
from lutwright.frontend.nodes import Conv, Dense

from .onnx_graphs import QONNX, Builder, check_qonnx, imported

MODES = ["ROUND", "FLOOR", "CEIL", "UP", "DOWN", "HALF_UP", "HALF_DOWN"]
LAST = "qonnx.custom_op.channels_last"


def integers(shape: tuple[int, ...], low: int, high: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(low, high + 1, shape).astype(np.float32)


def samples(shape: tuple[int, ...], count: int = 40, seed: int = 1) -> Any:
    return (np.random.default_rng(seed).standard_normal((count, *shape[1:])) * 4).astype(np.float32)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("zero", [0, 3])
@pytest.mark.parametrize("domain", [QONNX, "onnx.brevitas", "finn.custom_op.general"])
def test_trunc_of_version_1(mode: str, zero: int, domain: str, tmp_path: Path) -> None:
    b = Builder((1, 3))
    x = b.quant("x", 0.25, 8, 0)
    summed = b.op("MatMul", x, integers((3, 4), -3, 3))
    cut = b.op("Trunc", summed, *np.float32([0.25, zero, 10, 6]), domain=domain, rounding_mode=mode)
    found = check_qonnx(b.model(b.op("MatMul", cut, integers((4, 2), -1, 1))), samples((1, 3)), tmp_path)
    assert [type(node).__name__ for node in found.graph.nodes] == ["Input", "Dense", "Threshold", "Dense"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("signed", "narrow"), [(1, 0), (1, 1), (0, 0), (0, 1)])
@pytest.mark.parametrize("last", [False, True])
def test_trunc_of_version_2(mode: str, signed: int, narrow: int, last: bool, tmp_path: Path) -> None:
    """`last`: after a Softmax, where the host runs it."""
    b = Builder((1, 3), **{QONNX: 2})
    x = b.op("MatMul", b.quant("x", 0.25, 8, 0), integers((3, 4), -3, 3))
    x = b.op("Softmax", x) if last else x
    scale = 2.0**-8 if last else 0.25
    parts = np.float32([scale, 0 if last else 4, 10, scale * 8, 4])
    cut = b.op("Trunc", x, *parts, domain=QONNX, rounding_mode=mode, signed=signed, narrow=narrow)
    found = check_qonnx(b.model(cut), samples((1, 3)), tmp_path)
    assert ("Trunc" in [kind for _, kind in found.post_nodes]) == last


@pytest.mark.parametrize("version", [1, 2])
def test_trunc_with_the_inputs_of_another_version(version: int, tmp_path: Path) -> None:
    b = Builder((1, 3), **{QONNX: version})
    parts = np.float32([0.25, 0, 10, 0.5, 4] if version == 1 else [0.25, 0, 10, 4])
    cut = b.op("Trunc", b.quant("x", 0.25, 8), *parts, domain=QONNX, rounding_mode="FLOOR")
    with pytest.raises(ImportRefused, match=f"version {version} of it, which the model imports, has"):
        imported(b.model(cut), tmp_path)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize(
    ("signed", "bits", "out_bits", "kernel", "stride"), [(0, 4, 4, 2, 2), (1, 4, 8, 3, 1), (0, 2, 1, 4, 3)]
)
def test_quant_avg_pool(
    layout: str, signed: int, bits: int, out_bits: int, kernel: int, stride: int, tmp_path: Path
) -> None:
    shape = (1, 2, 6, 6) if layout == "NCHW" else (1, 6, 6, 2)
    b = Builder(shape)
    x = b.quant("x", 1.0, bits, signed=signed)
    b.shapes[x] = shape
    pooled = b.op(
        "QuantAvgPool2d", x, domain=QONNX, data_layout=layout,
        kernel=kernel, stride=stride, ibits=bits, obits=max(2, out_bits), signed=signed,
    )  # fmt: skip
    check_qonnx(b.model(b.op("Mul", pooled, np.float32(0.5))), samples(shape, 10), tmp_path)


def test_quant_avg_pool_needs_integers(tmp_path: Path) -> None:
    b = Builder((1, 2, 6, 6))
    settings = {"kernel": 2, "stride": 2, "ibits": 4, "obits": 4, "signed": 0}
    pooled = b.op("QuantAvgPool2d", b.quant("x", 0.5), domain=QONNX, **settings)
    with pytest.raises(ImportRefused, match="shifts activations that are not integers"):
        imported(b.model(pooled), tmp_path)


@pytest.mark.parametrize("seed", range(4))
def test_xnor_popcount_matmul(seed: int, tmp_path: Path) -> None:
    b = Builder((1, 9))
    bits = b.op("MultiThreshold", "x", integers((1, 1), -1, 1, seed), domain=QONNX, out_dtype="BINARY")
    counts = b.op("XnorPopcountMatMul", bits, integers((9, 5), 0, 1, seed), domain=QONNX)
    model = b.model(b.op("MultiThreshold", counts, integers((5, 1), 3, 6, seed), domain=QONNX, out_dtype="BINARY"))
    from qonnx.core.datatype import DataType

    from lutwright.frontend.model import compare_tensor
    from lutwright.testbenches.reference import contexts, prepared

    wrapper = prepared(model)
    for name in (bits, b.nodes[1].input[1]):
        wrapper.set_tensor_datatype(name, DataType["BINARY"])
    found, x = imported(model, tmp_path), samples((1, 9))
    values, trace = contexts(wrapper, x), found.imported.trace(found.encode(x))
    for name, tensor in found.tensors.items():
        wrong, first = compare_tensor(tensor, trace[tensor.node], values[name].reshape(trace[tensor.node].shape))
        assert not wrong, first
    assert [type(node).__name__ for node in found.graph.nodes] == ["Input", "Dense", "Threshold"]


IM2COL = [
    ({"kernel_size": [3, 3], "stride": [1, 1], "pad_amount": [1, 1, 1, 1]}, 9, "1"),
    ({"kernel_size": [2, 3], "stride": [2, 1], "pad_amount": [0, 1, 2, 0]}, 6, "3"),
    ({"kernel_size": [2, 2], "stride": [1, 2], "dilations": [2, 1]}, 4, "1"),
    ({"kernel_size": [3, 3], "stride": [3, 3], "depthwise": 1}, 9, "1"),
    ({"kernel_size": [2, 2], "stride": [1, 1], "pad_amount": [1, 1, 1, 1], "pad_value": 2}, 4, "1"),
]


@pytest.mark.parametrize(("attributes", "places", "scale"), IM2COL, ids=str)
@pytest.mark.parametrize("layer", [True, False])
def test_im2col(attributes: dict[str, Any], places: int, scale: str, layer: bool, tmp_path: Path) -> None:
    b, channels = Builder((1, 6, 7, 3)), 3
    x = b.quant("x", float(scale) if layer else 1.0, 4)
    b.annotations[x] = "INT8"
    columns = b.op("Im2Col", x, domain=QONNX, input_shape="(1, 6, 7, 3)", **attributes)
    weight = integers((places * channels, 4), -2, 2)
    if attributes.get("depthwise"):
        full = weight[:, :3].reshape(places, channels, channels) * np.eye(channels, dtype=np.float32)
        weight = full.reshape(places * channels, channels)
    last = b.op("MatMul", columns, weight) if layer else b.op("Neg", columns)
    if "pad_value" in attributes:
        scale = "1"
    found = check_qonnx(b.model(last), samples((1, 6, 7, 3), 6), tmp_path)
    layers = [node for node in found.graph.nodes if isinstance(node, (Conv, Dense))]
    assert [type(node) for node in layers] == ([] if not layer else [Dense if "pad_value" in attributes else Conv])
    if attributes.get("depthwise") and layer:
        assert isinstance(layers[0], Conv) and layers[0].groups == channels


def test_channels_last(tmp_path: Path) -> None:
    b = Builder((1, 6, 7, 3), **{LAST: 14})
    weight = b.quant(integers((4, 3, 2, 3), -3, 3), 1.0, 3)
    settings = {"strides": [1, 2], "group": 1, "dilations": [1, 1]}
    x = b.quant("x")
    b.shapes |= {x: (1, 6, 7, 3), weight: (4, 3, 2, 3)}
    x = b.op("Conv", x, weight, domain=LAST, kernel_shape=[3, 2], pads=[1, 0, 1, 0], **settings)
    b.shapes[x] = (1, 6, 3, 4)
    x = b.op("BatchNormalization", x, *(integers((4,), 1, 5, seed) for seed in range(4)), domain=LAST, epsilon=1e-5)
    b.shapes[x] = (1, 6, 3, 4)
    x = b.quant(b.op("Relu", x), 0.5, 4, signed=0)
    b.shapes[x] = (1, 6, 3, 4)
    x = b.op("MaxPool", x, domain=LAST, kernel_shape=[2, 2], strides=[2, 1], pads=[0, 0, 0, 0])
    b.shapes[x] = (1, 3, 2, 4)
    x = b.op("MaxPoolNHWC", x, domain=QONNX, kernel_shape=[2, 1], strides=[1, 1], pads=[0, 0, 0, 0])
    found = check_qonnx(b.model(x), samples((1, 6, 7, 3), 10), tmp_path)
    kinds = [type(node).__name__ for node in found.graph.nodes]
    assert kinds == ["Input", "Conv", "Threshold", "Pool", "Pool"]


TENTHS = np.sort(integers((4, 3), 0, 9), axis=1) / 10
HOSTED: list[tuple[str, Callable[[Builder, str], str]]] = [
    ("Quant", lambda b, x: b.quant(x, 1 / 256, 8, signed=0)),
    ("Quant of channels", lambda b, x: b.quant(x, [[0.1, 0.2, 0.3, 0.01]], 3, 1.0)),
    ("BipolarQuant", lambda b, x: str(
        b.op("BipolarQuant", b.op("Sub", x, np.float32(0.3)), np.float32(0.5), domain=QONNX)
    )),
    ("MultiThreshold", lambda b, x: str(
        b.op("MultiThreshold", x, TENTHS, domain=QONNX, out_dtype="UINT2", out_bias=-1.0)
    )),
    ("two of them", lambda b, x: b.quant(b.op("Mul", b.quant(x, 1 / 16, 4, signed=0), np.float32(3)), 0.5, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "build"), HOSTED, ids=[kind for kind, _ in HOSTED])
def test_quantizers_on_the_host(kind: str, build: Callable[[Builder, str], str], tmp_path: Path) -> None:
    b = Builder((1, 3))
    x = b.op("Softmax", b.op("MatMul", b.quant("x"), integers((3, 4), -3, 3)))
    found = check_qonnx(b.model(build(b, x)), samples((1, 3)), tmp_path)
    assert [type(node).__name__ for node in found.graph.nodes] == ["Input", "Dense"]


def test_a_layer_after_the_host_is_refused(tmp_path: Path) -> None:
    b = Builder((1, 3))
    x = b.quant(b.op("Softmax", b.op("MatMul", b.quant("x"), integers((3, 4), -3, 3))), 1 / 256, 8)
    with pytest.raises(ImportRefused, match=r"Softmax .*stands between integer layers"):
        imported(b.model(b.op("MatMul", x, integers((4, 2), -1, 1))), tmp_path)


REFUSED = [("FloatQuant", 6, "minifloat"), ("GenericPartition", 1, "another file"), ("DebugMarker", 1, "marker")]


@pytest.mark.parametrize(("kind", "count", "reason"), REFUSED)
def test_refused(kind: str, count: int, reason: str, tmp_path: Path) -> None:
    b = Builder((1, 3))
    x = b.op(kind, b.quant("x"), *np.float32([1, 4, 3, 7, 480][: count - 1]), domain=QONNX)
    with pytest.raises(ImportRefused, match=reason):
        imported(b.model(x), tmp_path)


LAYOUTS = [
    ("NHWC", (1, 4, 5, 3)),
    ("NC", (1, 3)),
    ("NCHW", (1, 3, 4, 5)),
    ("NWC", (1, 5, 3)),
    ("", (1, 5, 3)),
    ("", (1, 3, 4, 5)),
]


@pytest.mark.parametrize(("layout", "shape"), LAYOUTS)
@pytest.mark.parametrize("bias", [0.0, -1.5, -0.3])
def test_multi_threshold_layouts(layout: str, shape: tuple[int, ...], bias: float, tmp_path: Path) -> None:
    b = Builder(shape)
    thresholds = np.sort(integers((3, 3), -9, 9), axis=1) / 2
    x = b.op("Mul", b.quant("x"), np.float32(1.5))
    settings = {"out_dtype": "INT4", "out_scale": 1.0, "out_bias": bias}
    x = b.op("MultiThreshold", x, thresholds, domain=QONNX, data_layout=layout, **settings)
    x = b.op("MatMul", x, integers((shape[-1], 2), -3, 3))
    check_qonnx(b.model(x), samples(shape, 12), tmp_path)


@pytest.mark.parametrize("bias", [0.0, -1.5, -0.3])
def test_levels_around_zero_before_padding(bias: float, tmp_path: Path) -> None:
    b = Builder((1, 3, 5, 5))
    thresholds = np.sort(integers((3, 3), -9, 9), axis=1) / 2
    settings = {"out_dtype": "INT4", "out_scale": 1.0, "out_bias": bias}
    x = b.op("MultiThreshold", "x", thresholds, domain=QONNX, **settings)
    x = b.op("Conv", x, integers((2, 3, 3, 3), -3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    check_qonnx(b.model(x), samples((1, 3, 5, 5), 12), tmp_path)


@pytest.mark.parametrize("axis", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Quant", "BipolarQuant", "one bit"])
def test_scales_along_any_axis(axis: int, kind: str, tmp_path: Path) -> None:
    shape = (1, 3, 4, 5)
    scale = np.float32(2.0) ** np.arange(-1, shape[axis] - 1)
    scale = scale.reshape([-1 if i == axis else 1 for i in range(4)]).astype(np.float32)
    b = Builder(shape)
    x = b.op("Mul", b.quant("x"), np.float32(1.25))
    if kind == "BipolarQuant":
        x = b.op("BipolarQuant", x, scale, domain=QONNX)
    else:
        x = b.quant(x, scale, 1 if kind == "one bit" else 4, signed=int(kind == "Quant"))
    check_qonnx(b.model(b.op("Relu", x)), samples(shape, 12), tmp_path)
