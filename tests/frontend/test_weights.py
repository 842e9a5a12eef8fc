"""What constants and activations become as operands of a layer: their integers and scales."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lutwright.errors import ImportRefused
from lutwright.frontend.model import load
from lutwright.frontend.nodes import Dense
from lutwright.frontend.onnx_import.state import Refused
from lutwright.frontend.onnx_import.values import Constant, Lattice
from lutwright.frontend.onnx_import.weights import Weights, lattice_of

from .builder import Net, kinds, same, samples

F = np.float32
Q = np.array([[1, -2], [3, 0], [-4, 2]], np.int64)  # [N, K]

# Scales of the weights and of the activations, the steps [N] that must come out, and what multiplies the integers.
ROWS = {
    "one scale": (0.3, [1, 1], [0.3] * 3, [1, 1]),
    "a scale for each row": ([[0.3], [0.7], [1]], [0.5, 0.5], [0.15, 0.35, 0.5], [1, 1]),
    "powers of two along the sum": (1.0, [0.25, 1], [0.25] * 3, [1, 4]),
    "multiples along the sum": (1.0, [0.75, 0.5], [0.25] * 3, [3, 2]),
    "scales that cancel": ([[2.0, 1.0]], [0.5, 1.0], [1.0] * 3, [1, 1]),
    "negative": (-0.5, [1, 1], [-0.5] * 3, [1, 1]),
}


@pytest.mark.parametrize(("scale", "x_scale", "steps", "factors"), ROWS.values(), ids=ROWS)
def test_rows_have_one_step(scale: object, x_scale: object, steps: list[float], factors: list[int]) -> None:
    spread = np.broadcast_to(np.asarray(scale, float), Q.shape)
    weights = Weights.of(Q, spread, np.asarray(x_scale, float))
    assert np.array_equal(weights.step, steps) and np.array_equal(weights.q, Q * factors)
    assert np.array_equal(weights.step[:, np.newaxis] * weights.q, Q * spread * x_scale)
    assert np.array_equal(weights.real, Q * spread)


def test_scales_without_a_common_step_are_refused() -> None:
    with pytest.raises(Refused, match="different scales along the axis that it sums over"):
        Weights.of(Q, np.ones(Q.shape), np.array([0.3, 0.7]))


LATTICES: dict[str, tuple[np.ndarray, np.ndarray, list[float]]] = {
    "integers": (F([[3, -6], [0, 127]]), np.array([[3, -6], [0, 127]]), [1, 1]),
    "a grid for each column of a matrix": (F([[0.75, 1.2], [-0.5, 0]]), np.array([[3, 1], [-2, 0]]), [0.25, F(1.2)]),
    "a zero column": (F([[0, 0.5], [0, -0.5]]), np.array([[0, 1], [0, -1]]), [1, 0.5]),
    "signs": (F([[0.0813, -0.3], [-0.0813, -0.3]]), np.array([[1, -1], [-1, -1]]), [F(0.0813), F(0.3)]),
}


@pytest.mark.parametrize(("array", "q", "columns"), LATTICES.values(), ids=LATTICES)
def test_constants_that_no_quantizer_made_have_a_grid_of_their_own(
    array: np.ndarray, q: np.ndarray, columns: list[float]
) -> None:
    lattice = lattice_of(Constant(array))
    assert np.array_equal(lattice.q * lattice.scale, array.astype(float))
    used = (q != 0).any(axis=0)
    assert np.array_equal(lattice.q, q) and np.array_equal(lattice.scale[0, used], np.array(columns, float)[used])


def test_kernels_have_a_grid_for_each_output_channel() -> None:
    lattice = lattice_of(Constant(F([[[0.5, 1.5]], [[-0.3, 0.3]]])))
    assert np.array_equal(lattice.q, [[[1, 3]], [[-1, 1]]])
    assert np.array_equal(lattice.scale[:, 0, 0], [0.5, F(0.3)])


def test_a_quantizers_grid_stays(tmp_path: Path) -> None:
    given = Lattice(np.array([[2, 4]]), np.full((1, 2), 0.5), np.dtype(F))
    assert lattice_of(Constant(F([[1, 2]]), given)) is given


UNFIT = {
    "real": (F([[0.1, 0.2], [0.3, 1e-7]]), "not quantized"),
    "NaN": (F([[np.nan, 1], [0, 0]]), "NaN or infinity"),
}


@pytest.mark.parametrize(("array", "reason"), UNFIT.values(), ids=UNFIT)
def test_constants_without_a_grid_are_refused(array: np.ndarray, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        lattice_of(Constant(array))


MOVES: dict[str, Callable[[Net, str], str]] = {  # of quantized weights [3, 4] to [4, 2]
    "transposed and sliced": lambda net, w: net.op(
        "Slice", net.op("Transpose", w, perm=[1, 0]), np.array([0]), np.array([2]), np.array([1])
    ),
    "gathered": lambda net, w: net.op("Transpose", net.op("Gather", w, np.array([2, 0])), perm=[1, 0]),
    "reshaped": lambda net, w: net.op("Slice", net.op("Reshape", w, np.array([4, 3])), np.array([0]), np.array([2]),
                                      np.array([1])),
    "scaled": lambda net, w: net.op("Mul", F([0.5, 4]), net.op("Gather", net.op("Transpose", w, perm=[1, 0]),
                                                              np.array([2, 0]), axis=1)),
    "divided": lambda net, w: net.op("Div", net.op("Transpose", net.op("Gather", w, np.array([2, 0])), perm=[1, 0]),
                                     F(0.3)),
    "negated": lambda net, w: net.op("Neg", net.op("Transpose", net.op("Gather", w, np.array([2, 0])), perm=[1, 0])),
}  # fmt: skip


@pytest.mark.parametrize("channels", [False, True], ids=["one scale", "scales per row"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_quantized_constants_keep_their_integers(
    move: Callable[[Net, str], str], channels: bool, tmp_path: Path
) -> None:
    """Weights of 3 bits never need more."""
    net = Net(4)
    scale = F([[0.25], [1], [0.5]]) if channels else F(0.5)
    w = net.quant(np.random.default_rng(1).standard_normal((3, 4)).astype(F), scale, 3)
    y = net.op("MatMul", net.quant("input"), move(net, w))
    model = same(net, net.quant(y, 0.61, 6), samples(net, -8, 7), tmp_path)
    assert kinds(model) == ["Dense", "Threshold"]
    (layer,) = [node for node in model.graph if isinstance(node, Dense)]
    mixed = channels and move is MOVES["reshaped"]  # rows of unlike scales meet in one column
    assert np.abs(layer.weight).max() <= (16 if mixed else 4)


# What stands between a quantizer and a layer, and the kinds of nodes: an affine chain folds, others have a grid.
CHAINS: dict[str, tuple[Callable[[Net, str], str], list[str]]] = {
    "scaled and shifted": (lambda net, x: net.op("Add", net.op("Mul", x, F(0.3)), F(1.7)), ["Dense"]),
    "scaled per channel by powers of two": (lambda net, x: net.op("Mul", x, F([1, 0.5, 4])), ["Dense"]),
    "shifted per channel": (lambda net, x: net.op("Sub", x, F([1, 0.3, -4])), ["Dense"]),
    "subtracted from a constant": (lambda net, x: net.op("Sub", F(3), x), ["Dense"]),
    "relu": (lambda net, x: net.op("Relu", x), ["Threshold", "Dense"]),
    "clipped": (lambda net, x: net.op("Clip", x, F(-1.5), F(2)), ["Threshold", "Dense"]),
    "clipped between levels": (lambda net, x: net.op("Clip", x, F(-1.25), F(2)), ["Threshold", "Dense"]),
    "leaky, slope a power of two": (lambda net, x: net.op("LeakyRelu", x, alpha=0.125), ["Threshold", "Dense"]),
    "signs": (lambda net, x: net.op("Sign", x), ["Threshold", "Dense"]),
    "squares": (lambda net, x: net.op("Mul", x, x), ["Table", "Dense"]),
    "rounded": (lambda net, x: net.op("Floor", x), ["Threshold", "Dense"]),
}


@pytest.mark.parametrize(("chain", "wanted"), CHAINS.values(), ids=CHAINS)
def test_activations_without_a_quantizer(chain: Callable[[Net, str], str], wanted: list[str], tmp_path: Path) -> None:
    net = Net(3)
    w = np.random.default_rng(1).integers(-3, 4, (3, 4)).astype(F)
    y = net.op("MatMul", chain(net, net.quant("input", 0.5)), w)
    assert kinds(same(net, y, samples(net, -4, 4, 0.5), tmp_path)) == wanted


def test_functions_without_a_grid_are_refused(tmp_path: Path) -> None:
    net = Net(3, batch=1)
    y = net.op("MatMul", net.op("Sigmoid", net.quant("input", 0.5)), np.ones((3, 4), F))
    path = tmp_path / "model.onnx"
    path.write_bytes(net.model(y).SerializeToString())
    with pytest.raises(ImportRefused, match="no small integers times a scale"):
        load(path)
