"""Seconds of every step by the number of parameters, as Markdown, and as a plot.

Run: python benchmarks/scaling.py [--largest 1000000] [--plot FILE.svg]; the plot needs matplotlib.
The networks are made here: four 3x3 convolutions of 2-bit weights over 8x8 places, in the smallest plan for ecp5-85k,
so that the hardware around the weights stays as it is. The exponent, of the upper half of the sizes, is the slope in
double logarithms of what a step takes above its least: 1 is linear.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx

sys.path.insert(0, str(Path(__file__).parents[1]))

from lutwright.frontend.device import device
from lutwright.frontend.model import load
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Smallest
from lutwright.hdl import emit, synth
from lutwright.hdl.network import Network
from lutwright.testbenches.compiled import stream_frames
from tests.frontend.builder import Net

DEVICE = device("ecp5-85k")
LAYERS, PLACES, KERNEL = 4, 8, 3
SIZES = (1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
STEPS = ("import", "plan", "Verilog", "simulator", "synthesis")


def model(parameters: int) -> tuple[onnx.ModelProto, int]:
    """A network of about so many parameters, and how many."""
    channels = max(1, round(math.sqrt(parameters / (LAYERS * KERNEL**2))))
    net, rng = Net(channels, PLACES, PLACES, batch=1), np.random.default_rng(0)
    y, count = net.quant("input", 1.0, 2), 0
    for _ in range(LAYERS):
        weight = rng.integers(-2, 2, (channels, channels, KERNEL, KERNEL)).astype(np.float32)
        count += weight.size
        y = net.op("Conv", y, net.quant(weight, 1.0, 2), kernel_shape=[KERNEL] * 2, pads=[1] * 4)
        y = net.quant(y, float(2 ** round(math.log2(KERNEL * math.sqrt(channels)))), 2)
    return net.model(y), count


def times(path: Path) -> dict[str, float]:
    """Seconds of each step."""
    marks = [time.monotonic()]

    def mark() -> None:
        marks.append(time.monotonic())

    graph = load(path).graph
    mark()
    chosen = plan(graph, DEVICE, Smallest())
    mark()
    network = Network(graph, chosen)
    verilog = emit.verilog(network, "network")
    mark()
    frame = np.zeros((1, *network.i_beats.type.shape), np.int64)
    cycles = 4 * network.timing().latency
    ran = stream_frames(verilog, "network", network.i_beats, network.o_beats, frame, frame_cycles=cycles)
    assert ran.speed is not None
    started = time.monotonic()
    synth.resources(emit.rtlil(Network(graph, chosen), "network"), "network", DEVICE)
    synthesis = time.monotonic() - started
    return dict(zip(STEPS, [*np.diff(marks).tolist(), ran.speed.build_seconds, synthesis], strict=True))


def exponent(sizes: list[int], seconds: list[float]) -> float:
    """Slope of what grows, over the upper half of the sizes."""
    grown = np.maximum(np.array(seconds) - min(seconds), 1e-3)
    half = len(sizes) // 2
    return float(np.polyfit(np.log(sizes[half:]), np.log(grown[half:]), 1)[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="parameters of the largest network")
    parser.add_argument("--plot", type=Path, help="file for the plot")
    options = parser.parse_args()
    if options.plot and find_spec("matplotlib") is None:
        parser.error("--plot needs matplotlib: pip install matplotlib")
    sizes, rows = list[int](), list[dict[str, float]]()
    print(f"| parameters | {' | '.join(f'{step}, s' for step in STEPS)} |\n|{' --- |' * (1 + len(STEPS))}")
    with tempfile.TemporaryDirectory() as folder:
        for size in (size for size in SIZES if size <= options.largest):
            made, count = model(size)
            path = Path(folder) / "model.onnx"
            onnx.save(made, path)
            sizes.append(count)
            rows.append(times(path))
            print(f"| {count:,} | {' | '.join(f'{rows[-1][step]:.1f}' for step in STEPS)} |", flush=True)
    slopes = {step: exponent(sizes, [row[step] for row in rows]) for step in STEPS}
    print(f"| exponent | {' | '.join(f'{slopes[step]:.2f}' for step in STEPS)} |")
    if options.plot:
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots()
        for step in STEPS:
            axes.loglog(sizes, [row[step] for row in rows], marker="o", label=step)
        axes.loglog(sizes, [rows[-1]["Verilog"] * size / sizes[-1] for size in sizes], "k:", label="linear")
        axes.set(xlabel="parameters", ylabel="seconds")
        axes.legend()
        figure.savefig(options.plot)


if __name__ == "__main__":
    main()
