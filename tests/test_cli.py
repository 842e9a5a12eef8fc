"""The command line: its contract of output and exit codes, and what it says to bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
MODEL, SAMPLES = str(DIGITS / "digits.onnx"), str(DIGITS / "test.npz")


def lutwright(*arguments: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "lutwright.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_inspect_lists_the_graph() -> None:
    done = lutwright("inspect", MODEL, "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert [node["kind"] for node in facts["nodes"]] == ["Input", "Dense", "Threshold", "Dense", "Threshold", "Dense"]
    assert facts["refusals"] == []


def test_simulate_golden_equals_the_reference() -> None:
    facts = json.loads(lutwright("simulate", MODEL, "--inputs", SAMPLES, "--json").stdout)
    assert facts["reference_mismatches"] == 0
    assert facts["elements_compared"] == 3600
    assert facts["accuracy"] >= 0.96


def test_a_mismatch_exits_with_1_and_its_place(tmp_path: Path) -> None:
    held = dict(np.load(SAMPLES))
    held["outputs"][7, 3] += 1
    np.savez(tmp_path / "wrong.npz", **held)
    done = lutwright("simulate", MODEL, "--inputs", str(tmp_path / "wrong.npz"), "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["reference_mismatches"] == 1
    assert "sample 7, index (3,)" in done.stderr


def test_compile_writes_verilog_and_host_graphs(tmp_path: Path) -> None:
    done = lutwright("compile", MODEL, "--device", "ice40-up5k", "--smallest", "-o", str(tmp_path / "out"), "--json")
    facts = json.loads(done.stdout)
    assert done.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "network.v", "plan.json", "post.onnx", "pre.onnx",
    ]  # fmt: skip
    assert "module network(" in Path(facts["verilog"]).read_text()
    assert facts["cycles_per_frame"] == max(node["cycles_per_frame"] for node in facts["nodes"])


def test_pinned_engine_and_folding_are_used(tmp_path: Path) -> None:
    pins = ("--engine", "Gemm_1=addsub", "--fold", "Gemm_1=3x7")
    done = lutwright("compile", MODEL, "--device", "ecp5-25k", *pins, "-o", str(tmp_path), "--json")
    (row,) = [node for node in json.loads(done.stdout)["nodes"] if node["node"] == "Gemm_1"]
    assert (row["engine"], row["folding"], row["cycles_per_frame"]) == ("addsub", "3x7", 43 * 37)


def quantized(change: Callable[[onnx.ModelProto], None] | None = None, **shape: Any) -> onnx.ModelProto:
    """A one-layer binary model."""
    weights = np.where(np.arange(12).reshape(3, 4) % 3 == 0, 1, -1).astype(np.float32)
    constants = {"one": np.float32(1), "w": weights}
    nodes = [
        helper.make_node("BipolarQuant", ["x", "one"], ["xq"], "xq", domain="onnx.brevitas"),
        helper.make_node("BipolarQuant", ["w", "one"], ["wq"], "wq", domain="onnx.brevitas"),
        helper.make_node("MatMul", ["xq", "wq"], ["y"], "product"),
    ]
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape.get("x", ["N", 3]))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    domains = [helper.make_opsetid("", 13), helper.make_opsetid("onnx.brevitas", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=8)
    if change:
        change(model)
    return model


def _float_only(model: onnx.ModelProto) -> None:
    del model.graph.node[:2]
    model.graph.node[0].input[:] = ["x", "w"]


def _unsupported(model: onnx.ModelProto) -> None:
    model.graph.node[2].op_type = "Einsum"
    model.graph.node[2].attribute.append(helper.make_attribute("equation", "ij,jk->ik"))


def _nan(model: onnx.ModelProto) -> None:
    weights = np.full((3, 4), np.nan, np.float32)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(weights, "w"))


def _unconnected(model: onnx.ModelProto) -> None:
    model.graph.node[2].input[0] = "nowhere"


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "y"


BROKEN: list[tuple[str, Callable[[], bytes | None], str]] = [
    ("missing", lambda: None, "must be a file"),
    ("empty", lambda: b"", ""),
    ("not ONNX", lambda: b"hello, world\n" * 40, ""),
    ("truncated", lambda: (DIGITS / "digits.onnx").read_bytes()[:9000], ""),
    ("float only", lambda: quantized(_float_only).SerializeToString(), "float-only model"),
    ("unsupported operator", lambda: quantized(_unsupported).SerializeToString(), "Einsum"),
    ("NaN weights", lambda: quantized(_nan).SerializeToString(), ""),
    ("unconnected", lambda: quantized(_unconnected).SerializeToString(), "nowhere"),
    ("cycle", lambda: quantized(_cycle).SerializeToString(), ""),
    ("zero-sized", lambda: quantized(x=["N", 0]).SerializeToString(), ""),
    ("wrong shape", lambda: quantized(x=["N", 5]).SerializeToString(), "product"),
]


def is_refused(done: subprocess.CompletedProcess[str], says: str) -> None:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.strip()
    assert says in " ".join(done.stderr.split())


@pytest.mark.parametrize(("content", "says"), [pytest.param(*case[1:], id=case[0]) for case in BROKEN])
def test_a_bad_model_is_refused(tmp_path: Path, content: Callable[[], bytes | None], says: str) -> None:
    data, path = content(), tmp_path / "model.onnx"
    if data is not None:
        path.write_bytes(data)
    is_refused(lutwright("compile", str(path), "--device", "ice40-up5k", "-o", str(tmp_path / "out")), says)
    assert not (tmp_path / "out").exists()


OPTIONS = [
    ("unknown device", ["--device", "spartan"], "device must be one of"),
    ("unknown board", ["--board", "pynq"], "--board must be one of"),
    ("board and other device", ["--board", "icebreaker", "--device", "xc7"], "must be the board's"),
    ("neither", [], "--device or --board must be given"),
    ("two goals", ["--device", "xc7", "--latency", "--smallest"], "only one of"),
    ("fps without clock", ["--device", "xc7", "--fps", "10"], "--clock"),
    ("fps out of reach", ["--board", "icebreaker", "--fps", "1e9"], "within reach"),
    ("negative fps", ["--board", "icebreaker", "--fps", "-1"], "above 0"),
    ("NaN clock", ["--board", "icebreaker", "--clock", "nan"], "--clock"),
    ("unknown node", ["--device", "xc7", "--fold", "fc9=1x1"], "Gemm_0"),
    ("bad fold", ["--device", "xc7", "--fold", "Gemm_0=big"], "NODE=PExSIMD"),
    ("too wide a fold", ["--device", "xc7", "--fold", "Gemm_2=11x1"], "between 1x1 and 10x128"),
    ("zero fold", ["--device", "xc7", "--fold", "Gemm_2=0x1"], "between 1x1 and 10x128"),
    ("unknown engine", ["--device", "xc7", "--engine", "Gemm_0=magic"], "xnor"),
    ("unfit engine", ["--device", "xc7", "--engine", "Gemm_0=xnor"], "one bit"),
    ("bad grid", ["--device", "xc7", "--input", "float"], "grid must be one of"),
    ("no number", ["--device", "xc7", "--fps", "many"], "--fps"),
]


@pytest.mark.parametrize(("options", "says"), [pytest.param(*case[1:], id=case[0]) for case in OPTIONS])
def test_a_bad_option_is_refused(tmp_path: Path, options: list[str], says: str) -> None:
    is_refused(lutwright("compile", MODEL, *options, "-o", str(tmp_path / "out")), says)
    assert not (tmp_path / "out").exists()


DATA: list[tuple[str, dict[str, Any], str]] = [
    ("wrong shape", {"inputs": np.zeros((2, 63), np.float32)}, "shape"),
    ("NaN", {"inputs": np.full((2, 64), np.nan, np.float32)}, "finite"),
    ("text", {"inputs": np.array([["a"] * 64])}, "numbers"),
    ("no inputs", {"x": np.zeros((2, 64))}, "'inputs'"),
    ("outputs of another shape", {"inputs": np.zeros((2, 64), np.float32), "outputs": np.zeros((2, 3))}, "shape"),
    ("fewer labels", {"inputs": np.zeros((2, 64), np.float32), "labels": np.zeros(1)}, "labels"),
]


@pytest.mark.parametrize(("arrays", "says"), [pytest.param(*case[1:], id=case[0]) for case in DATA])
def test_bad_samples_are_refused(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    np.savez(tmp_path / "samples.npz", **arrays)
    is_refused(lutwright("simulate", MODEL, "--inputs", str(tmp_path / "samples.npz")), says)


def test_json_holds_the_error_too(tmp_path: Path) -> None:
    done = lutwright("compile", MODEL, "--device", "spartan", "-o", str(tmp_path / "out"), "--json")
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == "OptionError"


def test_a_network_that_does_not_fit_says_by_what_and_where_it_would(tmp_path: Path) -> None:
    rows, columns = 600, 700

    def grow(model: onnx.ModelProto) -> None:
        weights = np.where(np.arange(rows * columns).reshape(rows, columns) % 7 < 3, 1, -1).astype(np.float32)
        model.graph.initializer[1].CopyFrom(numpy_helper.from_array(weights, "w"))
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = rows
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = columns

    (tmp_path / "model.onnx").write_bytes(quantized(grow).SerializeToString())
    done = lutwright("compile", str(tmp_path / "model.onnx"), "--board", "icebreaker", "-o", str(tmp_path / "out"))
    is_refused(done, "must fit ice40-up5k")
    assert "ecp5" in done.stderr


@pytest.mark.parametrize("command", ["program", "run"])
def test_a_folder_without_a_build_is_refused(tmp_path: Path, command: str) -> None:
    rest = ["--inputs", SAMPLES, "--port", "/dev/null"] if command == "run" else []
    is_refused(lutwright(command, str(tmp_path), *rest), "host.json")
