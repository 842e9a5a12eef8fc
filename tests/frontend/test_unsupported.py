"""What users are told of operators without integer meaning: the reason, and a step that is specific to it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from lutwright.errors import ImportRefused

from .onnx_graphs import Builder, imported

W = np.ones((1, 8, 3), np.float32)
BRANCH = helper.make_graph([], "branch", [], [])
REFUSED: list[tuple[str, list[Any], dict[str, Any], str, str]] = [
    ("LSTM", [W, W[:, :, :2]], {"hidden_size": 2}, "recurrent layers are not supported yet", "convolutional model"),
    ("GRU", [W[:, :6], W[:, :6, :2]], {"hidden_size": 2}, "recurrent", "write the time steps"),
    ("RNN", [W[:, :2], W[:, :2, :2]], {"hidden_size": 2}, "recurrent", "let the host run it"),
    ("Scan", [], {"body": BRANCH, "num_scan_inputs": 1}, "control flow", "without branches"),
    ("Einsum", [W[0]], {"equation": "bij,kj->bik"}, "Einstein notation", "MatMul, with Transpose"),
    ("iRMSNorm", [W[0]], {}, "integer approximations", "it becomes a table"),
    ("Frobnicate", [], {}, "no operator of ONNX", "Check its domain"),
]


@pytest.mark.parametrize(("kind", "inputs", "attributes", "reason", "fix"), REFUSED, ids=[row[0] for row in REFUSED])
def test_operators(
    kind: str, inputs: list[Any], attributes: dict[str, Any], reason: str, fix: str, tmp_path: Path
) -> None:
    b = Builder((1, 4, 3), opset=14)
    made = b.op(kind, b.quant("x"), *inputs, **attributes)
    with pytest.raises(ImportRefused) as caught:
        imported(b.model(made), tmp_path)
    (refusal,) = caught.value.refusals
    assert refusal.operator == kind and refusal.node == f"{kind}1"
    assert reason in refusal.reason
    assert fix in refusal.fix


BETWEEN: list[tuple[str, list[Any], dict[str, Any], str]] = [
    ("Softmax", [], {"axis": -1}, "HardSigmoid"),
    ("LayerNormalization", [np.ones(3, np.float32)], {}, "BatchNormalization"),
    ("InstanceNormalization", [np.ones(4, np.float32), np.ones(4, np.float32)], {}, "BatchNormalization"),
    ("CumSum", [np.array(1, np.int64)], {}, "Move it behind the last layer"),
]


@pytest.mark.parametrize(("kind", "inputs", "attributes", "fix"), BETWEEN, ids=[row[0] for row in BETWEEN])
def test_operators_between_layers(
    kind: str, inputs: list[Any], attributes: dict[str, Any], fix: str, tmp_path: Path
) -> None:
    b = Builder((1, 4, 3), opset=17)
    made = b.op(kind, b.quant("x"), *inputs, **attributes)
    with pytest.raises(ImportRefused) as caught:
        imported(b.model(b.op("MatMul", made, np.ones((3, 2), np.float32))), tmp_path)
    (refusal,) = caught.value.refusals
    assert refusal.operator == kind and fix in refusal.fix


def test_all_refusals_at_once(tmp_path: Path) -> None:
    b = Builder((1, 4, 3), opset=14)
    x = b.quant("x")
    first = b.op("LSTM", x, W, W[:, :, :2], hidden_size=2)
    second = b.op("MatMul", x, np.random.default_rng(0).standard_normal((3, 2)).astype(np.float32))
    model: onnx.ModelProto = b.model(first, second)
    with pytest.raises(ImportRefused) as caught:
        imported(model, tmp_path)
    assert [refusal.operator for refusal in caught.value.refusals] == ["LSTM", "MatMul"]
    assert "lutwright quantize" in str(caught.value)
