"""Operators that move elements: golden == qonnx, and no more IR nodes than the move needs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from lutwright.errors import ImportRefused
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Pad

from .builder import Net, kinds, same, samples

Build = Callable[[Net, str], str]
FAR = 2**31 - 1


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def slice_(*bounds: Any) -> Build:
    return lambda net, x: net.op("Slice", x, *(ints(*item) for item in bounds))


# What moves a tensor [N, 4, 3, 5], the opset, and the kinds of nodes (Reshape and Transpose included).
MOVES: dict[str, tuple[Build, int, list[str]]] = {
    "slice": (slice_([1], [3], [1]), 13, ["Take"]),
    "slice, two axes": (slice_([1, 0], [3, 2], [1, 3]), 13, ["Take", "Take"]),
    "slice, steps": (slice_([0, 1], [4, 5], [1, 3], [2, 3]), 13, ["Take", "Take"]),
    "slice, backwards": (slice_([3], [-FAR], [1], [-2]), 13, ["Take"]),
    "slice, counted from the end": (slice_([-2], [FAR], [-3]), 13, ["Take"]),
    "slice, all of it": (slice_([0], [FAR], [2]), 13, []),
    "slice, attributes": (lambda net, x: net.op("Slice", x, starts=[1], ends=[-1], axes=[3]), 9, ["Take"]),
    "slice without axes": (slice_([0, 1], [100, 3]), 13, ["Take"]),
    "split, equal": (lambda net, x: net.ops("Split", x, outputs=2, axis=1)[1], 11, ["Take"]),
    "split, sizes": (lambda net, x: net.ops("Split", x, ints(1, 3, 1), outputs=3, axis=3)[1], 13, ["Take"]),
    "split, sizes as an attribute": (
        lambda net, x: net.ops("Split", x, outputs=2, axis=-1, split=[4, 1])[1],
        11,
        ["Take"],
    ),
    "split, num_outputs": (lambda net, x: net.ops("Split", x, outputs=2, axis=3, num_outputs=2)[1], 18, ["Take"]),
    "tile": (lambda net, x: net.op("Tile", x, ints(1, 2, 1, 3)), 13, ["Take", "Take"]),
    "tile, once": (lambda net, x: net.op("Tile", x, ints(1, 1, 1, 1)), 13, []),
    "gather, an index": (lambda net, x: net.op("Gather", x, np.int64(2), axis=1), 13, ["Take", "Reshape"]),
    "gather, counted from the end": (lambda net, x: net.op("Gather", x, ints(-1, 0, 0), axis=3), 13, ["Take"]),
    "gather, a matrix": (lambda net, x: net.op("Gather", x, ints(0, 1, 2, 2).reshape(2, 2), axis=-2), 13,
                         ["Take", "Reshape"]),
    "depth to space, DCR": (lambda net, x: net.op("DepthToSpace", x, blocksize=2), 13,
                            ["Reshape", "Transpose", "Reshape"]),
    "depth to space, CRD": (lambda net, x: net.op("DepthToSpace", x, blocksize=2, mode="CRD"), 13,
                            ["Reshape", "Transpose", "Reshape"]),
    "transpose": (lambda net, x: net.op("Transpose", x, perm=[0, 3, 1, 2]), 13, ["Transpose"]),
    "transpose and back": (
        lambda net, x: net.op("Transpose", net.op("Transpose", x, perm=[0, 3, 1, 2]), perm=[0, 2, 3, 1]), 13, []),
    "transposes joined": (
        lambda net, x: net.op("Transpose", net.op("Transpose", x, perm=[0, 3, 1, 2]), perm=[0, 2, 1, 3]), 13,
        ["Transpose"]),
    "reshape": (lambda net, x: net.op("Reshape", x, ints(0, 12, -1)), 13, ["Reshape"]),
    "reshapes joined": (
        lambda net, x: net.op("Reshape", net.op("Reshape", x, ints(0, -1)), ints(0, 5, 2, 6)), 13, ["Reshape"]),
    "reshape and back": (
        lambda net, x: net.op("Reshape", net.op("Flatten", x), ints(0, 4, 3, 5)), 13, []),
    "flatten": (lambda net, x: net.op("Flatten", x), 13, ["Reshape"]),
    "flatten, axis from the end": (lambda net, x: net.op("Flatten", x, axis=-3), 13, ["Reshape"]),
    "unsqueeze and squeeze": (
        lambda net, x: net.op("Squeeze", net.op("Unsqueeze", x, ints(2, -1)), ints(2, -1)), 13, []),
    "unsqueeze, attribute": (lambda net, x: net.op("Unsqueeze", x, axes=[1]), 11, ["Reshape"]),
    "identity and dropout": (lambda net, x: net.op("Identity", net.op("Dropout", x)), 13, []),
    "channel shuffle": (
        lambda net, x: net.op(
            "Reshape",
            net.op("Transpose", net.op("Reshape", x, ints(0, 2, 2, 3, 5)), perm=[0, 2, 1, 3, 4]),
            ints(0, 4, 3, 5),
        ), 13, ["Reshape", "Transpose", "Reshape"]),
}  # fmt: skip


@pytest.mark.parametrize("zero", [0.0, 3.0])
@pytest.mark.parametrize(("build", "opset", "wanted"), MOVES.values(), ids=MOVES)
def test_moves(build: Build, opset: int, wanted: list[str], zero: float, tmp_path: Path) -> None:
    net = Net(4, 3, 5, opset=opset)
    y = build(net, net.quant("input", 0.5, zero=zero))
    model = same(net, y, samples(net, -8, 8, 0.5), tmp_path)
    assert kinds(model, ["Input"]) == wanted


@pytest.mark.parametrize(("build", "opset"), [case[:2] for case in MOVES.values()], ids=MOVES)
def test_moves_keep_scales_per_channel(build: Build, opset: int, tmp_path: Path) -> None:
    net = Net(4, 3, 5, opset=opset)
    y = build(net, net.quant("input", np.float32([0.5, 1, 0.3, 0.25]).reshape(1, 4, 1, 1)))
    same(net, y, samples(net, -8, 8, 0.125), tmp_path)


@pytest.mark.parametrize(("build", "opset"), [case[:2] for case in MOVES.values()], ids=MOVES)
def test_moves_before_a_quantizer(build: Build, opset: int, tmp_path: Path) -> None:
    """Functions with constants per channel that no quantizer has resolved yet move with the elements."""
    net = Net(4, 3, 5, opset=opset)
    x = net.op("Mul", net.quant("input", 0.5), np.float32([0.3, -1.7, 2, 0.01]).reshape(4, 1, 1))
    y = net.quant(build(net, net.op("Sigmoid", x)), 0.125, 3)
    same(net, y, samples(net, -8, 8, 0.5), tmp_path)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_space_to_depth_is_the_reverse(mode: str, tmp_path: Path) -> None:
    net = Net(2, 4, 6)
    x = net.op("SpaceToDepth", net.quant("input"), blocksize=2)
    y = net.op("DepthToSpace", x, blocksize=2, mode=mode)
    model = same(net, y, samples(net, -8, 7), tmp_path)
    q = model.encode(samples(net, -8, 7))
    assert np.array_equal(model.graph.evaluate(q), q) == (mode == "DCR")


def test_all_parts_of_a_split_are_used(tmp_path: Path) -> None:
    net = Net(5, 4)
    parts = net.ops("Split", net.quant("input"), ints(1, 3, 1), outputs=3, axis=1)
    y = net.op("Concat", *reversed(parts), axis=1)
    assert "Concat" in kinds(same(net, y, samples(net, -8, 7), tmp_path))


def test_expand(tmp_path: Path) -> None:
    net = Net(3, 1, 4)
    y = net.op("Expand", net.quant("input"), ints(1, 1, 5, 1))
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"]) == ["Take"]


def test_expand_of_a_pooled_tensor_to_its_image(tmp_path: Path) -> None:
    net = Net(3, 4, 4)
    x = net.quant("input")
    pooled = net.op("GlobalMaxPool", x)
    y = net.op("Concat", x, net.op("Expand", pooled, ints(1, 1, 4, 4)), axis=1)
    same(net, y, samples(net, -8, 7), tmp_path)


PADS: dict[str, tuple[list[int], str]] = {
    "one side": ([0, 0, 0, 0, 0, 0, 0, 2], "constant"),
    "all sides": ([0, 0, 1, 2, 0, 0, 3, 1], "constant"),
    "channels": ([0, 1, 0, 0, 0, 2, 0, 0], "constant"),
    "negative": ([0, 0, -1, 0, 0, 0, 0, -2], "constant"),
    "negative and positive": ([0, 0, -1, 2, 0, 0, 2, -3], "constant"),
    "nothing": ([0] * 8, "constant"),
    "reflected": ([0, 0, 1, 2, 0, 0, 2, 3], "reflect"),
    "edges": ([0, 1, 2, 0, 0, 0, 1, 4], "edge"),
}


@pytest.mark.parametrize("zero", [0.0, 3.0])
@pytest.mark.parametrize("opset", [9, 13])
@pytest.mark.parametrize(("pads", "mode"), PADS.values(), ids=PADS)
def test_pads(pads: list[int], mode: str, opset: int, zero: float, tmp_path: Path) -> None:
    """Pads are an attribute before opset 11, an input since then."""
    net = Net(2, 4, 5, opset=opset)
    x = net.quant("input", 0.5, zero=zero)
    y = net.op("Pad", x, ints(*pads), mode=mode) if opset > 10 else net.op("Pad", x, pads=pads, mode=mode)
    model = same(net, y, samples(net, -8, 8, 0.5), tmp_path)
    padded = [node for node in model.graph if isinstance(node, Pad)]
    assert [node.value for node in padded] == ([int(zero)] if mode == "constant" and max(pads) > 0 else [])


VALUES: dict[str, tuple[float, int]] = {"0": (0.0, 3), "the least": (-5.5, -8), "beyond the range": (20.0, 43)}


@pytest.mark.parametrize(("value", "level"), VALUES.values(), ids=VALUES)
def test_values_of_pads_are_levels(value: float, level: int, tmp_path: Path) -> None:
    net = Net(2, 4, 5)
    y = net.op("Pad", net.quant("input", 0.5, zero=3.0), ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(value))
    (padded,) = [node for node in same(net, y, samples(net, -8, 8, 0.5), tmp_path).graph if isinstance(node, Pad)]
    assert padded.value == level


def test_pads_along_given_axes(tmp_path: Path) -> None:
    net = Net(2, 4, 5, opset=18)
    y = net.op("Pad", net.quant("input"), ints(1, 2, 0, 3), np.float32(1), ints(3, -2))
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path)) == ["Pad"]


def test_a_pad_before_a_convolution_has_its_zero_point(tmp_path: Path) -> None:
    net = Net(2, 4, 5)
    w = np.random.default_rng(1).integers(-3, 4, (3, 2, 3, 3)).astype(np.float32)
    x = net.op("Pad", net.quant("input", zero=2.0), ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(0))
    model = same(net, net.op("Conv", x, w), samples(net, -8, 7), tmp_path)
    assert kinds(model) == ["Pad", "Conv"]


RESIZED: dict[str, dict[str, Any]] = {
    "asymmetric, floor": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
    "asymmetric, ceil": {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"},
    "half_pixel": {"coordinate_transformation_mode": "half_pixel"},
    "half_pixel, round_prefer_ceil": {
        "coordinate_transformation_mode": "half_pixel",
        "nearest_mode": "round_prefer_ceil",
    },
    "pytorch_half_pixel": {"coordinate_transformation_mode": "pytorch_half_pixel", "nearest_mode": "floor"},
    "align_corners": {"coordinate_transformation_mode": "align_corners"},
    "align_corners, floor": {"coordinate_transformation_mode": "align_corners", "nearest_mode": "floor"},
}
SCALES = {"doubled": (2, 2), "unequal": (1, 3), "halved": (0.5, 0.5), "by no integer": (1.5, 0.7)}


@pytest.mark.parametrize("scales", SCALES.values(), ids=SCALES)
@pytest.mark.parametrize("attributes", RESIZED.values(), ids=RESIZED)
def test_resize(attributes: dict[str, Any], scales: tuple[float, float], tmp_path: Path) -> None:
    net = Net(2, 4, 6)
    y = net.op("Resize", net.quant("input"), "", np.float32([1, 1, *scales]), mode="nearest", **attributes)
    assert set(kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"])) <= {"Take"}


def test_resize_to_sizes(tmp_path: Path) -> None:
    net = Net(2, 4, 6, batch=1)
    y = net.op("Resize", net.quant("input"), "", "", ints(1, 2, 7, 9), mode="nearest")
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"]) == ["Take", "Take"]


def test_resize_along_given_axes(tmp_path: Path) -> None:
    net = Net(2, 4, 6, opset=18)
    y = net.op("Resize", net.quant("input"), "", np.float32([2]), mode="nearest", axes=[3])
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"]) == ["Take"]


def test_resize_of_opset_10(tmp_path: Path) -> None:
    net = Net(2, 4, 6, opset=10)
    y = net.op("Resize", net.quant("input"), np.float32([1, 1, 2, 2]), mode="nearest")
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"]) == ["Take", "Take"]


def test_upsample(tmp_path: Path) -> None:
    net = Net(2, 4, 6, opset=9)
    y = net.op("Upsample", net.quant("input"), np.float32([1, 1, 2, 3]), mode="nearest")
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"]) == ["Take", "Take"]


# Scales and zero points of two tensors [N, 2, 3, 4], and the axis along which they are joined.
JOINED = {
    "equal": ((0.5, 0), (0.5, 0)),
    "powers of two": ((0.5, 0), (0.125, 0)),
    "without a common step": ((0.3, 0), (0.7, 0)),
    "zero points": ((0.5, 3), (0.25, -2)),
}


@pytest.mark.parametrize("axis", [1, 2, 3, -1])
@pytest.mark.parametrize("grids", JOINED.values(), ids=JOINED)
def test_concat_keeps_the_scales(grids: tuple[tuple[float, float], ...], axis: int, tmp_path: Path) -> None:
    net = Net(2, 3, 4)
    x = net.quant("input", 0.125, 8)
    parts = [net.quant(x, scale, zero=zero) for scale, zero in grids]
    model = same(net, net.op("Concat", *parts, axis=axis), samples(net, -8, 8, 0.125), tmp_path)
    assert kinds(model) == ["Threshold"] * len(set(grids)) + ["Concat"]


@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("grids", JOINED.values(), ids=JOINED)
def test_concat_before_a_quantizer(grids: tuple[tuple[float, float], ...], axis: int, tmp_path: Path) -> None:
    net = Net(2, 3, 4)
    x = net.quant("input", 0.125, 8)
    parts = [net.quant(x, scale, zero=zero) for scale, zero in grids]
    y = net.quant(net.op("Concat", *parts, axis=axis), 0.37)
    same(net, y, samples(net, -8, 8, 0.125), tmp_path)


def test_concat_of_a_tensor_with_itself(tmp_path: Path) -> None:
    net = Net(2, 3)
    x = net.quant("input")
    same(net, net.op("Concat", x, x, x, axis=1), samples(net, -8, 7), tmp_path)


def test_concat_of_sums_of_weights_and_inputs(tmp_path: Path) -> None:
    """Two layers of unlike scales, joined before their quantizer."""
    net = Net(3)
    rng, x = np.random.default_rng(1), net.quant("input")
    parts = [net.op("MatMul", x, net.quant(rng.integers(-3, 4, (3, 2)).astype(np.float32), s)) for s in (0.5, 0.25)]
    y = net.quant(net.op("Relu", net.op("Concat", *parts, axis=1)), 0.75)
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path))[-1] == "Threshold"


def test_channels_last_exports(tmp_path: Path) -> None:
    """Activations [N, H, W, C] with a Transpose around each convolution and pool: none of them is left."""
    net = Net(5, 5, 2)
    rng, x = np.random.default_rng(1), net.quant("input")
    for inner, outer in ((2, 3), (3, 4)):
        x = net.op("Transpose", x, perm=[0, 3, 1, 2])
        x = net.op("Conv", x, rng.integers(-2, 3, (outer, inner, 3, 3)).astype(np.float32), pads=[1, 1, 1, 1])
        x = net.op("Transpose", x, perm=[0, 2, 3, 1])
        x = net.quant(net.op("Add", x, rng.standard_normal(outer).astype(np.float32)), 3.0)
    x = net.op("Transpose", x, perm=[0, 3, 1, 2])
    x = net.op("MaxPool", x, kernel_shape=[2, 2])
    y = net.op("Transpose", x, perm=[0, 2, 3, 1])
    model = same(net, y, samples(net, -8, 7), tmp_path)
    found = kinds(model, ["Input"])
    assert sorted(found) == ["Conv", "Conv", "Pool", "Threshold", "Threshold"]


def test_flatten_between_channels_first_and_a_dense_layer(tmp_path: Path) -> None:
    """The weights' rows are permuted instead of the activations."""
    net = Net(2, 3, 3)
    rng = np.random.default_rng(1)
    x = net.op("Conv", net.quant("input"), rng.integers(-2, 3, (3, 2, 2, 2)).astype(np.float32))
    x = net.op("Flatten", net.quant(x, 3.0))
    y = net.op("MatMul", x, rng.integers(-2, 3, (12, 4)).astype(np.float32))
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path)) == ["Conv", "Threshold", "Dense"]


EMBEDDINGS: dict[str, Callable[[Net, np.ndarray], str]] = {
    "quantized": lambda net, table: net.op("Gather", net.quant(table / 3, 0.5), "input"),
    "integers": lambda net, table: net.op("Gather", np.round(table), "input"),
    "scales per column": lambda net, table: net.op("Gather", net.quant(table, np.float32([[0.5, 0.25, 2]])), "input"),
    "then a layer": lambda net, table: net.op(
        "MatMul", net.op("Gather", net.quant(table, 0.5), "input"), np.round(table[:3])
    ),
    "then flattened": lambda net, table: net.op("Flatten", net.op("Gather", net.quant(table, 0.5), "input")),
}


@pytest.mark.parametrize("build", EMBEDDINGS.values(), ids=EMBEDDINGS)
def test_embeddings(build: Callable[[Net, np.ndarray], str], tmp_path: Path) -> None:
    net = Net(4, dtype=np.int64)
    table = np.random.default_rng(1).standard_normal((16, 3)).astype(np.float32) * 4
    model = same(net, build(net, table), samples(net, 0, 15), tmp_path, grid="uint4")
    assert kinds(model)[0] == "Embedding"


def test_shapes_are_constants(tmp_path: Path) -> None:
    """Shape, Gather, Unsqueeze, Concat, Reshape: what exporters write for `x.view(x.shape[0], -1)`."""
    net = Net(2, 3, batch="n")
    x = net.quant("input")
    size = net.op("Unsqueeze", net.op("Gather", net.op("Shape", x), np.int64(0)), ints(0))
    y = net.op("Reshape", x, net.op("Concat", size, ints(-1), axis=0))
    assert kinds(same(net, y, samples(net, -8, 7), tmp_path), ["Input"]) == ["Reshape"]


def test_integers_cast_to_reals_keep_their_values(tmp_path: Path) -> None:
    net = Net(3, dtype=np.int8)
    y = net.op("Transpose", net.op("Cast", "input", to=TensorProto.FLOAT), perm=[0, 1])
    w = np.random.default_rng(1).integers(-2, 3, (3, 2)).astype(np.float32)
    y = net.quant(net.op("MatMul", y, w), 3.0)
    assert kinds(same(net, y, samples(net, -128, 127), tmp_path)) == ["Dense", "Threshold"]


REFUSED: dict[str, tuple[Build, str]] = {
    "interpolation": (
        lambda net, x: net.op("Resize", x, "", np.float32([1, 1, 2, 2]), mode="linear"),
        "it interpolates",
    ),
    "a value between levels": (
        lambda net, x: net.op("Pad", x, ints(0, 0, 1, 0, 0, 0, 0, 0), np.float32(0.3)),
        "is no level of its input",
    ),
    "the batch is padded": (
        lambda net, x: net.op("Pad", x, ints(1, 0, 0, 0, 0, 0, 0, 0), np.float32(0)),
        "it pads the batch",
    ),
    "an index beyond": (lambda net, x: net.op("Gather", x, ints(4), axis=1), "its indices must lie within 4"),
}


@pytest.mark.parametrize(("build", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(build: Build, reason: str, tmp_path: Path) -> None:
    net = Net(4, 3, 5, batch="n")
    w = np.ones((5, 2), np.float32)
    path = tmp_path / "model.onnx"
    y = net.op("MatMul", build(net, net.quant("input")), w)
    path.write_bytes(net.model(y).SerializeToString())
    with pytest.raises(ImportRefused, match=reason):
        load(path)
