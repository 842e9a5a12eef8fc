"""ArgMax, ArgMin and TopK: in hardware where integers order as the reals, on the host for the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright.errors import ImportRefused

from .onnx_graphs import Builder, check_onnxruntime, imported

X = np.random.default_rng(2).integers(-4, 4, (60, 3, 4)).astype(np.float32)  # many ties
HARDWARE = ["Input", "ArgMax"]


@pytest.mark.parametrize("kind", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis", [1, 2, -1, -2])
@pytest.mark.parametrize("keep", [0, 1])
@pytest.mark.parametrize("scale", [1.0, -0.5])
def test_index_along_an_axis(kind: str, axis: int, keep: int, scale: float, tmp_path: Path) -> None:
    b = Builder((1, 3, 4))
    x = b.op("Mul", "x", np.float32(scale))
    index = b.op(kind, x, axis=axis, keepdims=keep)
    found = check_onnxruntime(b.model(b.op("Cast", index, to=1)), X, tmp_path, "int4")
    assert "ArgMax" in [type(node).__name__ for node in found.graph.nodes]


@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis", [1, 2])
@pytest.mark.parametrize("used", [["value"], ["index"], ["value", "index"]])
def test_topk_of_one(largest: int, axis: int, used: list[str], tmp_path: Path) -> None:
    b = Builder((1, 3, 4))
    value, index = b.op("TopK", "x", np.array([1], np.int64), outputs=2, axis=axis, largest=largest)
    outputs = {"value": value, "index": b.op("Cast", index, to=1)}
    found = check_onnxruntime(b.model(*(outputs[name] for name in used)), X, tmp_path, "int4")
    kinds = [type(node).__name__ for node in found.graph.nodes]
    assert ("Pool" if used == ["value"] else "ArgMax" if used == ["index"] else "Input") in kinds


@pytest.mark.parametrize(
    ("kind", "inputs", "outputs", "attributes"),
    [
        ("ArgMax", [], 1, {"axis": 2, "select_last_index": 1}),
        ("ArgMin", [], 1, {"axis": 1, "select_last_index": 1, "keepdims": 0}),
        ("TopK", [np.array([2], np.int64)], 2, {"axis": 2}),
        ("TopK", [np.array([3], np.int64)], 2, {"axis": 1, "largest": 0}),
    ],
    ids=str,
)
def test_the_hosts_work(kind: str, inputs: list[Any], outputs: int, attributes: dict[str, Any], tmp_path: Path) -> None:
    b = Builder((1, 3, 4))
    made = b.op(kind, b.op("Relu", "x"), *inputs, outputs=outputs, **attributes)
    index = made if outputs == 1 else made[1]
    found = check_onnxruntime(b.model(b.op("Cast", index, to=1)), X, tmp_path, "int4")
    assert kind in [operator for _, operator in found.post_nodes]


def test_a_layer_after_the_hosts_choice_is_refused(tmp_path: Path) -> None:
    b = Builder((1, 3, 4))
    value, _ = b.op("TopK", "x", np.array([2], np.int64), outputs=2, axis=2)
    with pytest.raises(ImportRefused, match=r"it takes \[2\] values, not one"):
        imported(b.model(b.op("MatMul", value, np.ones((2, 3), np.float32))), tmp_path, "int4")
