"""Multiplications of convolutions by Winograd's filters and Strassen's products, relative to the direct form.

Run: python benchmarks/winograd.py [--hardware [NAME …]] [--engine NAME …]
The counts are those of the method that hardware is built by, for each layer at the number of levels, up to the one
named, at which it takes the fewest. VGG-16's layers are those of its convolutions over 224 x 224 pixels.
With --hardware instead: single layers of random int8 weights on ECP5, directly and by tiles with as many multipliers,
synthesized by Yosys and placed and routed by nextpnr between registers (one seed) where they fit an ECP5-85F; LUTs are
sites, as in `engines.py`. A layer takes minutes.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from versus_nngen_place import fits, placed, synthesized

from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Type, verify
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network
from lutwright.hdl.winograd.method import Method
from lutwright.hdl.winograd.strassen import Problem


@dataclass(frozen=True)
class Layer:
    """A 3 x 3 convolution of a square map, padded so that the size stays."""

    inputs: int
    outputs: int
    size: int

    @property
    def direct(self) -> int:
        return 9 * self.inputs * self.outputs * self.size**2

    def winograd(self, m: int, levels: int) -> int:
        x = Type((self.size, self.size, self.inputs), -128, 127)
        weight, bias = np.ones((self.outputs, 3, 3, self.inputs), np.int64), np.zeros(self.outputs, np.int64)
        node = Conv.of("conv", Input("x", (), x), weight, bias, Window.of((3, 3), pads=((1, 1), (1, 1))))
        problem = Method(node, x, m).problem
        return problem.multiplications(problem.best(levels))

    def strassen(self, levels: int) -> int:
        """Of the direct form: nine matrices of weights by as many of elements."""
        problem = Problem(self.outputs, self.inputs, self.size**2, 9)
        return problem.multiplications(problem.best(levels))


VGG16 = [
    Layer(inputs, outputs, size)
    for size, channels in (
        (224, (3, 64, 64)),
        (112, (64, 128, 128)),
        (56, (128, 256, 256, 256)),
        (28, (256, 512, 512, 512)),
        (14, (512, 512, 512, 512)),
    )
    for inputs, outputs in pairwise(channels)
]
SQUARE = [Layer(count, count, 64) for count in (2, 4, 8, 16, 32, 64)]
LEVELS = range(6)
METHODS = {"F(2x2, 3x3)": 2, "F(4x4, 3x3)": 4}


def direct(layers: Sequence[Layer]) -> int:
    return sum(layer.direct for layer in layers)


def vgg16(levels: int) -> dict[str, int]:
    """Multiplications of VGG-16's convolutions by method."""
    found = {name: sum(layer.winograd(m, levels) for layer in VGG16) for name, m in METHODS.items()}
    return found | {"Strassen alone": sum(layer.strassen(levels) for layer in VGG16)}


def square(layer: Layer) -> int:
    """Multiplications of an N x N layer by F(2x2, 3x3) and as many levels as there can be."""
    return layer.winograd(2, layer.inputs.bit_length() - 1)


LAYERS = {"64x64 at 32x32": Layer(64, 64, 32), "128x128 at 16x16": Layer(128, 128, 16)}
DIRECT = "direct"
ENGINES = (DIRECT, "winograd:m=2", "winograd:m=2,strassen=1", "winograd:m=2,strassen=2", "winograd:m=4")
FOLDING, SEED = Folding(8, 8), 5


def network(layer: Layer, engine: str) -> Network:
    """A layer alone, with FOLDING's multipliers."""
    rng = np.random.default_rng(SEED)
    source = Input("x", (), Type((layer.size, layer.size, layer.inputs), -128, 127))
    weight = rng.normal(0, 30, (layer.outputs, 3, 3, layer.inputs)).round().clip(-128, 127).astype(np.int64)
    bias, window = rng.integers(-999, 1000, layer.outputs), Window.of((3, 3), pads=((1, 1), (1, 1)))
    graph = verify(Graph((source, Conv.of("conv", source, weight, bias, window)), "conv"))
    nodes = {"conv": NodePlan(engine, FOLDING)}
    if engine == DIRECT:
        lanes = Folding(FOLDING.simd, FOLDING.simd)
        nodes = {"conv_window": NodePlan("unfold", lanes), "conv": NodePlan("multiply_dsp", FOLDING)}
    return Network(graph, Plan(device("ecp5-85k"), nodes))


def hardware(names: Sequence[str], engines: Sequence[str]) -> None:
    multipliers, chip = FOLDING.pe * FOLDING.simd, device("ecp5-85k")
    head = ("layer", f"engine, {FOLDING}", "cycles", "of direct", "products an output", "LUT", "FF", "BRAM", "DSP",
            "Fmax, MHz", "µs a frame")  # fmt: skip
    print("| " + " | ".join(head) + " |\n" + "|" + " --- |" * len(head), flush=True)
    for name in names:
        layer = LAYERS[name]
        before = network(layer, DIRECT).timing().interval
        for engine in engines:
            dut = network(layer, engine)
            cycles = dut.timing().interval
            with tempfile.TemporaryDirectory() as folder:
                found, ports = synthesized(dut, chip, Path(folder))
                fmax = placed(Path(folder), "clk", ports, chip) if fits(found, chip) else None
            each = cycles * multipliers / (layer.outputs * layer.size**2)
            counts = " | ".join(f"{count:,}" for count in (found.sites, found.ff, found.bram, found.dsp))
            speed = f"{fmax:.1f} | {cycles / fmax:,.0f}" if fmax else "- | -"
            of_direct = f"1/{before / cycles:.3f}"
            print(f"| {name} | {engine} | {cycles:,} | {of_direct} | {each:.1f} | {counts} | {speed} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hardware", nargs="*", choices=LAYERS, help="build these layers, or all")
    parser.add_argument("--engine", nargs="+", choices=ENGINES, default=ENGINES, help="by these engines")
    options = parser.parse_args()
    names = options.hardware
    if names is None:
        tables()
    else:
        hardware(names or tuple(LAYERS), options.engine)


def tables() -> None:
    whole = direct(VGG16)
    print(f"VGG-16's convolutions: {whole:,} multiplications directly\n")
    print(f"| Strassen levels | {' | '.join(f'{name} | ratio' for name in vgg16(0))} |")
    print("|" + " --- |" * 7)
    for levels in LEVELS:
        cells = (f"{count:,} | {count / whole:.4f}" for count in vgg16(levels).values())
        print(f"| {levels} | {' | '.join(cells)} |", flush=True)
    print("\n| N x N channels, 64 x 64 | direct | F(2x2, 3x3), all levels | ratio |")
    print("|" + " --- |" * 4)
    for layer in SQUARE:
        print(f"| {layer.inputs} | {layer.direct:,} | {square(layer):,} | {square(layer) / layer.direct:.4f} |")


if __name__ == "__main__":
    main()
