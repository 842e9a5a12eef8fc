"""LUTs of folded engines for each multiply-accumulate of a cycle, against naive forms and the published peers.

Run: python benchmarks/engines.py [--only NAME …] [--device NAME …] [--ours]; all of it takes half an hour.
An engine is a whole layer of 64 x 1024 random weights with its replay buffer, accumulators, control and (xnor) a
threshold a channel, synthesized by Yosys; its weight memory is a black box, and not counted. LUTs are sites: on ECP5 a
LUT4 each and two a CCU2C, with -nowidelut; on iCE40 SB_LUT4s, and carries that occupy a site of their own; on xc7 LUTs,
LUT RAM and SRLs. The naive form is the same layer whose products are added up in one expression, left to Yosys.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from amaranth import Instance, Module, Mux, Signal, Value

from lutwright.frontend.device import Device, Family, device
from lutwright.frontend.ir import Array, Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Dense, Threshold
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl import emit, synth
from lutwright.hdl.engines.base import Engine, Folding
from lutwright.hdl.engines.folded_engine import FoldedEngine
from lutwright.hdl.engines.lanes import Lanes, Sum
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.network import Network
from lutwright.hdl.registers import Registers
from lutwright.hdl.resources import Usage
from lutwright.hdl.rom import rom

ROWS, COLUMNS, SEED = 64, 1024, 5
TOP = "top"
DEVICES = ("xc7", "ecp5-85k", "ice40-up5k")


@dataclass(frozen=True)
class Case:
    """`weights`: drawn from these; `x`: the interval of the elements; `steps`: thresholds of a row."""

    engine: str
    weights: Sequence[int]
    x: tuple[int, int]
    folding: Folding
    steps: int
    peer: str

    @property
    def macs(self) -> float:
        """Of a cycle: an engine that takes a bit of each element has a share of one a lane."""
        serial = Type((), *self.x).width if self.engine == "bitserial" else 1
        return self.folding.pe * self.folding.simd / serial


FINN = "FINN HLS {}, RTL {} (xc7, Vivado)"
CASES = {
    "xnor 32x32": Case("xnor", (-1, 1), (0, 1), Folding(32, 32), 1, FINN.format(2.9, 2.1)),
    "xnor 64x64": Case("xnor", (-1, 1), (0, 1), Folding(64, 64), 1, ""),
    "1x4 bit 32x32": Case("addsub", (-1, 1), (0, 15), Folding(32, 32), 0, FINN.format(10.8, 12.7)),
    "1x4 bit 64x64, bit-serial": Case("bitserial", (-1, 1), (0, 15), Folding(64, 64), 0, FINN.format(10.8, 12.7)),
    "ternary x4 bit 32x32": Case("addsub", (-1, 0, 1), (0, 15), Folding(32, 32), 0, ""),
    "4x4 bit 8x8": Case("multiply", range(-8, 8), (0, 15), Folding(8, 8), 0, FINN.format(36, 29)),
    "4x4 bit 8x8, DSP": Case("multiply_dsp", range(-8, 8), (0, 15), Folding(8, 8), 0, ""),
    "shift 16x16": Case("shift", (-4, -2, -1, 0, 1, 2, 4), (0, 15), Folding(16, 16), 0, ""),
    "multiply 16x16, same weights": Case("multiply", (-4, -2, -1, 0, 1, 2, 4), (0, 15), Folding(16, 16), 0, ""),
}


def layer(case: Case) -> Graph:
    rng = np.random.default_rng(SEED)
    source = Input("in", (), Type((COLUMNS,), *case.x))
    dense = Dense.of("dense", source, rng.choice(case.weights, (ROWS, COLUMNS)))
    nodes: list[Node] = [source, dense]
    if case.steps:
        y = dense.type
        levels = np.sort(rng.integers(y.lo + 1, y.hi + 1, (ROWS, case.steps)), axis=1)
        step = np.ones(ROWS, np.int64)
        nodes.append(Threshold.of("threshold", dense, levels, 0 * step, step))
    return verify(Graph(tuple(nodes), nodes[-1].name))


class NaiveLanes:
    """Products as they are written, and their sum in one expression, left to Yosys: one register behind it."""

    shift, fetch = 0, False

    def weight_bits(self, node: Dense) -> int:
        return 1 if self._signs(node) else node.weight_type.width

    def codes(self, node: Dense) -> Array:
        return (node.own < 0).astype(np.int64) if self._signs(node) else node.own & ((1 << self.weight_bits(node)) - 1)

    def stored(self, node: Dense, x: Type, codes: Array, groups: int, family: Family) -> Array:
        return codes

    def excess(self, node: Dense, x: Type, lanes: int) -> Array:
        return np.zeros(len(node.weight), np.int64)

    def excess_of_beat(self, node: Dense, x: Type, lanes: int) -> tuple[int, int]:
        return 0, 0

    def depth(self, node: Dense, x: Type, rows: int, lanes: int, family: Family) -> int:
        return 1

    def usage(self, node: Dense, x: Type, rows: int, lanes: int, groups: int, family: Family, wired: bool) -> Usage:
        return Usage()

    def sums(
        self,
        node: Dense,
        x: Type,
        family: Family,
        elements: Sequence[Sequence[Value]],
        codes: Sequence[Sequence[Value]],
        registered: Registers,
    ) -> list[Sum]:
        signs, result = self._signs(node), list[Sum]()
        for row in codes:
            pairs = zip(elements[0], row, strict=True)
            terms = [Mux(code, -x, x) if signs else x * code.as_signed() for x, code in pairs]
            result.append((registered(sum(terms[1:], terms[0]), "sum"), None))
        return result

    @staticmethod
    def _signs(node: Dense) -> bool:
        return node.weighs_all and node.weight_type.width == 2


class Naive(FoldedEngine):
    """The layer around such lanes."""

    name = "naive"

    def lanes(self, node: Dense, x: Type, folding: Folding, device: Device) -> tuple[Lanes, ...]:
        return (NaiveLanes(),)

    def supports(self, node: Dense, x: Type, device: Device) -> str | None:
        return None


BOX = """
attribute \\blackbox 1
module \\weights
  wire width {} input 1 \\address
  wire input 2 \\enable
  wire width {} output 3 \\data
end
"""


def measured(case: Case, engine: Engine, target: Device) -> synth.Resources:
    """What all but the weight memory takes, which is a black box."""
    graph = layer(case)
    folds = {"dense": NodePlan(engine.name, case.folding)}
    if case.steps:
        folds["threshold"] = NodePlan("", Folding(case.folding.pe, case.folding.pe))
    boxes = []

    def outside(m: Module, name: str, words: Sequence[int], width: int, address: Value, enable: Value) -> Value:
        if name != "weights":
            return rom(m, name, words, width, address, enable)
        data = Signal(width)
        m.submodules[name] = Instance("weights", i_address=address, i_enable=enable, o_data=data)
        boxes.append(BOX.format(len(address), width))
        return data

    with patch.dict(engines(), {engine.name: engine}), patch("lutwright.hdl.engines.folded.rom", outside):
        rtlil = emit.rtlil(Network(graph, Plan(target, folds)), TOP)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.il").write_text(rtlil + boxes[0])
        return synth.counted(synth.mapped(Path(folder), "in.il", TOP, target)[TOP])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="these cases")
    parser.add_argument("--device", nargs="+", default=DEVICES, help="these devices")
    parser.add_argument("--ours", action="store_true", help="without the naive forms")
    chosen = parser.parse_args()
    print("| engine | device | LUT | FF | DSP | LUT/MAC | naive LUT/MAC | peers' LUT/MAC |")
    print("|" + " --- |" * 8)
    for name in chosen.only:
        case = CASES[name]
        for target in map(device, chosen.device):
            ours, naive = measured(case, engines()[case.engine], target), "-"
            if not chosen.ours:
                plain = measured(case, Naive(), target)
                naive = f"{plain.sites / case.macs:.2f}" + f", {plain.dsp} DSP" * (plain.dsp > 0)
            cells = (
                f"{ours.sites:,}",
                f"{ours.ff:,}",
                str(ours.dsp),
                f"{ours.sites / case.macs:.2f}",
                naive,
                case.peer,
            )
            print(f"| {name} | {target.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
