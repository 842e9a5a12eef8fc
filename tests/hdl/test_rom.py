"""Read-only memories: their words, and where synthesis puts them."""

from __future__ import annotations

import random
import re
from pathlib import Path

import pytest
from amaranth import Const, Module, Signal
from amaranth.back import rtlil
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext

from lutwright.frontend.device import device
from lutwright.hdl.rom import concatenated, rom, rom_cost

SYNTHESIS = {
    "ice40": ("synth_ice40", r"SB_RAM40_4K"),
    "ecp5": ("synth_ecp5 -nowidelut", r"DP16KD|PDPW16KD"),
    "gowin": ("synth_gowin -nowidelut", r"p?ROMX?9?|SPX?9?|SDPX?9?B|DPX?9?B|pROMX9"),
    "xc7": ("synth_xilinx -family xc7", r"RAMB(18|36)E1"),
}


class Lookup(wiring.Component):
    """A rom with its address and data as ports."""

    def __init__(self, words: list[int], width: int) -> None:
        self.words, self.width = words, width
        super().__init__({"address": wiring.In(max(1, (len(words) - 1).bit_length())), "data": wiring.Out(width)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.data.eq(rom(m, "words", self.words, self.width, self.address, Const(1)))
        # What keeps the clock there if the rom is a constant.
        unused = Signal()
        m.d.sync += unused.eq(~unused)
        return m


def lookup(depth: int, width: int) -> Lookup:
    rng = random.Random(depth * width)
    return Lookup([rng.getrandbits(width) for _ in range(depth)], width)


@pytest.mark.parametrize("depth", [1, 2, 7, 64])
def test_words(depth: int) -> None:
    dut = lookup(depth, 12)

    async def bench(ctx: SimulatorContext) -> None:
        for index, word in enumerate(dut.words):
            ctx.set(dut.address, index)
            await ctx.tick()
            assert ctx.get(dut.data) == word

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()


def test_concatenated() -> None:
    assert concatenated([1, -1, 2], 3) == 0b010_111_001


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ice40-up5k", "ecp5-25k", "gw1n-9", "xc7"])
@pytest.mark.parametrize(
    ("depth", "width", "still"),
    [
        (5000, 32, 0),
        (90, 46, 0),
        (86, 36, 0),
        (64, 40, 0),
        (200, 12, 0),
        (256, 4, 0),
        (1000, 9, 0),
        (600, 33, 0),
        (512, 18, 2),
    ],
)
def test_block_rams_are_those_of_synthesis(name: str, depth: int, width: int, still: int, tmp_path: Path) -> None:
    """`still`: how many bits are equal in all words."""
    from pyosys import libyosys as yosys

    command, cells = SYNTHESIS[device(name).family]
    source, statistics = tmp_path / "top.il", tmp_path / "statistics.txt"
    dut = lookup(depth, width)
    if still:
        dut.words = [word & ~0b1100 | 0b0100 for word in dut.words]
    source.write_text(rtlil.convert(dut, name="top"))
    design = yosys.Design()
    for step in (f"read_rtlil {source}", f"{command} -top top", f"tee -o {statistics} stat"):
        yosys.run_pass(step, design)
    found = {cell: int(count) for count, cell in re.findall(r"^ +(\d+) +(\w+)$", statistics.read_text(), re.MULTILINE)}
    halves = {"RAMB18E1": 1, "RAMB36E1": 2} if name == "xc7" else {}
    blocks = sum(count * halves.get(cell, 1) for cell, count in found.items() if re.fullmatch(cells, cell))
    assert (-(-blocks // 2) if halves else blocks) == rom_cost(dut.words, device(name)).brams
