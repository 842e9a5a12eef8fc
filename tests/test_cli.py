"""The command line: its contract of output and exit codes, and what it says to bad input."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
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


def _wide(model: onnx.ModelProto) -> None:
    rows, columns = 600, 700
    weights = np.random.default_rng(0).choice((-1, 1), (rows, columns)).astype(np.float32)
    model.graph.initializer[1].CopyFrom(numpy_helper.from_array(weights, "w"))
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = rows
    model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = columns


OPTIONS = [
    ("unknown device", ["--device", "spartan"], "device must be one of"),
    ("unknown board", ["--board", "pynq"], "--board must be one of"),
    ("board and other device", ["--board", "icebreaker", "--device", "xc7"], "must be the board's"),
    ("neither", [], "--device or --board must be given"),
    ("two goals", ["--device", "xc7", "--latency", "--smallest"], "only one of"),
    ("fps without clock", ["--device", "xc7", "--fps", "10"], "--clock"),
    ("fps out of reach", ["--board", "icebreaker", "--fps", "1e9"], "within reach"),
    ("NaN fps", ["--board", "icebreaker", "--fps", "nan"], "above 0"),
    ("clock below the PLL's", ["--board", "icebreaker", "--clock", "0.01"], "at least 12.00 MHz"),
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
DATA: list[tuple[str, dict[str, Any], str]] = [
    ("wrong shape", {"inputs": np.zeros((2, 63), np.float32)}, "shape"),
    ("NaN", {"inputs": np.full((2, 64), np.nan, np.float32)}, "finite"),
    ("text", {"inputs": np.array([["a"] * 64])}, "numbers"),
    ("complex", {"inputs": np.zeros((2, 64), complex)}, "numbers"),
    ("no samples", {"inputs": np.zeros((0, 64), np.float32)}, "at least one sample"),
    ("a scalar", {"inputs": np.float32(1)}, "first axis"),
    ("no inputs", {"x": np.zeros((2, 64))}, "'inputs'"),
    ("outputs of another shape", {"inputs": np.zeros((2, 64), np.float32), "outputs": np.zeros((2, 3))}, "shape"),
    ("fewer labels", {"inputs": np.zeros((2, 64), np.float32), "labels": np.zeros(1)}, "labels"),
]

FILES: list[tuple[str, Callable[[Path], object], str]] = [
    ("samples: missing", lambda path: None, "no such file"),
    ("samples: a folder", lambda path: path.mkdir(), "no such file"),
    ("samples: .npy", lambda path: path.write_bytes(b"\x93NUMPY" + b"\0" * 99), "must be an .npz file"),
    ("samples: truncated", lambda path: path.write_bytes(Path(SAMPLES).read_bytes()[:5000]), "must be an .npz file"),
]

Refused = tuple[Callable[[Path], list[str]], str]


def _written(folder: Path, data: bytes | None) -> str:
    if data is not None:
        (folder / "model.onnx").write_bytes(data)
    return str(folder / "model.onnx")


def bad_model(content: Callable[[], bytes | None]) -> Callable[[Path], list[str]]:
    return lambda folder: ["compile", _written(folder, content()), "--device", "ice40-up5k", "-o", str(folder / "out")]


def bad_options(options: list[str]) -> Callable[[Path], list[str]]:
    return lambda folder: ["compile", MODEL, *options, "-o", str(folder / "out")]


def bad_samples(make: Callable[[Path], object]) -> Callable[[Path], list[str]]:
    def arguments(folder: Path) -> list[str]:
        make(folder / "samples.npz")
        return ["simulate", MODEL, "--inputs", str(folder / "samples.npz")]

    return arguments


def does_not_fit(folder: Path) -> list[str]:
    return [
        "build",
        _written(folder, quantized(_wide).SerializeToString()),
        "--board",
        "icebreaker",
        "-o",
        f"{folder}/out",
    ]


def a_file_for_a_folder(folder: Path) -> list[str]:
    (folder / "taken").touch()
    return ["compile", MODEL, "--device", "xc7", "-o", str(folder / "taken")]


COMMANDS: list[tuple[str, Callable[[Path], list[str]], str]] = [
    ("does not fit", does_not_fit, "must fit ice40-up5k, but its smallest plan needs"),
    ("would fit", does_not_fit, "It fits ecp5-25k"),
    ("out is a file", a_file_for_a_folder, "must be a folder"),
    ("out not writable", lambda folder: ["compile", MODEL, "--device", "xc7", "-o", "/proc/lutwright"], "be writable"),
    ("build without board", lambda folder: ["build", MODEL, "--device", "xc7", "-o", f"{folder}/out"], "--board must"),
    ("synth without device", lambda folder: ["synth", MODEL], "--device or --board must"),
    ("program nothing", lambda folder: ["program", str(folder)], "host.json"),
    ("run nothing", lambda folder: ["run", str(folder), "--inputs", SAMPLES, "--port", "/dev/null"], "host.json"),
    (
        "golden on no board",
        lambda folder: ["simulate", MODEL, "--inputs", SAMPLES, "--board", "pynq"],
        "--board must be",
    ),
    ("no such command", lambda folder: ["synthesize", MODEL], "No such command"),
    ("no such rung", lambda folder: ["simulate", MODEL, "--inputs", SAMPLES, "--with", "hope"], "'hope' is not one of"),
    (
        "netlist of xc7",
        lambda folder: [
            "simulate",
            MODEL,
            "--inputs",
            SAMPLES,
            "--samples",
            "1",
            "--smallest",
            "--device",
            "xc7",
            "--with",
            "netlist",
        ],
        "not on xc7",
    ),
    ("no Icarus", lambda folder: ["simulate", MODEL, "--inputs", SAMPLES, "--with", "icarus"], "'iverilog'"),
    ("no make", lambda folder: ["simulate", MODEL, "--inputs", SAMPLES, "--with", "verilator"], "'make'"),
]
BAD = (
    [(f"model: {name}", bad_model(content), says) for name, content, says in BROKEN]
    + [(f"option: {name}", bad_options(options), says) for name, options, says in OPTIONS]
    + [(f"samples: {n}", bad_samples(lambda path, a=arrays: np.savez(path, **a)), says) for n, arrays, says in DATA]
    + [(name, bad_samples(make), says) for name, make, says in FILES]
    + COMMANDS
)


@pytest.mark.parametrize(("arguments", "says"), [pytest.param(*case[1:], id=case[0]) for case in BAD])
def test_bad_input_is_refused_in_a_paragraph(
    arguments: Callable[[Path], list[str]], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if says in ("'iverilog'", "'make'"):
        monkeypatch.setenv("PATH", str(tmp_path))  # a machine without tools
    command = arguments(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    done = lutwright(*command)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert says in " ".join(done.stderr.split())
    assert sorted(tmp_path.rglob("*")) == before, "nothing may be written"


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["compile", MODEL, "--device", "spartan", "-o", "out"], "OptionError"),
        (["compile", MODEL, "--device", "xc7"], "MissingParameter"),
        (["simulate", MODEL, "--inputs", SAMPLES, "--samples", "0"], "BadParameter"),
    ],
)
def test_json_holds_the_error_too(arguments: list[str], kind: str, tmp_path: Path) -> None:
    done = lutwright(*arguments, "--json", folder=tmp_path)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["type"] == kind
    assert done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_plan_is_for_the_clock_that_the_pll_makes(tmp_path: Path) -> None:
    done = lutwright("compile", MODEL, "--board", "icebreaker", "--clock", "31", "-o", str(tmp_path), "--json")
    facts = json.loads(done.stdout)
    assert facts["clock_mhz"] == 30.75
    assert facts["frames_per_second"] == round(30.75e6 / facts["cycles_per_frame"], 1)


def test_nothing_is_compared_where_there_is_nothing_to_compare_with(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", inputs=np.zeros((2, 64), np.float32))
    facts = json.loads(lutwright("simulate", MODEL, "--inputs", str(tmp_path / "x.npz"), "--json").stdout)
    assert (facts["samples"], facts["elements_compared"], facts["reference_mismatches"]) == (2, 0, None)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_build_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    out, cache = tmp_path / "out", tmp_path / "cache"
    command = [sys.executable, "-m", "lutwright.cli", "build", MODEL, "--board", "icebreaker", "-o", str(out), "--json"]
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        # A background job of a shell inherits that SIGINT is ignored; a user's terminal does not give it so.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        while not out.exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        stdout, stderr = process.communicate()
    assert process.returncode == 130, stderr
    assert stdout == b""
    assert b"interrupted" in stderr
    assert not out.exists()
    assert [path for path in (cache / "lutwright").rglob("*") if path.is_file()] == []
