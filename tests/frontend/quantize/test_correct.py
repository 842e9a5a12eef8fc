"""Bias correction: the mean of a layer's output is the float layer's again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from lutwright.frontend.quantize.data import pieces, run
from lutwright.frontend.quantize.prepare import read_float
from lutwright.frontend.quantize.quantization import quantize
from lutwright.frontend.quantize.settings import Settings

from .networks import Net


def biased(layer: str, folder: Path) -> tuple[Path, NDArray[np.float32]]:
    """One layer whose weights all lie 0.4 steps above the grid, on inputs that are never negative: rounding them adds
    the same error everywhere, and nothing averages it out. With a bias or without."""
    net = Net((3, 8, 8) if layer.startswith("Conv") else (12,))
    shape = {"Conv": (4, 3, 3, 3), "ConvTranspose": (3, 4, 3, 3), "Gemm": (12, 5)}[layer.removesuffix("_bias")]
    q = np.random.default_rng(0).integers(-6, 6, shape) + 0.4
    q[0 if layer.startswith("Conv_") or layer == "Conv" else slice(None)].flat[0] = 7
    names = [net.constant(q * 0.1)]
    if layer.endswith("_bias"):
        names.append(net.weights(shape[0] if layer.startswith("Conv_") else shape[1]))
    path = folder / "biased.onnx"
    onnx.save(net.model(net.op(layer.removesuffix("_bias"), "x", *names)), path)
    return path, np.abs(net.samples(200))


@pytest.mark.parametrize("layer", ["Conv", "Conv_bias", "ConvTranspose", "ConvTranspose_bias", "Gemm", "Gemm_bias"])
@pytest.mark.parametrize("settings", [Settings(4, 8, method="minmax"), Settings(4, 8, format="qdq", power_of_two=True)])
def test_the_mean_error_shrinks(layer: str, settings: Settings, tmp_path: Path) -> None:
    path, x = biased(layer, tmp_path)
    source, shifts = read_float(path), []
    data = pieces(source, x)
    for correction in (False, True):
        result = quantize(path, x, replace(settings, bias_correction=correction))
        assert [row["bias_corrected"] for row in result.facts()["layers"]] == [correction]
        error = run(result.model, data)[0] - run(source.model, data)[0]
        shifts.append(np.abs(error.mean(axis=tuple(axis for axis in range(error.ndim) if axis != 1))).mean())
    assert shifts[1] < shifts[0] / 4


def test_a_layer_without_room_for_a_bias_is_left_alone(tmp_path: Path) -> None:
    net = Net((6, 12))
    path = tmp_path / "matmul.onnx"
    onnx.save(net.model(net.op("MatMul", "x", net.weights(12, 5))), path)
    result = quantize(path, net.samples(), Settings(3, 3))
    assert [row["bias_corrected"] for row in result.facts()["layers"]] == [False]
    assert not [item for item in result.model.graph.initializer if numpy_helper.to_array(item).dtype == np.int32]
