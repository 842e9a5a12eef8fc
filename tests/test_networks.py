"""Rungs 0, 2, 3 and 4 on real networks: the digits example and the shared models, through the flow that users run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lutwright import flow
from lutwright.boards.base import boards
from lutwright.frontend.planning import Goal, Latency, Smallest
from lutwright.hdl.engines.base import Folding

DIGITS = Path(__file__).parents[1] / "examples" / "digits"
GRIDS = {"jettag_qkeras_6b": "fixed<16,6>"}
NAMES = ("tfc_1w1a", "tfc_2w2a", "kwsmlp_w3a3", "jettag_qkeras_6b", "hls4ml_bnn_fc")


def quiet(*_: Any) -> None:
    """No progress."""


def proved(model: Path, samples: Path, what: str, limit: int | None, **options: Any) -> flow.Facts:
    """What `simulate` says, after it found no mismatch of any kind."""
    facts = flow.simulate(model, flow.Options(**options), samples, limit, what, quiet)
    assert facts["failed"] is None
    assert facts["mismatches"] == facts["reference_mismatches"] == 0
    assert facts.get("cycle_mismatches", 0) == 0
    if what != "golden":
        assert facts["cycles_per_frame"] == facts["predicted_cycles_per_frame"]
        assert facts["latency_cycles"] == facts["predicted_latency_cycles"]
    return facts


def compiles_to(facts: flow.Facts, model: Path, tmp_path: Path, **options: Any) -> None:
    """`compile` says the cycles that were measured."""
    plan = flow.compile_model(model, flow.Options(**options), tmp_path / "planned", quiet)
    assert (facts["cycles_per_frame"], facts["latency_cycles"]) == (plan["interval_cycles"], plan["latency_cycles"])


def test_digits_golden() -> None:
    facts = proved(DIGITS / "digits.onnx", DIGITS / "test.npz", "golden", None)
    assert (facts["samples"], facts["elements_compared"]) == (360, 3600)
    assert facts["accuracy"] >= 0.96


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "device", "goal", "limit"),
    [
        ("verilator", "ice40-up5k", None, None),
        ("verilator", "gw1n-9", Smallest(), 20),
        ("verilator", "ecp5-25k", Latency(), None),
        pytest.param("icarus", "ice40-up5k", None, 12, marks=pytest.mark.icarus),
        ("netlist", "ice40-up5k", None, 20),
        ("netlist", "ecp5-25k", Smallest(), 4),
        ("netlist", "gw1n-9", Smallest(), 4),
    ],
)
def test_digits_hardware(what: str, device: str, goal: Goal | None, limit: int | None, tmp_path: Path) -> None:
    model = DIGITS / "digits.onnx"
    facts = proved(model, DIGITS / "test.npz", what, limit, device=device, goal=goal)
    assert facts["samples"] == (limit or 360)
    if goal != Latency():  # of which planning and Verilog take a minute
        compiles_to(facts, model, tmp_path, device=device, goal=goal)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["ice40-up5k", "ecp5-85k"])
def test_digits_through_the_pins_of_a_board(device: str) -> None:
    assert proved(DIGITS / "digits.onnx", DIGITS / "test.npz", "board", 12, device=device)["samples"] == 12


@pytest.mark.slow
def test_pinned_engines_and_folds_in_verilog() -> None:
    pins: dict[str, Any] = {"engines": {"Gemm_1": "addsub"}, "folds": {"Gemm_1": Folding(5, 48)}}
    proved(DIGITS / "digits.onnx", DIGITS / "test.npz", "verilator", 60, device="ecp5-25k", **pins)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "goal"), [*((name, None) for name in NAMES), ("tfc_2w2a", Latency()), ("jettag_qkeras_6b", Latency())]
)
def test_shared_models_in_verilog(models: Path, name: str, goal: Goal | None) -> None:
    target = "ecp5-25k" if goal == Latency() else "ecp5-85k"  # which it fills: of the larger one that takes minutes
    model, options = models / name / "model.onnx", {"device": target, "goal": goal, "grid": GRIDS.get(name)}
    proved(model, models / name / "case.npz", "verilator", 100, **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", boards())
def test_build(name: str, tmp_path: Path) -> None:
    """A bitstream of the example for every board, and a report that holds what the README promises."""
    out = tmp_path / "out"
    goal = None if name == "icebreaker" else Smallest()  # larger devices are placed in minutes else
    options = flow.Options(board=name, goal=goal)
    facts = flow.build(DIGITS / "digits.onnx", options, DIGITS / "test.npz", 60, out, quiet)
    assert json.loads((out / "report.json").read_text()) == facts
    assert {path.name for path in out.iterdir()} == {
        "host.json", "model.onnx", "network.v", "post.onnx", "pre.onnx", "report.json", "report.txt",
        Path(facts["bitstream"]).name,
    }  # fmt: skip
    assert Path(facts["bitstream"]).stat().st_size > 10_000
    assert facts["version"] == flow.REPORT_VERSION
    assert facts["fmax_mhz"] >= facts["clock_mhz"] > 0
    cycles_per_us = facts["frames_per_second"] * facts["interval_cycles"] / 1e6
    assert round(cycles_per_us, 2) == round(facts["clock_mhz"], 2)
    proof = facts["verification"]
    assert (proof["rung"], proof["samples"], proof["elements_compared"], proof["mismatches"]) == (2, 60, 600, 0)
    assert proof["reference_mismatches"] == 0
    nodes = [node for node in facts["nodes"] if node["node"] is not None]
    assert sum(node["weight_bits"] for node in nodes) == 50432
    for node in nodes:
        assert node["cycles_per_frame"] <= facts["interval_cycles"]
        assert set(node["predicted"]) == set(node["measured"]) == {"lut", "ff", "bram", "dsp"}
    for used in facts["share"].values():
        assert 0 <= used["used"] <= used["available"]
    assert facts["lut"] > max(node["measured"]["lut"] for node in nodes)
    report = (out / "report.txt").read_text()
    assert all(node["name"] in report for node in nodes)
    assert f"{facts['fmax_mhz']:.10g}" in report


def test_labels_alone_and_single_samples(tmp_path: Path) -> None:
    with np.load(DIGITS / "test.npz") as held:
        np.savez(tmp_path / "some.npz", inputs=held["inputs"][:1], labels=held["labels"][:1])
    facts = flow.simulate(DIGITS / "digits.onnx", flow.Options(), tmp_path / "some.npz", None, "golden", quiet)
    assert (facts["samples"], facts["reference_mismatches"], facts["accuracy"]) == (1, None, 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlperf_kws_dscnn_int8_qdq"])
def test_convolutional_networks_in_verilog(models: Path, name: str) -> None:
    model = models / name / "model.onnx"
    facts = proved(model, models / name / "case.npz", "verilator", 2, device="ecp5-85k")
    assert facts["elements_compared"] == 24


@pytest.mark.parametrize(
    "name", ["mlperf_kws_dscnn_int8_qdq", "tinycnn_int8_qoperator", "neudet_v4_int8_qoperator", "deeploy_CNN_Linear1"]
)
def test_convolutional_networks_golden(models: Path, name: str) -> None:
    grid = json.loads(case.read_text())["input"] if (case := models / name / "case.json").exists() else None
    proved(models / name / "model.onnx", models / name / "case.npz", "golden", 50, grid=grid)
