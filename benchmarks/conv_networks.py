"""The Verilog of every convolutional shared case against the golden model and the reference, as Markdown.

Planned for ecp5-85k without a goal; every output element and the cycle of every frame's last beat are compared.

Run: python benchmarks/conv_networks.py [--samples N] [--only NAME …] (with LUTWRIGHT_MODELS for the shared models).
A case of fewer samples than an interval needs is fed several times. Where the golden model differs from the reference,
which `python benchmarks/exactness.py` explains, the first difference is printed. Exits with 1 if the Verilog differs.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from lutwright import flow
from lutwright.errors import LutwrightError
from lutwright.progress import Progress

MODELS = Path(os.environ.get("LUTWRIGHT_MODELS", Path(__file__).parents[2] / "shared" / "models"))
CASES = (
    "deeploy_CNN_Linear1",
    "deeploy_KeywordSpotting",
    "deeploy_miniMobileNet",
    "mlperf_kws_dscnn_int8_qdq",
    "tinycnn_int8_qoperator",
    "neudet_v4_int8_qoperator",
    "espcn_subpixel_w4a4",
)
DEVICE = "ecp5-85k"
FRAMES = 3  # at the least, so that there is an interval
HEAD = ("network", "frames", "LUT", "BRAM", "DSP", "cycles a frame", "simulated", "latency", "simulated",
        "elements equal", "cycles equal", "reference differs in", "plan, s", "build, s", "run, s", "cycles/s",
        "all, s")  # fmt: skip


def grid(name: str) -> str | None:
    """The grid of the case's input, where its graph does not quantize that."""
    case = MODELS / name / "case.json"
    return json.loads(case.read_text())["input"] if case.exists() else None


def samples(name: str, limit: int | None, folder: Path, keys: Sequence[str] = ("inputs", "outputs")) -> Path:
    """The case's samples, at least FRAMES of them."""
    with np.load(MODELS / name / "case.npz") as held:
        arrays = {key: held[key][:limit] for key in keys}
    times = -(-FRAMES // len(arrays["inputs"]))
    path = folder / f"{name}.npz"
    np.savez(path, **{key: np.concatenate([array] * times) for key, array in arrays.items()})
    return path


def row(name: str, facts: dict[str, Any]) -> str:
    frames, elements = facts["samples"], facts["elements_compared"]
    plan = [facts["predicted"][resource] for resource in ("lut", "bram", "dsp")]
    names = ("predicted_cycles_per_frame", "cycles_per_frame", "predicted_latency_cycles", "latency_cycles")
    cells = [frames, *plan, *(facts[key] for key in names)]
    equal = f"{elements - facts['mismatches']:,} of {elements:,} | {frames - facts['cycle_mismatches']:,} of {frames:,}"
    times = " | ".join(f"{facts[key]:,.1f}" for key in ("plan_seconds", "build_seconds", "run_seconds"))
    figures = " | ".join(f"{cell:,}" for cell in cells)
    speed = f"{facts['cycles_per_second']:,} | {facts['seconds']:,.1f}"
    return f"| {name} | {figures} | {equal} | {facts['reference_mismatches']} | {times} | {speed} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=None, metavar="N", help="only the first N samples of each case")
    parser.add_argument("--only", action="append", choices=CASES, metavar="NAME", help="only this case; repeatable")
    arguments = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD), flush=True)
    wrong = False
    with tempfile.TemporaryDirectory() as folder, Progress(Console(stderr=True, highlight=False)) as progress:
        for name in arguments.only or CASES:
            options, data = flow.Options(grid=grid(name), device=DEVICE), samples(name, arguments.samples, Path(folder))
            try:
                facts = flow.simulate(MODELS / name / "model.onnx", options, data, None, "verilator", progress)
            except LutwrightError as error:
                print(f"| {name} | {error} |", flush=True)
                wrong = True
                continue
            print(row(name, facts), flush=True)
            if facts["failed"]:
                print(f"  {facts['failed']}", flush=True)
            wrong = wrong or facts["mismatches"] + facts["cycle_mismatches"] > 0
    sys.exit(wrong)


if __name__ == "__main__":
    main()
