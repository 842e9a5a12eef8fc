"""Adder trees add, in as many cycles and with as many registers as they say."""

from __future__ import annotations

import random

import pytest
from amaranth import Module, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext

from lutwright.hdl.arith import adder_tree, tree_depth


class Tree(wiring.Component):
    """The sum of `count` terms."""

    def __init__(self, shape: Shape, count: int, first: int) -> None:
        self.count, self.shape, self.first = count, shape, first
        super().__init__({"x": wiring.In(shape.width * count), "y": wiring.Out(signed(shape.width + 12))})

    def elaborate(self, platform: object) -> Module:
        m = Module()

        def register(value: Value) -> Signal:
            signal = Signal.like(value, name="register")
            m.d.sync += signal.eq(value)
            return signal

        words = [self.x.word_select(index, self.shape.width) for index in range(self.count)]
        terms = [word.as_signed() if self.shape.signed else word for word in words]
        register(self.x)  # one term needs no register, but the simulator a clock
        m.d.comb += self.y.eq(adder_tree(m, terms, register, self.first))
        return m


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 22, 64, 65])
@pytest.mark.parametrize("shape", [unsigned(1), signed(1), unsigned(3), signed(5)])
def test_adder_tree(shape: Shape, count: int, first: int) -> None:
    dut, rng = Tree(shape, count, first), random.Random(count)
    ends = [-(1 << shape.width - 1), (1 << shape.width - 1) - 1] if shape.signed else [0, (1 << shape.width) - 1]
    inputs = [[end] * count for end in ends] + [[rng.randint(*ends) for _ in range(count)] for _ in range(20)]
    depth = tree_depth(count, shape == unsigned(1), first)
    mask = (1 << shape.width) - 1

    async def bench(ctx: SimulatorContext) -> None:
        seen = []
        for cycle in range(len(inputs) + depth):
            terms = inputs[min(cycle, len(inputs) - 1)]
            ctx.set(dut.x, sum((term & mask) << (index * shape.width) for index, term in enumerate(terms)))
            seen.append(ctx.get(dut.y))
            await ctx.tick()
        assert seen[depth:] == [sum(terms) for terms in inputs]

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
