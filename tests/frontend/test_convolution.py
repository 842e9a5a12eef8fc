"""Conv and ConvTranspose: golden == qonnx, and one Conv node each, whatever the window and the padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import ImportRefused
from lutwright.frontend.model import Model, load
from lutwright.frontend.nodes import Conv

from .builder import Net, kinds, same, samples

Attributes = dict[str, Any]


def weights(*shape: int, low: int = -3, high: int = 3) -> np.ndarray:
    return np.random.default_rng(1).integers(low, high + 1, shape).astype(np.float32)


def conv_of(model: Model) -> Conv:
    (node,) = [node for node in model.graph if isinstance(node, Conv)]
    return node


# Shape of a sample, shape of the weights, attributes.
WINDOWS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Attributes]] = {
    "1-d": ((2, 9), (3, 2, 3), {}),
    "1-d, everything": ((2, 13), (4, 1, 3), {"strides": [2], "dilations": [2], "pads": [1, 3], "group": 2}),
    "2-d": ((2, 5, 6), (3, 2, 3, 3), {}),
    "3-d": ((2, 4, 3, 5), (3, 2, 2, 3, 2), {}),
    "3-d, everything": (
        (4, 4, 3, 5),
        (4, 2, 2, 3, 2),
        {"strides": [2, 1, 3], "dilations": [1, 1, 2], "pads": [1, 2, 0, 0, 1, 1], "group": 2},
    ),
    "1 x 1": ((3, 4, 4), (2, 3, 1, 1), {}),
    "1 x 1, stride 2": ((3, 5, 5), (2, 3, 1, 1), {"strides": [2, 2]}),
    "2 x 2": ((2, 4, 5), (2, 2, 2, 2), {"pads": [1, 0, 0, 1]}),
    "3 x 3, pad 1": ((2, 4, 5), (2, 2, 3, 3), {"pads": [1, 1, 1, 1]}),
    "4 x 4": ((2, 6, 5), (2, 2, 4, 4), {"pads": [2, 1, 1, 2]}),
    "5 x 5": ((1, 6, 7), (2, 1, 5, 5), {"pads": [2, 2, 2, 2]}),
    "6 x 6": ((1, 7, 6), (2, 1, 6, 6), {}),
    "7 x 7, stride 2": ((1, 9, 8), (2, 1, 7, 7), {"pads": [3, 3, 3, 3], "strides": [2, 2]}),
    "as large as the input": ((2, 4, 3), (3, 2, 4, 3), {}),
    "larger than the input": ((2, 2, 2), (3, 2, 3, 3), {"pads": [1, 1, 1, 1]}),
    "1 x 7": ((2, 3, 9), (2, 2, 1, 7), {"pads": [0, 3, 0, 3]}),
    "5 x 2": ((2, 6, 3), (2, 2, 5, 2), {"strides": [1, 2]}),
    "strides 3 x 1": ((2, 8, 4), (2, 2, 3, 3), {"strides": [3, 1]}),
    "a stride beyond the kernel": ((2, 8, 8), (2, 2, 2, 2), {"strides": [3, 4]}),
    "dilations": ((2, 7, 9), (2, 2, 3, 3), {"dilations": [2, 3]}),
    "dilation with pads": ((2, 5, 5), (2, 2, 3, 3), {"dilations": [2, 2], "pads": [2, 2, 2, 2]}),
    "four unequal pads": ((2, 4, 4), (2, 2, 3, 3), {"pads": [0, 1, 2, 3]}),
    "pads at the ends only": ((2, 4, 4), (2, 2, 3, 3), {"pads": [0, 0, 1, 1], "strides": [2, 2]}),
    "SAME_UPPER": ((2, 6, 7), (2, 2, 4, 3), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "SAME_LOWER": ((2, 6, 7), (2, 2, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "SAME_UPPER, kernel below the stride": ((2, 7, 7), (2, 2, 1, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 3]}),
    "SAME_UPPER, 1-d": ((2, 7), (2, 2, 4), {"auto_pad": "SAME_UPPER"}),
    "VALID": ((2, 6, 7), (2, 2, 4, 3), {"auto_pad": "VALID", "strides": [2, 3]}),
    "kernel_shape given": ((2, 6, 7), (2, 2, 4, 3), {"kernel_shape": [4, 3]}),
    "groups": ((6, 4, 4), (4, 3, 3, 3), {"group": 2}),
    "groups of unequal sizes": ((4, 4, 4), (6, 2, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ((4, 5, 5), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "depthwise, multiplier 3": ((3, 5, 5), (9, 1, 3, 3), {"group": 3, "strides": [2, 2]}),
    "one channel, one row": ((1, 1, 1), (1, 1, 1, 1), {}),
}


@pytest.mark.parametrize(("shape", "kernel", "attributes"), WINDOWS.values(), ids=WINDOWS)
def test_windows(shape: tuple[int, ...], kernel: tuple[int, ...], attributes: Attributes, tmp_path: Path) -> None:
    net = Net(*shape)
    y = net.op("Conv", net.quant("input"), weights(*kernel), **attributes)
    model = same(net, y, samples(net, -10, 10), tmp_path)
    assert kinds(model) == ["Conv"]
    assert conv_of(model).groups == attributes.get("group", 1)


# Quantizer of the activations (scale, bits, signed, zero), what pads, and kinds of nodes: the zero point is a level.
ZEROS: dict[str, tuple[dict[str, Any], int]] = {
    "no zero point": ({"bits": 4}, 0),
    "unsigned, zero inside": ({"bits": 4, "signed": 0, "zero": 5.0, "scale": 0.5}, 5),
    "uint8, zero 128": ({"bits": 8, "signed": 0, "zero": 128.0}, 128),
    "zero at the end": ({"bits": 3, "signed": 0, "zero": 7.0}, 7),
    "zero outside the range": ({"bits": 3, "signed": 1, "zero": 9.0}, 9),
    "signed, zero -3": ({"bits": 4, "zero": -3.0, "scale": 0.25}, -3),
}


@pytest.mark.parametrize(("quantizer", "value"), ZEROS.values(), ids=ZEROS)
def test_zero_points_pad(quantizer: dict[str, Any], value: int, tmp_path: Path) -> None:
    net = Net(2, 4, 5)
    y = net.op("Conv", net.quant("input", **quantizer), weights(3, 2, 3, 3), pads=[1, 1, 1, 1])
    model = same(net, y, samples(net, -140, 140, 0.25), tmp_path)
    assert kinds(model) == ["Conv"]
    assert conv_of(model).pad_value == value


def test_the_zero_of_signs_lies_between_them(tmp_path: Path) -> None:
    """+-1 are integers themselves, so that padding with 0 is exact."""
    net = Net(2, 4, 5)
    y = net.op("Conv", net.bipolar("input"), weights(3, 2, 3, 3), pads=[1, 1, 1, 1])
    model = same(net, y, samples(net, -1, 1), tmp_path)
    assert conv_of(model).pad_value == 0


HALVES: dict[str, Attributes] = {
    "without pads": {},
    "with pads": {"pads": [1, 1, 1, 1]},
    "with stride and dilation": {"pads": [2, 0, 1, 1], "strides": [2, 1], "dilations": [1, 2]},
    "grouped": {"pads": [1, 1, 1, 1], "group": 2},
}


@pytest.mark.parametrize("shift", [0.5, 0.375], ids=["half a step", "no step"])
@pytest.mark.parametrize("attributes", HALVES.values(), ids=HALVES)
def test_a_zero_between_the_levels(attributes: Attributes, shift: float, tmp_path: Path) -> None:
    net = Net(2, 5, 5)
    x = net.op("Add", net.quant("input"), np.float32(shift))
    y = net.op("Conv", x, weights(4, 2 // attributes.get("group", 1), 3, 3), **attributes)
    same(net, y, samples(net, -10, 10), tmp_path)


def test_offsets_per_channel_with_pads(tmp_path: Path) -> None:
    net = Net(3, 4, 4)
    x = net.op("Add", net.quant("input"), np.float32([1, -2.5, 0.25]).reshape(3, 1, 1))
    y = net.op("Conv", x, weights(2, 3, 3, 3), pads=[1, 1, 0, 1])
    same(net, y, samples(net, -10, 10), tmp_path)


def test_offsets_per_place(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    x = net.op("Add", net.quant("input"), weights(1, 4, 4))
    y = net.op("Conv", x, weights(2, 2, 3, 3), pads=[1, 1, 0, 1])
    same(net, y, samples(net, -10, 10), tmp_path)


def test_scales_per_input_channel(tmp_path: Path) -> None:
    net = Net(3, 4, 4)
    x = net.quant("input", np.float32([1, 0.5, 4]).reshape(1, 3, 1, 1))
    y = net.op("Conv", x, weights(2, 3, 3, 3), pads=[1, 1, 1, 1])
    assert kinds(same(net, y, samples(net, -30, 30, 0.5), tmp_path)) == ["Conv"]


def test_scales_per_input_channel_of_a_depthwise_layer_need_no_common_step(tmp_path: Path) -> None:
    net = Net(3, 4, 4)
    x = net.quant("input", np.float32([0.3, 0.7, 0.11]).reshape(1, 3, 1, 1))
    y = net.quant(net.op("Conv", x, weights(6, 1, 3, 3), group=3, pads=[1, 1, 1, 1]), 0.37, 6)
    assert kinds(same(net, y, samples(net, -3, 3, 0.125), tmp_path)) == ["Conv", "Threshold"]


def test_weight_scales_per_channel(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    w = net.quant(weights(3, 2, 3, 3) / 7, np.float32([0.25, 0.03125, 1]).reshape(3, 1, 1, 1), 3)
    y = net.quant(net.op("Conv", net.quant("input"), w, pads=[1, 1, 1, 1]), 0.75, 5)
    assert kinds(same(net, y, samples(net, -10, 10), tmp_path)) == ["Conv", "Threshold"]


def test_binary_weights(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    y = net.op("Conv", net.bipolar("input"), net.bipolar(weights(3, 2, 3, 3), 0.5))
    model = same(net, y, samples(net, -3, 3), tmp_path)
    assert kinds(model) == ["Conv"] and set(np.unique(conv_of(model).weight)) == {-1, 1}


BIASES = {
    "real": np.float32([0.37, -2.9, 100.0]),
    "on the grid of the sums": np.float32([3, -7, 0]),
}


@pytest.mark.parametrize("bias", BIASES.values(), ids=BIASES)
@pytest.mark.parametrize("quantized", [False, True], ids=["output real", "output quantized"])
def test_biases(bias: np.ndarray, quantized: bool, tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    y = net.op("Conv", net.quant("input"), weights(3, 2, 3, 3), bias, pads=[1, 1, 1, 1])
    y = net.quant(y, 2.0, 5) if quantized else y
    assert kinds(same(net, y, samples(net, -10, 10), tmp_path)) == ["Conv"] + ["Threshold"] * quantized


def test_batch_normalization_and_relu_make_one_staircase(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    x = net.op("Conv", net.quant("input"), weights(3, 2, 3, 3), pads=[1, 1, 1, 1])
    parameters = [np.float32(item) for item in ([0.3, -1.2, 0.05], [0.4, 2, -0.1], [3, -4, 0.5], [9, 30, 2])]
    y = net.quant(net.op("Relu", net.op("BatchNormalization", x, *parameters)), 0.25, 3, signed=0)
    assert kinds(same(net, y, samples(net, -10, 10), tmp_path)) == ["Conv", "Threshold"]


@pytest.mark.parametrize("batch", [1, "n", 3])
def test_batches_are_the_same_network(batch: Any, tmp_path: Path) -> None:
    net = Net(2, 4, 4, batch=batch)
    y = net.quant(net.op("Conv", net.quant("input"), weights(3, 2, 3, 3)), 4.0)
    model = same(net, y, samples(net, -10, 10), tmp_path)
    assert model.imported.input.type.shape == (2, 4, 4) and kinds(model) == ["Conv", "Threshold"]


# Shape of a sample, shape of the weights [C, N / groups, *kernel], attributes.
TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], Attributes]] = {
    "plain": ((2, 3, 4), (2, 3, 3, 3), {}),
    "1-d": ((2, 5), (2, 3, 4), {"strides": [3]}),
    "3-d": ((2, 2, 3, 2), (2, 2, 2, 1, 3), {"strides": [2, 1, 2]}),
    "1 x 1": ((2, 3, 4), (2, 3, 1, 1), {}),
    "strides": ((2, 3, 4), (2, 3, 3, 2), {"strides": [2, 3]}),
    "stride of the kernel": ((2, 3, 4), (2, 3, 2, 2), {"strides": [2, 2]}),
    "stride beyond the kernel": ((2, 3, 4), (2, 3, 2, 1), {"strides": [3, 4]}),
    "pads": ((2, 3, 4), (2, 3, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 2]}),
    "pads beyond the kernel": ((2, 6, 6), (2, 3, 2, 2), {"pads": [2, 3, 2, 1], "strides": [2, 2]}),
    "output_padding": ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 3], "output_padding": [1, 2], "pads": [1, 1, 1, 1]}),
    "output_shape": ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "output_shape": [6, 8]}),
    "output_shape, odd rest": ((2, 3, 4), (2, 3, 3, 4), {"strides": [2, 2], "output_shape": [6, 7]}),
    "output_shape, SAME_UPPER": (
        (2, 3, 4),
        (2, 3, 3, 4),
        {"strides": [2, 2], "output_shape": [6, 7], "auto_pad": "SAME_UPPER"},
    ),
    "SAME_UPPER": ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "SAME_LOWER": ((2, 3, 4), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "groups": ((4, 3, 3), (4, 3, 3, 3), {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "depthwise": ((3, 3, 3), (3, 1, 3, 3), {"group": 3, "strides": [2, 2]}),
    "depthwise, multiplier 2": ((3, 3, 3), (3, 2, 3, 3), {"group": 3}),
    "dilations": ((2, 3, 4), (2, 3, 3, 2), {"dilations": [2, 3], "strides": [2, 1], "pads": [1, 2, 0, 1]}),
}


@pytest.mark.parametrize(("shape", "kernel", "attributes"), TRANSPOSED.values(), ids=TRANSPOSED)
@pytest.mark.parametrize("zero", [0.0, 3.0, 0.5])
def test_transposed(
    shape: tuple[int, ...], kernel: tuple[int, ...], attributes: Attributes, zero: float, tmp_path: Path
) -> None:
    net = Net(*shape)
    x = net.quant("input", bits=4)
    x = net.op("Sub", x, np.float32(zero)) if zero else x
    bias = weights(kernel[1] * attributes.get("group", 1))
    y = net.op("ConvTranspose", x, weights(*kernel), bias, **attributes)
    model = same(net, y, samples(net, -10, 10), tmp_path)
    strided = any(stride > 1 for stride in attributes.get("strides", []))
    wanted = [*(["Stuff"] if strided else []), "Conv"]
    assert [kind for kind in kinds(model) if kind not in ("Take", "Add")] == wanted


REFUSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], Attributes, str]] = {
    "channels": ((3, 4, 4), (2, 2, 3, 3), {}, "do not fit its input"),
    "groups": ((4, 4, 4), (3, 2, 3, 3), {"group": 2}, "do not fit its input"),
    "rank": ((4, 4), (3, 4, 3, 3), {}, "does not match the number of spatial dimensions"),
    "a window that is too large": ((2, 2, 2), (3, 2, 3, 3), {}, "larger than its padded input"),
    "kernel_shape": ((2, 4, 4), (3, 2, 3, 3), {"kernel_shape": [2, 2]}, "must be that of its weights"),
    "number of pads": ((2, 4, 4), (3, 2, 3, 3), {"pads": [1, 1]}, "pads has incorrect size"),
    "stride 0": ((2, 4, 4), (3, 2, 3, 3), {"strides": [0, 1]}, "strides must only contain positive values"),
}


@pytest.mark.parametrize(("shape", "kernel", "attributes", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(
    shape: tuple[int, ...], kernel: tuple[int, ...], attributes: Attributes, reason: str, tmp_path: Path
) -> None:
    net = Net(*shape, batch=1)
    path = tmp_path / "model.onnx"
    path.write_bytes(net.model(net.op("Conv", net.quant("input"), weights(*kernel), **attributes)).SerializeToString())
    with pytest.raises(ImportRefused, match=reason):
        load(path)


def test_spatial_axes_need_one_scale(tmp_path: Path) -> None:
    net = Net(2, 4, 4, batch=1)
    x = net.quant("input", np.float32([1, 2, 0.5, 4]))
    path = tmp_path / "model.onnx"
    path.write_bytes(net.model(net.op("Conv", x, weights(3, 2, 3, 3))).SerializeToString())
    with pytest.raises(ImportRefused, match="differ along a spatial axis"):
        load(path)
