"""The command `quantize`: its file, its facts, its text, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result

from lutwright.cli import cli

EXAMPLE = Path(__file__).parents[1] / "examples" / "quantize"
MODEL, DATA = str(EXAMPLE / "digits_float.onnx"), str(EXAMPLE / "calib.npz")


def run(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["quantize", *map(str, arguments)])


@pytest.mark.parametrize(("name", "operator"), [("qdq", "QuantizeLinear"), ("qonnx", "Quant")])
def test_facts_and_file(name: str, operator: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "quantized.onnx"
    done = run(MODEL, "--data", DATA, "-o", out, "--weights", 4, "--activations", 6, "--format", name, "--json")
    assert done.exit_code == 0
    facts = json.loads(done.stdout)
    assert operator in {node.op_type for node in onnx.load(out).graph.node}
    assert [path.name for path in out.parent.iterdir()] == ["quantized.onnx"]
    assert facts["samples"] == 256
    assert [(row["operator"], row["bits"], row["scales"]) for row in facts["layers"]] == [
        ("Conv", 4, 16), ("Conv", 4, 16), ("Conv", 4, 32), ("Gemm", 4, 10),
    ]  # fmt: skip
    assert facts["activations"][0]["tensor"] == "pixels"
    assert [row["bits"] for row in facts["activations"]] == [8, 6, 6, 6, 6, 8]
    assert facts["not_quantized"] == facts["host"] == []
    (row,) = facts["outputs"]
    assert row["accuracy_float"] == 1
    assert 0.95 <= row["accuracy_quantized"] <= 1
    assert row["sqnr_db"] > 15
    assert ("Quant nodes" in facts["executor"]) == (name == "qonnx")


def test_text_names_layers_and_accuracy(tmp_path: Path) -> None:
    done = run(MODEL, "--data", DATA, "-o", tmp_path / "q.onnx", "--samples", 64, "--per-tensor", "--power-of-two")
    assert done.exit_code == 0
    for text in ("Layers", "Quantized tensors", "on 64 samples", "accuracy", "100.00%", "Next: lutwright inspect"):
        assert text in " ".join(done.stdout.split())


def nan_data(folder: Path) -> Path:
    np.savez(folder / "nan.npz", inputs=np.full((2, 1, 8, 8), np.nan, np.float32))
    return folder / "nan.npz"


def test_bad_input_exits_with_2_and_writes_nothing(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "text.onnx").write_text("no model")
    out = tmp_path / "q.onnx"
    cases = [
        ((MODEL, "--data", bad / "none.npz", "-o", out), "no such file"),
        ((MODEL, "--data", nan_data(bad), "-o", out), "NaN"),
        ((MODEL, "--data", EXAMPLE.parent / "digits" / "test.npz", "-o", out), "must have the shape"),
        ((EXAMPLE.parent / "digits" / "digits.onnx", "--data", DATA, "-o", out), "quantized already"),
        ((bad / "text.onnx", "--data", DATA, "-o", out), "ONNX"),
        ((MODEL, "--data", DATA, "-o", tmp_path / "q.txt"), "must name the .onnx file"),
        ((MODEL, "--data", DATA, "-o", MODEL), "must not be the float model"),
        ((MODEL, "--data", DATA, "-o", out, "--weights", 9), "2<=x<=8"),
        ((MODEL, "--data", DATA, "-o", out, "--activations", 1), "2<=x<=8"),
        ((MODEL, "-o", out), "--data"),
    ]
    for arguments, text in cases:
        done = run(*arguments)
        assert done.exit_code == 2, arguments
        assert text in done.output, arguments
    assert [path.name for path in tmp_path.iterdir()] == ["bad"]
