"""What `inspect` shows."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from onnx import helper

from lutwright.errors import ModelError
from lutwright.frontend.describe import describe

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits.onnx"


def test_a_network(models: Path) -> None:
    found = describe(models / "tfc_1w1a" / "model.onnx")
    assert not found.refusals
    assert [(row.kind, row.shape) for row in found.nodes[:3]] == [
        ("Input", (784,)),
        ("Dense", (64,)),
        ("Threshold", (64,)),
    ]
    assert [row.hardware for row in found.nodes[:3]] == [
        ("wires",),
        ("xnor", "addsub", "shift", "multiply", "spatial"),
        ("threshold",),
    ]
    assert [row.operator for row in found.pre] == ["Reshape", "Mul", "Sub", "BipolarQuant"]
    assert [row.operator for row in found.post] == ["Sub", "Div", "Mul", "Add"]
    assert {row.scale for row in found.tensors} == {(2.0, 2.0)}
    assert json.loads(json.dumps(found.as_dict()))["input"] == "0"


def test_refusals_and_their_mending(models: Path) -> None:
    path = models / "jettag_qkeras_6b" / "model.onnx"
    (refusal,) = describe(path).refusals
    assert refusal.operator == "MatMul" and "--input" in refusal.fix
    found = describe(path, "fixed<16,6>")
    assert not found.refusals and [row.operator for row in found.post] == ["Add", "Softmax"]
    assert found.nodes[0].width == 16


def test_every_unsupported_layer_is_listed(tmp_path: Path) -> None:
    """All at once; what follows from them adds no refusals of its own."""
    model = onnx.load(DIGITS)
    for gemm in [node for node in model.graph.node if node.op_type == "Gemm"]:
        name = f"{gemm.input[0]}_layer"
        place = list(model.graph.node).index(gemm)
        layer = helper.make_node("Einsum", [gemm.input[0]], [name], name, equation="ij->ij")
        gemm.input[0] = name
        model.graph.node.insert(place, layer)
    onnx.save(model, tmp_path / "model.onnx")
    assert [row.operator for row in describe(tmp_path / "model.onnx").refusals] == ["Einsum"] * 3


def test_nodes_have_their_hardware_or_none(models: Path) -> None:
    found = describe(models / "tinycnn_int8_qoperator" / "model.onnx")
    hardware = {row.kind: row.hardware for row in found.nodes}
    assert hardware["Input"] == hardware["Reshape"] == ("wires",)
    assert hardware["Pool"] == ("window",) and "multiply" in hardware["Dense"]
    assert hardware["Add"] == ("add",)


def test_float_only(models: Path) -> None:
    with pytest.raises(ModelError, match="float-only"):
        describe(models / "mnist_lstm" / "model.onnx")
