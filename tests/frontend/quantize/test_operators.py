"""Every operator, quantized to both dialects: the file runs in its reference executor, and its values are on grids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from qonnx.core.onnx_exec import execute_onnx

from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.qonnx import plain
from lutwright.frontend.quantize.quantization import Quantization, quantize
from lutwright.frontend.quantize.scheme import Scheme
from lutwright.frontend.quantize.settings import Settings
from lutwright.testbenches.reference import contexts, prepared

from .networks import CASES, Case

Values = dict[str, NDArray[Any]]
SETTINGS = [
    Settings(method="minmax"),
    Settings(weights=3, activations=4, input=5),
    Settings(weights=4, activations=3, power_of_two=True),
    Settings(weights=2, activations=2, input=2, per_channel=False, bias_correction=False, method="percentile"),
]
BY_SETTINGS = pytest.mark.parametrize("settings", SETTINGS, ids=["8bit", "narrow", "power_of_two", "2bit_per_tensor"])
BY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def traced(model: onnx.ModelProto, x: NDArray[Any]) -> Values:
    """Every tensor of the model for the samples, by onnxruntime without optimizations."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    names = [name for node in model.graph.node for name in node.output if name]
    exposed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    return dict(zip(names, session(exposed).run(names, {"x": x}), strict=True)) | {"x": x}


def constants(model: onnx.ModelProto) -> Values:
    return {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


@BY_SETTINGS
@BY_CASE
def test_qdq_tensors_are_the_schemes_integers(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    result = quantize(path, x, settings)
    assert result.not_quantized == ()
    values, held = traced(result.model, x), constants(result.model)
    quantizers = [node for node in result.model.graph.node if node.op_type == "QuantizeLinear"]
    assert len(quantizers) >= len(result.activations) >= 1
    for node in quantizers:
        name = node.output[0].removesuffix("::quantized")
        last = f"{name}::clipped" if f"{name}::clipped" in values else node.output[0]
        scale, zero_point = held[node.input[1]], held[node.input[2]]
        scheme = result.activations.get(name)
        if scheme is None:  # of a tensor that passes quantized values on
            (scheme,) = [
                item for item in result.activations.values() if item.scale == scale and item.zero_point == zero_point
            ][:1]
        assert values[last].dtype == (np.int8 if scheme.signed else np.uint8)
        assert values[last].min() >= scheme.lo
        assert values[last].max() <= scheme.hi
        np.testing.assert_array_equal(values[last], scheme.levels(values[node.input[0]]))
        np.testing.assert_array_equal(values[f"{name}::dequantized"], scheme.real(values[last].astype(np.int64)))


@BY_SETTINGS
@BY_CASE
def test_qonnx_runs_in_qonnx_on_the_grid(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    result = quantize(path, x, Settings(**vars(settings) | {"format": "qonnx"}))
    values = contexts(prepared(result.model), x[:4])
    for name, scheme in result.activations.items():
        grid = scheme.real(np.arange(scheme.lo, scheme.hi + 1))
        assert np.isin(values[f"{name}::dequantized"], grid).all(), name


@pytest.mark.parametrize("case", CASES[:1] + CASES[-4:], ids=lambda case: case.name)
def test_plain_operators_compute_what_qonnx_computes(case: Case, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    model = quantize(path, x, Settings(4, 4, format="qonnx")).model
    name = model.graph.output[0].name
    found = [execute_onnx(prepared(model), {"x": sample[np.newaxis]})[name] for sample in x]
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate([
        session(plain(model)).run(None, {"x": sample[np.newaxis]})[0] for sample in x
    ]))  # fmt: skip


@BY_SETTINGS
@BY_CASE
def test_both_dialects_hold_the_same_weights_on_their_grid(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    qdq = quantize(path, x, settings)
    qonnx = quantize(path, x, Settings(**vars(settings) | {"format": "qonnx"}))
    values, held = traced(qdq.model, x), constants(qdq.model)
    inside = traced(plain(qonnx.model), x)
    for name, layer in qdq.layers.items():
        hi = 2 ** (settings.weights - 1) - 1
        stored = held[f"{name}::weight::quantized"]
        assert stored.dtype == np.int8
        assert -hi <= stored.min() and stored.max() <= hi
        np.testing.assert_array_equal(values[f"{name}::weight"], inside[f"{name}::weight"])
        if layer.has_bias:
            bias = held[f"{name}::bias::quantized"]
            assert bias.dtype == np.int32
            np.testing.assert_array_equal(held[f"{name}::bias::scale"], layer.bias_scheme.scale)
            np.testing.assert_array_equal(values[f"{name}::bias"], inside[f"{name}::bias"])


@BY_CASE
def test_power_of_two_scales_have_no_mantissa(case: Case, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    for method in ("minmax", "mse"):
        result = quantize(path, x, Settings(5, 6, power_of_two=True, method=method))
        for scheme in schemes(result):
            assert (np.frexp(scheme.scale)[0] == 0.5).all()
            assert scheme.zero_point == 0


def schemes(result: Quantization) -> list[Scheme]:
    return [*result.activations.values(), *(layer.scheme for layer in result.layers.values())]
