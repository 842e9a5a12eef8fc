"""The README's table of boards: every bitstream built for real, as Markdown.

Run: python benchmarks/boards.py [--only NAME …] [--fps N] (with LUTWRIGHT_MODELS for the shared models; without them
only the example). Convolutional networks are built for the largest board, of inputs alone: some references' outputs
have ties (benchmarks/exactness.py). All together take an hour and a half.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from conv_networks import CASES as CONVOLUTIONAL
from conv_networks import MODELS, grid, samples
from versus_nngen_place import placed, synthesized

from lutwright import flow
from lutwright.boards.base import boards
from lutwright.boards.build import SEEDS
from lutwright.design import design
from lutwright.errors import LutwrightError
from lutwright.frontend.planning import Fps, Goal
from lutwright.hdl.network import Network

ROOT = Path(__file__).parents[1]
DENSE = {
    "digits": (ROOT / "examples" / "digits" / "digits.onnx", ROOT / "examples" / "digits" / "test.npz"),
    "tfc_1w1a": (MODELS / "tfc_1w1a" / "model.onnx", MODELS / "tfc_1w1a" / "case.npz"),
}
LARGEST = "ulx3s_85f"
UNLINKED = ("espcn_subpixel_w4a4",)  # whose samples are more than the host link carries
FRAMES = 100  # in the proof of the Verilog
CONVOLUTIONAL_FRAMES = 5
HEAD = ("network", "board", "LUT", "FF", "BRAM", "DSP", "Fmax, MHz", "clock, MHz", "cycles", "frames/s", "latency, µs",
        "tools, s")  # fmt: skip


def row(name: str, board: str, goal: Goal | None) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        if name in DENSE:
            (model, data), of_input, frames = DENSE[name], None, FRAMES
        else:
            model, of_input, frames = MODELS / name / "model.onnx", grid(name), CONVOLUTIONAL_FRAMES
            data = samples(name, frames, Path(folder), ["inputs"])
        options = flow.Options(board=board, grid=of_input, goal=goal)
        try:
            facts = flow.build(model, options, data, frames, Path(folder) / "build", lambda *_: None)
        except LutwrightError as error:
            return [name, board, str(error)]
    return [
        name, board, *(f"{facts[key]:,}" for key in ("lut", "ff", "bram", "dsp")), f"{facts['fmax_mhz']:.1f}",
        f"{facts['clock_mhz']:.2f}", f"{facts['interval_cycles']:,}", f"{facts['frames_per_second']:,.0f}",
        f"{facts['latency_us']:.1f}", f"{sum(facts['tool_seconds'].values()):.0f}",
    ]  # fmt: skip


def alone(name: str, board: str, goal: Goal | None) -> list[str]:
    """The network between registers, without board and link: resources, and Fmax of a build's first seed that meets the
    board's clock; if none does, of the best, which then is the clock.
    """
    made = design(MODELS / name / "model.onnx", flow.Options(board=board, grid=grid(name), goal=goal), lambda *_: None)
    timing, clock, start = made.network.timing(), made.clock_mhz or 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        found, ports = synthesized(Network(made.model.graph, made.plan), made.plan.device, Path(folder))
        fmax = 0.0
        for seed in SEEDS:
            found_mhz = placed(Path(folder), "clk", ports, made.plan.device, clock, seed)
            fmax = max(fmax, found_mhz or 0.0)
            if found_mhz is None or fmax >= clock:
                break
    clock = min(clock, fmax or clock)
    return [
        name, f"{board}, no link", *(f"{count:,}" for count in (found.lut, found.ff, found.bram, found.dsp)),
        f"{fmax:.1f}" if fmax else "-", f"{clock:.2f}", f"{timing.interval:,}",
        f"{clock * 1e6 / timing.interval:,.0f}", f"{timing.latency / clock:.1f}", f"{time.perf_counter() - start:.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=(*DENSE, *CONVOLUTIONAL), help="these networks")
    parser.add_argument("--fps", type=float, help="the goal of the plans; without it none")
    options = parser.parse_args()
    goal = Fps(options.fps) if options.fps else None
    print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD), flush=True)
    for name in options.only or (*DENSE, *CONVOLUTIONAL):
        model = DENSE[name][0] if name in DENSE else MODELS / name / "model.onnx"
        for board in (boards() if name in DENSE else (LARGEST,)) if model.exists() else ():
            found = alone(name, board, goal) if name in UNLINKED else row(name, board, goal)
            print("| " + " | ".join(found) + " |", flush=True)


if __name__ == "__main__":
    main()
