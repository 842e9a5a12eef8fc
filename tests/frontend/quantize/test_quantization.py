"""Whole models: where quantizers stand, what stays float and is named, and what bad input is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.errors import DataError, ImportRefused, LutwrightError, ModelError, OptionError
from lutwright.frontend.model import load
from lutwright.frontend.quantize.quantization import measured, quantize
from lutwright.frontend.quantize.settings import Settings

from .networks import CASES, Case, Net

BY_NAME = {case.name: case for case in CASES}
DIGITS = Path(__file__).parents[3] / "examples" / "digits" / "digits.onnx"

# What onnxruntime makes of the quantized network: every operator in an integer form, nothing in between.
FUSED = {
    "residual": "QuantizeLinear QLinearConv Clip QLinearConv Clip QLinearAdd Clip QLinearConv DequantizeLinear",
    "concat": "QuantizeLinear QLinearConv Clip QLinearConv Clip QLinearConcat Clip QLinearConv DequantizeLinear",
    "pool_then_relu": "QuantizeLinear QLinearConv Clip MaxPool Clip QLinearConv DequantizeLinear",
    "averagepool": "QuantizeLinear QLinearConv Clip QLinearAveragePool Clip QLinearConv DequantizeLinear",
    "gemm": "QuantizeLinear QGemm Clip QGemm DequantizeLinear",
    "matmul_3d": "QuantizeLinear QLinearMatMul Clip QLinearMatMul DequantizeLinear",
    "sigmoid": "QuantizeLinear QLinearConv QLinearSigmoid Clip QLinearConv DequantizeLinear",
    "leakyrelu": "QuantizeLinear QLinearConv QLinearLeakyRelu Clip QLinearConv DequantizeLinear",
    "first_scaled": "Sub Div QuantizeLinear QLinearConv DequantizeLinear",
}


@pytest.mark.parametrize("name", FUSED)
def test_onnxruntime_fuses_every_group(name: str, tmp_path: Path) -> None:
    path, x = BY_NAME[name].save(tmp_path)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    onnxruntime.InferenceSession(quantize(path, x, Settings(4, 4)).model.SerializeToString(), options)
    assert " ".join(node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node) == FUSED[name]


def test_operands_of_a_concat_share_one_scheme(tmp_path: Path) -> None:
    path, x = BY_NAME["concat"].save(tmp_path)
    schemes = quantize(path, x, Settings()).activations
    assert schemes["t1"] is schemes["t3"]
    assert len({id(scheme) for scheme in schemes.values()}) == 3


def test_the_index_of_a_table_has_8_bits(tmp_path: Path) -> None:
    path, x = BY_NAME["sigmoid"].save(tmp_path)
    found = {name: scheme.bits for name, scheme in quantize(path, x, Settings(3, 3, 5, 6)).activations.items()}
    assert found == {"x": 5, "t0": 8, "t1": 3, "t3": 6}


@pytest.mark.parametrize("name", ["qdq", "qonnx"])
def test_two_runs_write_the_same_file(name: str, tmp_path: Path) -> None:
    path, x = BY_NAME["excitation"].save(tmp_path)
    files = [quantize(path, x, Settings(5, 5, format=name)).model.SerializeToString() for _ in range(2)]
    assert files[0] == files[1]


def test_fixed_and_symbolic_batches_are_one_network(tmp_path: Path) -> None:
    found = []
    for batch in (1, 5, "n"):
        net = Net((12,))
        onnx.save(net.model(net.dense(net.op("Relu", net.dense("x", 9, 12)), 5, 9), batch), tmp_path / "model.onnx")
        result = quantize(tmp_path / "model.onnx", net.samples(20), Settings(bias_correction=False, method="minmax"))
        found.append([(scheme.scale, scheme.zero_point) for scheme in result.activations.values()])
    assert found[0] == found[1] == found[2]


def unsupported(n: Net) -> str:
    x = n.op("Erf", n.op("Relu", n.conv("x", 4, 3)))
    return n.conv(n.op("Sub", x, n.op("Resize", x, "", n.constant([1.0, 1, 1, 1]), mode="linear")), 2, 4)


def test_what_stays_float_is_named_with_its_reason(tmp_path: Path) -> None:
    path, x = Case("unsupported", (3, 8, 8), unsupported).save(tmp_path)
    result = quantize(path, x, Settings())
    assert [(item.operator, item.reason) for item in result.not_quantized] == [
        ("Erf", "it is no operator that can be quantized"),
        ("Resize", "its mode is 'linear', and only 'nearest' keeps values"),
        ("Sub", "both its operands are activations"),
    ]
    assert len(result.layers) == 2
    assert measured(path, result.model, x, None)[0]["sqnr_db"] > 20


def test_lstm_stays_float_and_is_refused_by_name(models: Path, tmp_path: Path) -> None:
    path = models / "mnist_lstm" / "model.onnx"
    data = np.load(models / "mnist_lstm" / "case.npz")
    result = quantize(path, data["inputs"][:100], Settings())
    assert [item.node for item in result.not_quantized] == ["LSTM_1"]
    assert [layer.place.node.op_type for layer in result.layers.values()] == ["Gemm"]
    (row,) = measured(path, result.model, data["inputs"], data["labels"])
    assert row["accuracy_float"] == 0.978
    assert row["top1_agreement"] >= 0.99
    onnx.save(result.model, tmp_path / "lstm.onnx")
    with pytest.raises(ImportRefused, match="LSTM 'LSTM_1'"):
        load(tmp_path / "lstm.onnx")


def model_file(folder: Path, change: Callable[[onnx.ModelProto], None] = lambda _: None) -> Path:
    net = Net((12,))
    model = net.model(net.dense("x", 5, 12))
    change(model)
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def with_nan(model: onnx.ModelProto) -> None:
    weight = numpy_helper.to_array(model.graph.initializer[0]).copy()
    weight[0, 0] = np.nan
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(weight, "c0"))


def without_weights(model: onnx.ModelProto) -> None:
    model.graph.node[0].CopyFrom(helper.make_node("Relu", ["x"], ["t0"], "relu"))


def with_logarithm(model: onnx.ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Log", ["x"], ["log"], "log"))
    model.graph.node[1].input[0] = "log"


def with_two_inputs(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("second", TensorProto.FLOAT, [1, 12]))


def in_double(model: onnx.ModelProto) -> None:
    for item in model.graph.initializer:
        item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item).astype(np.float64), item.name))
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.elem_type = TensorProto.DOUBLE
    del model.graph.value_info[:]


BAD_MODELS: list[tuple[Callable[[onnx.ModelProto], None], type[LutwrightError], str]] = [
    (with_nan, ModelError, "'c0' holds NaN"),
    (without_weights, ModelError, "at least one Conv, ConvTranspose, Gemm or MatMul"),
    (in_double, ModelError, "in float32"),
    (with_logarithm, ModelError, "'log' must be finite on the data"),
    (with_two_inputs, ModelError, "exactly one input"),
]


@pytest.mark.parametrize(("change", "error", "text"), BAD_MODELS, ids=[change.__name__ for change, *_ in BAD_MODELS])
def test_bad_models(
    change: Callable[[onnx.ModelProto], None], error: type[LutwrightError], text: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=text):
        quantize(model_file(tmp_path, change), np.ones((3, 12), np.float32) * -1, Settings())


BAD_DATA: list[tuple[str, Any, str]] = [
    ("shape", np.zeros((3, 11), np.float32), r"the shape \[samples, 12\], not \[3, 11\]"),
    ("rank", np.zeros(12, np.float32), r"the shape \[samples, 12\], not \[12\]"),
    ("none", np.zeros((0, 12), np.float32), r"not \[0, 12\]"),
    ("nan", np.full((3, 12), np.nan), "sample 0 holds NaN or infinity"),
    ("infinite", np.asarray([[0.0] * 12, [np.inf] * 12]), "sample 1 holds NaN or infinity"),
    ("text", np.full((3, 12), "a"), "must hold numbers"),
]


@pytest.mark.parametrize(("array", "text"), [item[1:] for item in BAD_DATA], ids=[item[0] for item in BAD_DATA])
def test_bad_data(array: Any, text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=text):
        quantize(model_file(tmp_path), array, Settings())


def test_quantized_models_are_not_quantized_again(tmp_path: Path) -> None:
    path, x = BY_NAME["conv"].save(tmp_path)
    onnx.save(quantize(path, x, Settings()).model, tmp_path / "qdq.onnx")
    for quantized in (DIGITS, tmp_path / "qdq.onnx"):
        with pytest.raises(ModelError, match="quantized already"):
            quantize(quantized, x, Settings())


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"weights": 1}, "--weights must be 2 to 8 bits, not 1"),
        ({"activations": 9}, "--activations must be 2 to 8 bits, not 9"),
        ({"input": 0}, "--input-bits must be 2 to 8 bits, not 0"),
        ({"output": 16}, "--output-bits must be 2 to 8 bits, not 16"),
        ({"format": "onnx"}, "--format must be one of qdq, qonnx, not 'onnx'"),
        ({"method": "max"}, "--method must be one of minmax"),
    ],
)
def test_bad_settings(values: dict[str, Any], text: str) -> None:
    with pytest.raises(OptionError, match=text):
        Settings(**values)
