"""Every operator, quantized to both dialects: the files run, their layers are quantized, their values are on grids."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.qonnx import plain
from lutwright.frontend.quantize.quantization import Quantization, quantize
from lutwright.frontend.quantize.roles import LAYERS
from lutwright.frontend.quantize.scheme import Scheme
from lutwright.frontend.quantize.settings import Settings
from lutwright.testbenches.reference import contexts, prepared

from .networks import CASES, Case

Values = dict[str, NDArray[Any]]
SETTINGS = {
    "8bit": Settings(method="minmax"),
    "narrow": Settings(weights=3, activations=4, input=5, output=6),
    "power_of_two": Settings(weights=4, activations=3, power_of_two=True),
    "2bit": Settings(2, 2, 2, 2, per_channel=False, bias_correction=False, method="percentile"),
}
BY_SETTINGS = pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
BY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)


def traced(model: onnx.ModelProto, x: NDArray[Any]) -> Values:
    """Every tensor of the model for the samples, by onnxruntime without optimizations."""
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    del exposed.graph.output[:]
    names = [name for node in model.graph.node for name in node.output if name]
    exposed.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    made = dict(zip(names, session(exposed).run(names, {"x": x}), strict=True))
    return made | {"x": x} | {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}


def grid(scheme: Scheme) -> NDArray[np.float32]:
    """All reals that the scheme of an activation has."""
    return scheme.real(np.arange(scheme.lo, scheme.hi + 1))


@BY_SETTINGS
@BY_CASE
def test_activations_are_on_their_grids(case: Case, settings: Settings, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    qdq, qonnx = (quantize(path, x, replace(settings, format=name)) for name in ("qdq", "qonnx"))
    assert qdq.not_quantized == qonnx.not_quantized == ()
    check_qdq(qdq, traced(qdq.model, x))
    values = contexts(prepared(qonnx.model), x[:2])
    quants = {node.input[0].removesuffix("::float"): node for node in qonnx.model.graph.node if node.op_type == "Quant"}
    found = [values[quants[name].output[0]] for name in qonnx.activations if name in quants]
    schemes = [scheme for name, scheme in qonnx.activations.items() if name in quants]
    assert schemes
    assert all(np.isin(value, grid(scheme)).all() for value, scheme in zip(found, schemes, strict=True))
    check_layers(qdq, qonnx, x, settings)


def check_qdq(result: Quantization, values: Values) -> None:
    """Each quantizer gives the scheme's own integers in the scheme's type and range, and back the scheme's reals."""
    quantizers = [node for node in result.model.graph.node if node.op_type == "QuantizeLinear"]
    back = {node.input[0]: node.output[0] for node in result.model.graph.node if node.op_type == "DequantizeLinear"}
    checked = set()
    for node in quantizers:
        name = node.output[0].removesuffix("::quantized")
        last = node.output[0] if node.output[0] in back else f"{name}::clipped"
        if name not in result.activations:  # a tensor that passes quantized values on
            assert np.isin(values[back[last]], values[node.input[0]]).all()
            continue
        scheme = result.activations[name]
        assert values[last].dtype == (np.int8 if scheme.signed else np.uint8)
        assert scheme.lo <= values[last].min() <= values[last].max() <= scheme.hi
        np.testing.assert_array_equal(values[last], scheme.levels(values[node.input[0]]))
        np.testing.assert_array_equal(values[back[last]], scheme.real(values[last].astype(np.int64)))
        checked.add(name)
    assert checked == set(result.activations)


def check_layers(qdq: Quantization, qonnx: Quantization, x: NDArray[Any], settings: Settings) -> None:
    """Every operator with weights takes quantized ones, in range, and a quantized bias; the same in both dialects."""
    values, others = traced(qdq.model, x[:1]), traced(plain(qonnx.model), x[:1])
    nodes = [node for node in qdq.model.graph.node if node.op_type in LAYERS]
    makers = {name: node.op_type for node in qdq.model.graph.node for name in node.output}
    assert len(nodes) == len(qdq.layers) >= 1
    assert {makers.get(name) for node in nodes for name in node.input} == {"DequantizeLinear"}
    hi = 2 ** (settings.weights - 1) - 1
    for name, layer in qdq.layers.items():
        stored = values[f"{name}::weight::quantized"]
        assert stored.dtype == np.int8
        assert -hi <= stored.min() <= stored.max() <= hi
        np.testing.assert_array_equal(values[f"{name}::weight"], others[f"{name}::weight"])
        if layer.has_bias:
            assert values[f"{name}::bias::quantized"].dtype == np.int32
            steps = layer.x.scale * np.tile(values[f"{name}::weight::scale"], layer.groups)
            np.testing.assert_array_equal(values[f"{name}::bias::scale"], steps if settings.per_channel else steps[0])
            np.testing.assert_array_equal(values[f"{name}::bias"], others[f"{name}::bias"])


@pytest.mark.parametrize("method", ["minmax", "mse"])
@BY_CASE
def test_power_of_two_scales_have_no_mantissa(case: Case, method: str, tmp_path: Path) -> None:
    path, x = case.save(tmp_path)
    result = quantize(path, x, Settings(5, 6, power_of_two=True, method=method))
    for scheme in (*result.activations.values(), *(layer.scheme for layer in result.layers.values())):
        assert (np.frexp(scheme.scale)[0] == 0.5).all()
        assert scheme.zero_point == 0


@pytest.mark.parametrize("name", ["conv", "residual", "hardswish"])
def test_plain_operators_compute_what_qonnx_computes(name: str, tmp_path: Path) -> None:
    (case,) = [case for case in CASES if case.name == name]
    path, x = case.save(tmp_path)
    model = quantize(path, x, Settings(4, 4, format="qonnx")).model
    (found,) = [contexts(prepared(model), x)[item.name] for item in model.graph.output]
    expected = [session(plain(model)).run(None, {"x": sample[np.newaxis]})[0] for sample in x]
    np.testing.assert_array_equal(found, np.concatenate(expected))
