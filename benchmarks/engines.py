"""LUTs of folded engines for each multiply-accumulate of a cycle, against naive forms and the published peers.

Run: python benchmarks/engines.py [--only NAME …] [--device NAME …]
An engine is a whole layer of 64 x 1024 random weights with its replay buffer, accumulators, control and (where the case
has some) thresholds, synthesized by Yosys; its weight memory is a module of its own, and not counted. LUTs are sites:
on ECP5 a LUT4 each and two a CCU2C, `-nowidelut`; on iCE40 those of SB_LUT4 and of lone carries. The naive form is the
same layer written as a sum of products, left to Yosys, with the least a stream needs around it.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from amaranth import Instance, Module, Mux, Signal, Value

from lutwright.frontend.device import Device, device
from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import Dense, Threshold
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl import emit, synth
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.network import Network
from lutwright.hdl.rom import concatenated, rom

ROWS, COLUMNS, SEED = 64, 1024, 5
TOP = "top"
DEVICES = ("xc7", "ecp5-85k", "ice40-hx8k")


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
    def lanes(self) -> int:
        return self.folding.pe * self.folding.simd


FINN = "FINN HLS {}, RTL {} (xc7, Vivado)"
CASES = {
    "xnor 32x32": Case("xnor", (-1, 1), (0, 1), Folding(32, 32), 1, FINN.format(2.9, 2.1)),
    "xnor 64x64": Case("xnor", (-1, 1), (0, 1), Folding(64, 64), 1, ""),
    "1x4 bit 32x32": Case("addsub", (-1, 1), (0, 15), Folding(32, 32), 0, FINN.format(10.8, 12.7)),
    "ternary x4 bit 32x32": Case("addsub", (-1, 0, 1), (0, 15), Folding(32, 32), 0, ""),
    "4x4 bit 8x8": Case("multiply", range(-8, 8), (0, 15), Folding(8, 8), 0, FINN.format(36, 29)),
    "shift 16x16": Case("shift", (-4, -2, -1, 0, 1, 2, 4), (0, 15), Folding(16, 16), 0, ""),
    "multiply 16x16": Case("multiply", (-4, -2, -1, 0, 1, 2, 4), (0, 15), Folding(16, 16), 0, ""),
}


def layer(case: Case) -> tuple[Graph, Dense]:
    rng = np.random.default_rng(SEED)
    source = Input("in", (), Type((COLUMNS,), *case.x))
    dense = Dense.of("dense", source, rng.choice(case.weights, (ROWS, COLUMNS)))
    nodes: list[Node] = [source, dense]
    if case.steps:
        y = dense.type
        levels = np.sort(rng.integers(y.lo + 1, y.hi + 1, (ROWS, case.steps)), axis=1)
        step = np.ones(ROWS, np.int64)
        nodes.append(Threshold.of("threshold", dense, levels, 0 * step, step))
    return verify(Graph(tuple(nodes), nodes[-1].name)), dense


class Naive(StreamComponent):
    """A layer as a sum of products and a comparison, two registers, and the whole vector kept before it is used."""

    def __init__(self, graph: Graph, dense: Dense, folding: Folding) -> None:
        last = graph.nodes[-1]
        x = graph.nodes[0].type
        super().__init__(Beats(x, folding.simd), Beats(last.type, folding.pe))
        self.dense, self.last, self.x = dense, last, x
        self.pe, self.simd = folding.pe, folding.simd

    def elaborate(self, platform: object) -> Module:
        m = Module()
        node, pe, simd, bits = self.dense, self.pe, self.simd, self.dense.weight_type.width
        nf, sf = ROWS // pe, COLUMNS // simd
        signs = bits == 2 and node.weighs_all
        stored = (node.weight < 0).astype(np.int64) if signs else node.weight
        bits = 1 if signs else bits
        words = [
            concatenated(stored[f * pe : (f + 1) * pe, s * simd : (s + 1) * simd].ravel(), bits)
            for f in range(nf)
            for s in range(sf)
        ]
        beat, fold = Signal(range(sf)), Signal(range(nf))
        advance, there, whole = Signal(), Signal(), Signal(2)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance & (fold == 0))]
        step = advance & (self.i.valid | (fold != 0))
        weights = rom(m, "weights", words, pe * simd * bits, fold * sf + beat, advance)
        kept = Signal(len(self.i.payload.data.as_value()), reset_less=True)
        if nf > 1:
            from amaranth.lib.memory import Memory

            m.submodules.buffer = buffer = Memory(shape=len(kept), depth=sf, init=[])
            write, read = buffer.write_port(), buffer.read_port()
            m.d.comb += [write.addr.eq(beat), write.data.eq(self.i.payload.data.as_value()), read.addr.eq(beat)]
            m.d.comb += [write.en.eq(step & (fold == 0)), read.en.eq(advance)]
        with m.If(advance):
            m.d.sync += [kept.eq(self.i.payload.data.as_value()), there.eq(step), whole.eq(whole << 1)]
        with m.If(step):
            m.d.sync += beat.eq(Mux(beat == sf - 1, 0, beat + 1))
            with m.If(beat == sf - 1):
                m.d.sync += [fold.eq(Mux(fold == nf - 1, 0, fold + 1)), whole[0].eq(1)]
        first, late = Signal(), Signal(range(nf))
        with m.If(advance):
            m.d.sync += [first.eq(beat == 0), late.eq(fold)]
        elements = Mux(late == 0, kept, read.data) if nf > 1 else kept
        for row in range(pe):
            terms = []
            for lane in range(simd):
                code = weights.word_select(row * simd + lane, bits)
                x = elements.word_select(lane, self.x.width)
                if signs and self.x.width == 1:
                    terms.append(~(x ^ code))
                elif signs:
                    terms.append(Mux(code, -x, x))
                else:
                    terms.append(x * code.as_signed())
            start = node.bias - ((COLUMNS - (node.weight < 0).sum(axis=1) * 0) * 0)
            y = Signal(self.dense.type.width + 1, name=f"y{row}")
            total = sum(terms[1:], terms[0])
            with m.If(advance & there):
                m.d.sync += y.eq(Mux(first, int(start[row]), y) + total)
            if isinstance(self.last, Threshold):
                levels = rom(
                    m,
                    f"levels{row}",
                    [int(self.last.thresholds[f * pe + row, 0] + COLUMNS) // 2 for f in range(nf)],
                    self.dense.type.width,
                    late,
                    advance,
                )
                m.d.comb += self.o.payload.data[row].eq(y.as_unsigned() >= levels)
            else:
                m.d.comb += self.o.payload.data[row].eq(y)
        m.d.comb += self.o.valid.eq(whole[1])
        return m


BOX = """
attribute \\blackbox 1
module \\weights
  wire width {} input 1 \\address
  wire input 2 \\enable
  wire width {} output 3 \\data
end
"""


def measured(component: StreamComponent, target: Device) -> synth.Resources:
    """What all but the weight memory takes, which is a black box."""
    boxes, memory = [], rom

    def outside(m: Module, name: str, words: Sequence[int], width: int, address: Value, enable: Value) -> Value:
        if name != "weights":
            return memory(m, name, words, width, address, enable)
        data = Signal(width)
        m.submodules[name] = Instance("weights", i_address=address, i_enable=enable, o_data=data)
        boxes.append(BOX.format(len(address), width))
        return data

    with patch("lutwright.hdl.engines.folded.rom", outside), patch(f"{__name__}.rom", outside):
        rtlil = emit.rtlil(component, TOP)
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "in.il").write_text(rtlil + boxes[0])
        return synth.counted(synth.mapped(Path(folder), "in.il", TOP, target)[TOP])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=CASES, default=list(CASES), help="these cases")
    parser.add_argument("--device", nargs="+", default=DEVICES, help="these devices")
    parser.add_argument("--ours", action="store_true", help="without the naive forms")
    chosen = parser.parse_args()
    print("| engine | device | LUT | LUT/MAC | FF | DSP | predicted | naive LUT/MAC | peer LUT/MAC | seconds |")
    print("|" + " --- |" * 10)
    for name in chosen.only:
        case = CASES[name]
        graph, dense = layer(case)
        for target in map(device, chosen.device):
            began = time.monotonic()
            folds = {"dense": NodePlan(case.engine, case.folding)}
            if case.steps:
                folds["threshold"] = NodePlan("", Folding(case.folding.pe, case.folding.pe))
            network = Network(graph, Plan(target, folds))
            ours = measured(network, target)
            taken = time.monotonic() - began
            naive = (
                "-" if chosen.ours else f"{measured(Naive(graph, dense, case.folding), target).sites / case.lanes:.2f}"
            )
            print(
                f"| {name} | {target.name} | {ours.sites:,} | {ours.sites / case.lanes:.2f} | {ours.ff:,} | {ours.dsp} "
                f"| {network.cost.luts:,} | {naive} | {case.peer} | {taken:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
