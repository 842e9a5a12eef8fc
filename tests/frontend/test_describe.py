"""What `inspect` shows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lutwright.errors import ModelError
from lutwright.frontend.describe import describe


def test_a_network(models: Path) -> None:
    found = describe(models / "tfc_1w1a" / "model.onnx")
    assert not found.refusals
    assert [(row.kind, row.shape) for row in found.nodes[:3]] == [
        ("Input", (784,)),
        ("Dense", (64,)),
        ("Threshold", (64,)),
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


@pytest.mark.parametrize("name", ["espcn_subpixel_w4a4", "mlperf_kws_dscnn_int8_qdq", "neudet_v4_int8_qoperator"])
def test_every_unsupported_layer_is_listed(models: Path, name: str) -> None:
    found = describe(models / name / "model.onnx", "uint8")
    assert len([row for row in found.refusals if "Conv" in row.operator]) >= 3


def test_float_only(models: Path) -> None:
    with pytest.raises(ModelError, match="float-only"):
        describe(models / "mnist_lstm" / "model.onnx")
