"""Pools and reductions: golden == qonnx, and one Pool node each."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import ImportRefused
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Pool

from .builder import Net, kinds, same, samples

Attributes = dict[str, Any]

# Shape of a sample, attributes; for maxima and means alike.
WINDOWS: dict[str, tuple[tuple[int, ...], Attributes]] = {
    "1-d": ((2, 7), {"kernel_shape": [3]}),
    "1-d, everything": ((2, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 2], "ceil_mode": 1}),
    "2-d": ((2, 4, 6), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "3-d": ((2, 4, 3, 4), {"kernel_shape": [2, 3, 1], "strides": [1, 1, 2]}),
    "overlapping": ((2, 5, 5), {"kernel_shape": [3, 3], "strides": [2, 2]}),
    "stride beyond the kernel": ((2, 7, 7), {"kernel_shape": [2, 1], "strides": [3, 4]}),
    "rectangle": ((2, 3, 7), {"kernel_shape": [1, 4], "strides": [1, 2]}),
    "all of space": ((2, 3, 4), {"kernel_shape": [3, 4]}),
    "pads": ((2, 4, 4), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "unequal pads": ((2, 4, 5), {"kernel_shape": [3, 4], "pads": [0, 1, 2, 3], "strides": [2, 2]}),
    "pads at the ends": ((2, 5, 5), {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1], "strides": [2, 2]}),
    "ceil_mode": ((2, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "ceil_mode": 1}),
    "ceil_mode with pads": (
        (2, 6, 6),
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "ceil_mode, last window in the padding": (
        (2, 4, 4),
        {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [1, 1, 1, 1], "ceil_mode": 1},
    ),
    "SAME_UPPER": ((2, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
    "SAME_LOWER": ((2, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
    "VALID": ((2, 5, 6), {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "VALID"}),
    "dilations": ((2, 7, 7), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "dilations with pads": ((2, 6, 6), {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [2, 1, 1, 1]}),
    "dilations with ceil_mode": (
        (2, 8, 8),
        {"kernel_shape": [3, 2], "dilations": [2, 2], "strides": [3, 3], "ceil_mode": 1},
    ),
}


@pytest.mark.parametrize("zero", [0.0, 3.0])
@pytest.mark.parametrize(("shape", "attributes"), WINDOWS.values(), ids=WINDOWS)
def test_max_pool(shape: tuple[int, ...], attributes: Attributes, zero: float, tmp_path: Path) -> None:
    net = Net(*shape)
    y = net.op("MaxPool", net.quant("input", 0.5, zero=zero), **attributes)
    model = same(net, y, samples(net, -8, 8, 0.5), tmp_path)
    assert kinds(model) == ["Pool"]
    assert (model.graph[model.graph.output].type.lo, model.graph[model.graph.output].type.hi) == (-8, 7)


@pytest.mark.parametrize("zero", [0.0, 3.0])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize(("shape", "attributes"), WINDOWS.values(), ids=WINDOWS)
def test_average_pool(
    shape: tuple[int, ...], attributes: Attributes, include: int, zero: float, tmp_path: Path
) -> None:
    net = Net(*shape, opset=19)
    x = net.op("AveragePool", net.quant("input", 0.5, zero=zero), count_include_pad=include, **attributes)
    model = same(net, net.quant(x, 0.37, 5), samples(net, -8, 8, 0.5), tmp_path)
    assert kinds(model) in (["Pool", "Threshold"], ["Pool", "Requantize"])


@pytest.mark.parametrize("operator", ["GlobalMaxPool", "GlobalAveragePool"])
@pytest.mark.parametrize("shape", [(3, 5), (3, 4, 5), (3, 1, 1), (2, 3, 2, 4)])
def test_global_pools(operator: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    net = Net(*shape)
    y = net.op(operator, net.quant("input", 0.5))
    model = same(net, y, samples(net, -8, 8, 0.5), tmp_path)
    (pool,) = [node for node in model.imported if isinstance(node, Pool)]
    assert pool.kind == ("max" if operator == "GlobalMaxPool" else "sum")


def normalized(net: Net, x: str, gamma: list[float]) -> str:
    others = [np.float32(item) for item in ([0.3, 2, -0.7], [1, -2, 0.5], [4, 2, 9])]
    return net.op("BatchNormalization", x, np.float32(gamma), *others)


# What stands before the pool, on channels of which the function falls, rises, or is constant.
FUNCTIONS: dict[str, tuple[Callable[[Net, str], str], list[str]]] = {
    "rising": (lambda net, x: normalized(net, x, [1, 0.5, 2]), ["Pool", "Threshold"]),
    "falling": (lambda net, x: normalized(net, x, [-1, -0.5, -2]), ["Add", "Pool", "Threshold"]),
    "both, and constant": (lambda net, x: normalized(net, x, [1, -0.5, 0]), ["Add", "Pool", "Threshold"]),
    "relu": (lambda net, x: net.op("Relu", normalized(net, x, [1, 0.5, 2])), ["Pool", "Threshold"]),
    "negated": (lambda net, x: net.op("Neg", x), ["Add", "Pool", "Threshold"]),
    "a function that is not monotone": (lambda net, x: net.op("Abs", x), ["Table", "Pool", "Threshold"]),
}


@pytest.mark.parametrize(("function", "wanted"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_maxima_of_functions(function: Callable[[Net, str], str], wanted: list[str], tmp_path: Path) -> None:
    net = Net(3, 5, 5)
    x = function(net, net.quant("input", 0.5, 5))
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    model = same(net, net.quant(x, 0.75, 4), samples(net, -8, 8, 0.5), tmp_path)
    assert kinds(model) == wanted


def test_maxima_with_scales_of_either_sign(tmp_path: Path) -> None:
    """The integers of falling channels are negated: padding must not win over them."""
    net = Net(3, 4, 4)
    x = net.op("Mul", net.quant("input"), np.float32([2, -0.5, -1]).reshape(3, 1, 1))
    y = net.op("MaxPool", x, kernel_shape=[2, 2], pads=[1, 1, 1, 1])
    same(net, y, samples(net, -8, 8), tmp_path)


def test_maxima_of_sums_of_weights(tmp_path: Path) -> None:
    """Conv, BatchNormalization, Relu, MaxPool, quantizer: one staircase after the pool."""
    net = Net(2, 6, 6)
    w = np.random.default_rng(1).integers(-2, 3, (3, 2, 3, 3)).astype(np.float32)
    x = normalized(net, net.op("Conv", net.quant("input"), w), [0.2, 0.1, 0.3])
    x = net.op("MaxPool", net.op("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    assert kinds(same(net, net.quant(x, 0.5), samples(net, -8, 8), tmp_path)) == ["Conv", "Pool", "Threshold"]


def test_means_per_channel_scales(tmp_path: Path) -> None:
    net = Net(3, 4, 4)
    x = net.quant("input", np.float32([0.5, 1, 0.125]).reshape(1, 3, 1, 1))
    x = net.op("AveragePool", x, kernel_shape=[3, 2], strides=[1, 2])
    assert kinds(same(net, net.quant(x, 0.3), samples(net, -8, 8, 0.125), tmp_path))[0] == "Pool"


def test_means_of_offsets_that_differ_from_place_to_place(tmp_path: Path) -> None:
    net = Net(2, 4, 4)
    x = net.op("Add", net.quant("input"), np.arange(16, dtype=np.float32).reshape(4, 4))
    y = net.op("AveragePool", x, kernel_shape=[2, 2], pads=[1, 0, 0, 1], count_include_pad=1)
    same(net, y, samples(net, -8, 8), tmp_path)


def subsets(rank: int) -> list[list[int]]:
    """All sets of axes but the batch, some of them counted from the end."""
    found = [list(axes) for count in range(1, rank) for axes in itertools.combinations(range(1, rank), count)]
    return found + [[axis - rank for axis in axes] for axes in found[::2]]


AXES = [*((4, axes) for axes in subsets(4)), *((2, axes) for axes in subsets(2)), (3, [2]), (3, [-1, 1])]
SIZES = {2: (5,), 3: (3, 4), 4: (3, 2, 4)}


@pytest.mark.parametrize("operator", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize(("rank", "axes"), AXES, ids=[f"{rank}-d{axes}" for rank, axes in AXES])
@pytest.mark.parametrize(("opset", "keep"), [(11, 1), (18, 0)])
def test_reductions(operator: str, rank: int, axes: list[int], opset: int, keep: int, tmp_path: Path) -> None:
    """Axes are an attribute, and since opset 13 (ReduceSum) or 18 an input."""
    net = Net(*SIZES[rank], opset=opset)
    x = net.quant("input", 0.5, zero=2.0)
    if opset == 18:
        y = net.op(operator, x, np.array(axes), keepdims=keep)
    else:
        y = net.op(operator, x, axes=axes, keepdims=keep)
    model = same(net, y, samples(net, -8, 8, 0.5), tmp_path)
    wanted = ["Pool"]
    if operator == "ReduceMin":  # the maximum of the negated integers
        wanted = ["Add", "Pool"]
    assert kinds(model) == wanted


def test_reduced_sum_of_opset_13_takes_axes_as_an_input(tmp_path: Path) -> None:
    net = Net(2, 3, 4)
    y = net.op("ReduceSum", net.quant("input"), np.array([1, 3]), keepdims=0)
    assert kinds(same(net, y, samples(net, -8, 8), tmp_path)) == ["Pool"]


def test_a_reduction_without_axes_of_one_sample_is_over_all(tmp_path: Path) -> None:
    net = Net(2, 3, 4, batch=1)
    y = net.op("ReduceMean", net.quant("input"))
    assert kinds(same(net, y, samples(net, -8, 8), tmp_path)) == ["Pool"]


def test_a_reduction_with_noop_is_none(tmp_path: Path) -> None:
    net = Net(2, 3, opset=18)
    y = net.op("ReduceSum", net.quant("input"), np.zeros(0, np.int64), noop_with_empty_axes=1)
    assert kinds(same(net, y, samples(net, -8, 8), tmp_path)) == []


REFUSED: dict[str, tuple[str, Attributes, str]] = {
    "the batch": ("ReduceSum", {"axes": [0, 2]}, "reduces the batch axis"),
    "an axis beyond": ("ReduceSum", {"axes": [5]}, "break its operator's definition"),
    "the norm": ("LpPool", {"kernel_shape": [2, 2]}, "the norm over a window is not supported"),
    "no kernel": ("MaxPool", {}, "break its operator's definition"),
    "too large": ("AveragePool", {"kernel_shape": [5, 1]}, "larger than its padded input"),
}


@pytest.mark.parametrize(("operator", "attributes", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(operator: str, attributes: Attributes, reason: str, tmp_path: Path) -> None:
    net = Net(2, 4, 4, batch="n", opset=11)
    path = tmp_path / "model.onnx"
    path.write_bytes(net.model(net.op(operator, net.quant("input"), **attributes)).SerializeToString())
    with pytest.raises(ImportRefused, match=reason):
        load(path)
