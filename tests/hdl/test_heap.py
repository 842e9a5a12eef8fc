"""Heaps add up exactly, whatever their columns; formal proofs that compressed cores are the sums they stand for."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from amaranth import Const, Elaboratable, Module, Signal
from amaranth.sim import Simulator, SimulatorContext

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl import heap, yosys
from lutwright.hdl.emit import convert
from lutwright.hdl.engines.bits import DigitLanes, MaskLanes, SignLanes
from lutwright.hdl.engines.chains import MaskPairs, SignPairs
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.engines.shift import ShiftLanes

from .checks import Wires

FAMILIES: tuple[Family, ...] = ("ice40", "ecp5", "gowin", "xc7")
HEAPS: list[heap.Heights] = [(1,), (2,), (3,), (6,), (0, 7), (5, 0, 4), (12, 10), (31,), (3, 2, 1, 0, 2), (2, 7, 9, 3)]


class Sum(Elaboratable):
    """A heap of the bits of one input, later ones among them."""

    def __init__(self, heights: heap.Heights, late: heap.Heights, arrival: int, width: int, family: Family) -> None:
        self.heights, self.late, self.arrival, self.width, self.family = heights, late, arrival, width, family
        self.bits = Signal(sum(heights) + sum(late))
        self.total = Signal(width)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = list(self.bits)
        columns = [[bits.pop() for _ in range(height)] for height in self.heights]
        late = [[bits.pop() for _ in range(height)] for height in self.late]
        same = lambda value: value  # noqa: E731
        total = heap.compress(m, columns, self.family, self.width, same, late, self.arrival)
        m.d.comb += self.total.eq(total)
        return m


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("heights", HEAPS)
@pytest.mark.parametrize(("late", "arrival", "cut"), [((), 0, 0), ((1, 1, 1), 2, 0), ((), 0, 2)])
def test_a_heap_is_its_sum(heights: heap.Heights, late: heap.Heights, arrival: int, cut: int, family: Family) -> None:
    most = sum(height << column for column, height in [*enumerate(heights), *enumerate(late)])
    width = max(1, most.bit_length() - cut)
    dut, rng = Sum(heights, late, arrival, width, family), random.Random(7)
    assert heap.plan(heights, family, width, late, arrival).width <= width

    async def bench(ctx: SimulatorContext) -> None:
        for turn in range(60):
            value = (0, (1 << len(dut.bits)) - 1)[turn] if turn < 2 else rng.getrandbits(len(dut.bits))
            ctx.set(dut.bits, value)
            there = [value >> place & 1 for place in range(len(dut.bits))]
            expected = 0
            for column, height in [*enumerate(heights), *enumerate(late)]:
                expected += sum(there.pop() for _ in range(height)) << column
            assert ctx.get(dut.total) == expected % (1 << width)

    simulator = Simulator(dut)
    simulator.add_testbench(bench)
    simulator.run()


class Core(Elaboratable):
    """Lanes beside the sum of products that they stand for: `differs` where they are not equal.

    Registers are wires, so that what is compared is a function of the elements and the stored weights.
    """

    def __init__(self, lanes: Lanes, x: Type, weights: range | tuple[int, ...], count: int, family: Family) -> None:
        self.lanes, self.x, self.weights, self.count, self.family = lanes, x, weights, count, family
        self.elements, self.codes, self.differs = Signal(count * x.width), Signal(count * 16), Signal()
        self.ports = {name: (getattr(self, name), None) for name in ("elements", "codes", "differs")}

    def elaborate(self, platform: object) -> Module:
        m, x, lanes, count = Module(), self.x, self.lanes, self.count
        columns = len(self.weights)
        source = Input("x", (), Type((count,), x.lo, x.hi))
        weight = np.full(
            (count, columns, count), self.weights[0]
        )  # the lane of each row with each weight, others the first
        for lane in range(count):
            weight[lane, :, lane] = self.weights
        node = Dense.of("dense", source, weight.reshape(-1, count))
        choices = lanes.codes(node)[:columns, 0]
        bits = lanes.weight_bits(node)
        index = [self.codes.word_select(lane, 16) for lane in range(count)]
        values = [sum((code == n) * int(w) for n, w in enumerate(self.weights)) for code in index]
        chosen = []
        for code in index:
            picked = Signal(bits)
            m.d.comb += picked.eq(sum((code == n) * int(c) for n, c in enumerate(choices)))
            chosen.append(picked)
        # As `stored` does it, on Values: it is linear, so a matrix of which lanes it adds up says all.
        eye = np.eye(count, dtype=np.int64)[np.newaxis, :, np.newaxis]
        unit = lanes.stored(node, x, eye, 1, self.family)[0, :, 0]
        stored = []
        for lane in range(count):
            value = Const(0, bits)
            for other in np.flatnonzero(unit[:, lane]):
                value = value ^ chosen[other]
            stored.append(value[:bits])
        elements = [self.elements.word_select(lane, x.width) for lane in range(count)]

        ((total, carry),) = lanes.sums(node, x, self.family, [elements], [stored], Wires(m))
        exact = Signal(40)
        numbers = [element.as_signed() if x.signed else element for element in elements]
        m.d.comb += exact.eq(sum(number * value for number, value in zip(numbers, values, strict=True)) << lanes.shift)
        beat, _ = lanes.excess_of_beat(node, x, count)
        base, *_ = excesses = lanes.excess(node, x, count)
        more = (excesses - base).reshape(count, columns)  # of each lane's weights over the first
        excess = int(base) + sum(
            sum((code == n) * int(e) for n, e in enumerate(row)) for code, row in zip(index, more, strict=True)
        )
        width = node.type.width + lanes.shift
        found = total + (0 if carry is None else carry)
        m.d.comb += self.differs.eq((found - exact - excess - beat)[:width] != 0)
        for code in index:  # only codes that there are
            with m.If(code >= columns):
                m.d.comb += self.differs.eq(0)
        return m


CORES = [
    ("popcount of 8", SignLanes(), Type((1,), 0, 1), (-1, 1), 8),
    ("signs of 3 bits", SignLanes(), Type((1,), -4, 3), (-1, 1), 4),
    ("ternary of 2 bits", MaskLanes(), Type((1,), 0, 3), (-1, 0, 1), 4),
    ("ternary of a bit", MaskLanes(), Type((1,), 0, 1), (-1, 0, 1), 6),
    ("digits, 2 x 3 bits", DigitLanes(), Type((1,), 0, 3), range(-4, 4), 3),
    ("digits, 2 x 2 bits, signed", DigitLanes(), Type((1,), -2, 1), range(-2, 2), 4),
    ("signs of 2 bits in pairs", SignPairs(), Type((1,), 0, 3), (-1, 1), 5),
    ("signs of 3 bits in pairs, signed", SignPairs(), Type((1,), -4, 3), (-1, 1), 4),
    ("digits in pairs, 2 x 3 bits", MaskPairs(), Type((1,), 0, 3), range(-4, 4), 3),
    ("digits in pairs, 2 bits x 5, unsigned", MaskPairs(), Type((1,), -2, 1), range(0, 6), 3),
    ("shifts of 3-bit codes", ShiftLanes(), Type((1,), 0, 3), (-4, -2, -1, 0, 1, 2, 4), 2),
    ("sums of two shifts", ShiftLanes(), Type((1,), -2, 1), (-5, 0, 3, 6), 2),
]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["ecp5", "xc7"])
@pytest.mark.parametrize(
    ("lanes", "x", "weights", "count"), [core[1:] for core in CORES], ids=[core[0] for core in CORES]
)
def test_a_core_is_its_sum_of_products(
    lanes: Lanes, x: Type, weights: tuple[int, ...], count: int, family: Family, tmp_path: Path
) -> None:
    """Proved by SAT for all elements and all weights: the popcount, shift and multiply cores."""
    core = Core(lanes, x, weights, count, family)
    (tmp_path / "in.il").write_text(convert(core, "core", core.ports))
    script = "read_rtlil in.il\nprep -top core -flatten\nsat -prove differs 0 -verify core\n"
    yosys.run(script, tmp_path)


def test_a_proof_of_a_wrong_core_fails(tmp_path: Path) -> None:
    class Wrong(SignLanes):
        def at_zero(self, node: Dense, x: Type, codes: np.ndarray) -> np.ndarray:
            return super().at_zero(node, x, codes) + (codes == 1)

    core = Core(Wrong(), Type((1,), 0, 1), (-1, 1), 4, "ecp5")
    (tmp_path / "in.il").write_text(convert(core, "core", core.ports))
    with pytest.raises(Exception, match="proof did fail"):
        yosys.run("read_rtlil in.il\nprep -top core -flatten\nsat -prove differs 0 -verify core\n", tmp_path)
