"""What cannot be imported ends in one typed error that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.errors import DataError, ImportRefused, ModelError
from lutwright.frontend.describe import describe
from lutwright.frontend.model import load

WEIGHTS = np.array([[1, -1, 1], [-1, -1, 1]], np.float32)


def quantized(shape: Any = ("n", 3), weights: Any = WEIGHTS, dtype: int = TensorProto.FLOAT) -> onnx.ModelProto:
    """input -> BipolarQuant -> MatMul with ±1 weights -> BipolarQuant -> y."""
    constants = {"w": np.asarray(weights, np.float32).T, "one": np.array(1, np.float32)}
    nodes = [
        helper.make_node("BipolarQuant", ["x", "one"], ["a"], "quant_x", domain="onnx.brevitas"),
        helper.make_node("BipolarQuant", ["w", "one"], ["b"], "quant_w", domain="onnx.brevitas"),
        helper.make_node("MatMul", ["a", "b"], ["c"], "fc"),
        helper.make_node("BipolarQuant", ["c", "one"], ["y"], "quant_y", domain="onnx.brevitas"),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def saved(model: onnx.ModelProto, folder: Path) -> Path:
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return folder / "model.onnx"


def replaced(index: int, kind: str, inputs: list[str], **attributes: Any) -> onnx.ModelProto:
    """The good model with one node replaced."""
    model = quantized()
    node = helper.make_node(kind, inputs, list(model.graph.node[index].output), f"new_{kind}", **attributes)
    model.graph.node[index].CopyFrom(node)
    return model


def with_constant(model: onnx.ModelProto, name: str, array: Any) -> onnx.ModelProto:
    model.graph.initializer.append(numpy_helper.from_array(np.asarray(array), name))
    return model


def cycle() -> onnx.ModelProto:
    model = quantized()
    model.graph.node[0].input[0] = "y"
    return model


def float_only() -> onnx.ModelProto:
    model = quantized()
    for node in model.graph.node:
        if node.op_type == "BipolarQuant":
            node.CopyFrom(helper.make_node("Identity", [node.input[0]], list(node.output), node.name))
    return model


def without_initializers() -> onnx.ModelProto:
    model = quantized()
    del model.graph.initializer[:]
    return model


def two_inputs() -> onnx.ModelProto:
    model = quantized()
    model.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 3]))
    return model


def quant(**changes: Any) -> onnx.ModelProto:
    """The input's quantizer as a Quant with other settings."""
    settings: dict[str, Any] = {"scale": 1.0, "zero": 0.0, "bits": 4.0, "mode": "ROUND"} | changes
    model = replaced(
        0,
        "Quant",
        ["x", "scale", "zero", "bits"],
        domain="onnx.brevitas",
        signed=1,
        narrow=0,
        rounding_mode=settings["mode"],
    )
    for name in ("scale", "zero", "bits"):
        with_constant(model, name, np.float32(settings[name]))
    return model


BROKEN: list[tuple[str, Callable[[], onnx.ModelProto], str]] = [
    ("cycle", cycle, "must have no cycle"),
    ("float only", float_only, "float-only model"),
    ("no initializers", without_initializers, "needs the tensor 'one'"),
    ("two inputs", two_inputs, "exactly one input"),
    ("zero-sized", lambda: quantized(("n", 0)), "at least 1"),
    ("symbolic inside", lambda: quantized(("n", "k")), "only the batch"),
    ("NaN weights", lambda: quantized(weights=[[1, np.nan, 1]]), "NaN or infinity"),
    ("infinite weights", lambda: quantized(weights=[[1, np.inf, 1]]), "NaN or infinity"),
    ("no output", lambda: onnx.ModelProto.FromString(_without_output()), "every output"),
    ("old opset", lambda: _opset(5), "opset must be at least 7"),
]
REFUSED: list[tuple[str, Callable[[], onnx.ModelProto], str]] = [
    ("unknown operator", lambda: replaced(0, "Frobnicate", ["x"]), "Frobnicate 'new_Frobnicate'"),
    ("unknown domain", lambda: replaced(3, "Thing", ["c"], domain="my.own"), "of domain 'my.own' is not supported"),
    ("convolution", lambda: replaced(2, "Conv", ["a", "b"]), "Conv 'new_Conv'"),
    ("FloatQuant", lambda: replaced(0, "FloatQuant", ["x"], domain="onnx.brevitas"), "FloatQuant"),
    ("float weights", lambda: _float_weights(), "its weights are not quantized"),
    ("inner size", lambda: quantized(("n", 4)), "Incompatible dimensions"),
    ("two activations", lambda: replaced(2, "MatMul", ["a", "a"]), "Incompatible dimensions"),
    ("softmax inside", lambda: _inside("Softmax"), "Softmax 'inside'"),
    ("scales of a wrong shape", lambda: quant(scale=[1, 2]), r"shape \(2,\) does not fit its input of shape \(1, 3\)"),
    ("constants of a wrong shape", lambda: _wrong_constant(), "Incompatible dimensions"),
    ("no thresholds", lambda: _thresholds((1, 0)), "do not fit"),
    ("zero scale", lambda: quant(scale=0), "finite and not 0"),
    ("wide", lambda: quant(bits=40), "bit width"),
    ("broken width", lambda: quant(bits=2.5), "bit width"),
    ("rounding", lambda: quant(mode="NEAREST"), "rounding mode 'NEAREST'"),
    ("no grid", lambda: replaced(0, "Identity", ["x"]), "--input"),
    ("random inputs to MultiThreshold", lambda: _thresholds(), "do not fit"),
]


def _without_output() -> bytes:
    model = quantized()
    model.graph.output[0].name = "nothing"
    return bytes(model.SerializeToString())


def _opset(version: int) -> onnx.ModelProto:
    model = quantized()
    model.opset_import[0].version = version
    return model


def _float_weights() -> onnx.ModelProto:
    return with_constant(replaced(2, "MatMul", ["a", "f"]), "f", np.random.default_rng(0).random((3, 2), np.float32))


def _inside(kind: str) -> onnx.ModelProto:
    model = quantized()
    model.graph.node[2].input[0] = "s"
    model.graph.node.insert(2, helper.make_node(kind, ["a"], ["s"], "inside"))
    return model


def _wrong_constant() -> onnx.ModelProto:
    model = with_constant(quantized(), "k", np.ones(5, np.float32))
    model.graph.node[3].input[0] = "sum"
    model.graph.node.insert(3, helper.make_node("Add", ["c", "k"], ["sum"], "add"))
    return model


def _thresholds(shape: tuple[int, int] = (5, 2)) -> onnx.ModelProto:
    model = replaced(3, "MultiThreshold", ["c", "t"], domain="onnx.brevitas", out_dtype="UINT2")
    return with_constant(model, "t", np.zeros(shape, np.float32))


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_broken_models(make: Callable[[], onnx.ModelProto], message: str, tmp_path: Path) -> None:
    path = saved(make(), tmp_path)
    with pytest.raises(ModelError, match=message) as caught:
        load(path)
    assert not isinstance(caught.value, ImportRefused) and "\n\n" not in str(caught.value)


@pytest.mark.parametrize(("make", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_models(make: Callable[[], onnx.ModelProto], message: str, tmp_path: Path) -> None:
    path = saved(make(), tmp_path)
    with pytest.raises(ImportRefused, match=message) as caught:
        load(path)
    assert [item.node for item in describe(path).refusals] == [item.node for item in caught.value.refusals]


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x00" * 100, None], ids=["empty", "text", "zeros", "none"])
def test_files_that_are_no_models(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx"):
        load(path)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_truncated_files(models: Path, share: float, tmp_path: Path) -> None:
    whole = (models / "tfc_1w1a" / "model.onnx").read_bytes()
    (tmp_path / "model.onnx").write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ModelError):
        load(tmp_path / "model.onnx")


@pytest.mark.parametrize("seed", range(60))
def test_mutated_files_give_a_model_or_a_typed_error(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(quantized().SerializeToString())
    for _ in range(int(rng.integers(1, 4))):
        data[int(rng.integers(len(data)))] = int(rng.integers(256))
    (tmp_path / "model.onnx").write_bytes(bytes(data))
    try:
        load(tmp_path / "model.onnx")
    except ModelError as error:
        assert str(error)


def test_all_refusals_at_once(tmp_path: Path) -> None:
    model = quantized()
    del model.graph.node[3:]
    for index, kind in enumerate(("Conv", "Frobnicate", "Relu", "LSTM")):
        model.graph.node.append(helper.make_node(kind, ["c" if not index else f"r{index}"], [f"r{index + 1}"], kind))
    model.graph.output[0].name = "r4"
    assert [item.node for item in describe(saved(model, tmp_path)).refusals] == ["Conv", "Frobnicate", "LSTM"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((2, 4), np.float32), r"shape \[samples, 3\], not \[2, 4\]"),
        (np.zeros(3, np.float32), "shape"),
        (np.float32(1), "shape"),
        (np.array([[0, np.nan, 0]], np.float32), "finite"),
        (np.array([[0, np.inf, 0]]), "finite"),
        (np.array([["a", "b", "c"]]), "must hold numbers"),
        (np.array([[1 + 1j, 0, 0]]), "must hold numbers"),
        (np.array([[1e300, 0, 0]]), "range of float32"),
        (np.array([[2**24 + 1, 0, 0]]), "values of type float32"),
        (np.zeros((0, 3), np.float32), "at least one sample"),
    ],
)
def test_wrong_samples(inputs: Any, message: str, tmp_path: Path) -> None:
    model = load(saved(quantized(), tmp_path))
    with pytest.raises(DataError, match=message):
        model.encode(inputs)


@pytest.mark.parametrize(
    ("grid", "inputs", "message"),
    [
        ("int4", [[1, 2, 8]], r"sample 0 holds 8 at \(2,\)"),
        ("int4", [[1, 2, 3], [0, 0.5, 0]], r"sample 1 holds 0.5 at \(1,\)"),
        ("bipolar", [[1, -1, 0]], r"sample 0 holds 0 at \(2,\)"),
        ("ufixed<4,0>", [[0.5, 0, -0.0625]], r"sample 0 holds -0.0625"),
    ],
)
def test_samples_off_the_grid(grid: str, inputs: Any, message: str, tmp_path: Path) -> None:
    model = load(saved(quantized(), tmp_path), grid)
    with pytest.raises(DataError, match=message):
        model.encode(np.array(inputs, np.float32))
