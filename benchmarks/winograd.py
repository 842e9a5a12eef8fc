"""Multiplications of convolutions by Winograd's filters and Strassen's products, relative to the direct form.

Run: python benchmarks/winograd.py
The counts are those of the method that hardware is built by, for each layer at the number of levels, up to the one
named, at which it takes the fewest. VGG-16's layers are those of its convolutions over 224 x 224 pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
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


def main() -> None:
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
