"""A whole VGG-style network (`examples/vgg`) on a board, with and without Winograd's filters, as Markdown.

Run: python benchmarks/vgg.py [--only PLAN …] [--clock MHZ]
Pins choose the form of convolutions and pools; the rest of a plan is the planner's, without a goal or for so many
frames a second. `unpinned`: whether the planner makes the same plan without pins. The Verilog is proved equal to the
golden model in every element and cycle, and that to onnxruntime's outputs, on `proved` frames; then a bitstream is
built. LUTs are sites, as in `winograd.py`. All together take about an hour.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

from lutwright import flow
from lutwright.design import design
from lutwright.errors import LutwrightError
from lutwright.facts import Facts
from lutwright.frontend.planning import Fps

FOLDER = Path(__file__).parents[1] / "examples" / "vgg"
BOARD, FRAMES = "ulx3s_85f", 5
CONVS = tuple(f"conv{place}" for place in range(1, 7))
# Pools with a buffer in all plans: of those without one, a result is read, compared and written in one slow cycle.
POOLS = {f"maxpool{place}": "pool" for place in range(1, 4)}
DIRECT = POOLS | {f"{name}_window": "unfold" for name in CONVS}
WINOGRAD = POOLS | dict.fromkeys(CONVS[1:], "winograd:m=2")  # conv1, of 3 channels, as the planner likes
PLANS = {
    "direct": flow.Options(board=BOARD, engines=DIRECT),
    "winograd": flow.Options(board=BOARD, engines=WINOGRAD),
    "direct, --fps 1200": flow.Options(board=BOARD, engines=DIRECT, goal=Fps(1200)),
}
HEAD = ("plan", "unpinned", "LUT", "FF", "BRAM", "DSP", "Fmax, MHz", "clock, MHz", "cycles", "frames/s", "latency, µs",
        "proved", "tools, s")  # fmt: skip


def row(name: str, options: flow.Options) -> list[str]:
    model = FOLDER / "vgg.onnx"
    with tempfile.TemporaryDirectory() as folder:
        try:
            facts = flow.build(model, options, FOLDER / "test.npz", FRAMES, Path(folder) / "build", lambda *_: None)
        except LutwrightError as error:
            return [name, str(error)]
    pinned, free = (design(model, made, lambda *_: None).plan.nodes for made in (options, replace(options, engines={})))
    return [name, "the same" if pinned == free else "another", *cells(facts)]


def cells(facts: Facts) -> list[str]:
    return [
        *(f"{facts[key]:,}" for key in ("sites", "ff", "bram", "dsp")), f"{facts['fmax_mhz']:.1f}",
        f"{facts['clock_mhz']:.2f}", f"{facts['interval_cycles']:,}", f"{facts['frames_per_second']:,.0f}",
        f"{facts['latency_us']:.1f}", f"{facts['verification']['samples']}",
        f"{sum(facts['tool_seconds'].values()):.0f}",
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PLANS, default=PLANS, help="these plans")
    parser.add_argument("--clock", type=float, metavar="MHZ", help="of all plans; without it the board's")
    arguments = parser.parse_args()
    print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD), flush=True)
    for name in arguments.only:
        print("| " + " | ".join(row(name, replace(PLANS[name], clock_mhz=arguments.clock))) + " |", flush=True)


if __name__ == "__main__":
    main()
