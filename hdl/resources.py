"""What memories take on each family, as Yosys maps them.

Block RAMs are exact: Yosys weighs the blocks that a memory needs against its bits in logic, by the costs in its memory
libraries, and so do we. A LUT here is a LUT's site, and LUT RAM takes some too; LUTs of logic are fits to synthesis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from lutwright.frontend.device import Family
from lutwright.frontend.ir import Array

MUX = 0.5  # Yosys' cost of a data bit of every further row of blocks, and of every one's write enable


@dataclass(frozen=True)
class Usage:
    """Resources of a part of a component."""

    luts: float = 0
    ffs: float = 0
    brams: int = 0
    dsps: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.luts + other.luts, self.ffs + other.ffs, self.brams + other.brams, self.dsps + other.dsps)


@dataclass(frozen=True)
class Kind:
    """A kind of memory: its cost, of which `scaled` counts by the bits used, and its rows at each width.

    `grain`: bits that a write enable is for. Those of rows that lie side by side in a cell have enables of their own.
    `halves`: of a device's block that a cell takes.
    """

    cost: float
    rows: dict[int, int]
    scaled: float = 0
    grain: int = 64
    halves: int = 2

    def cheapest(self, depth: int, width: int, written: bool) -> tuple[float, int, int]:
        """Cost, cells and rows of cells of a memory with one read port, at the width that suits it best."""
        found = []
        for lanes, rows in self.rows.items():
            deep = -(-depth // rows)
            grain = min(self.grain, lanes) if written else 1
            cells = -(-deep * -(-width // grain) * grain // lanes)
            cost = (self.cost - self.scaled) * cells + self.scaled * deep * width / lanes
            found.append((cost + MUX * (deep - 1) * width + MUX * deep * (written and deep > 1), cells, deep))
        return min(found)


def _rows(bits: int, widths: Iterable[int]) -> dict[int, int]:
    return {width: bits >> index for index, width in enumerate(widths)}


_BLOCK_16K = Kind(128, _rows(16384, (1, 2, 4, 9, 18, 36)), grain=9)
BLOCKS: dict[Family, tuple[Kind, ...]] = {
    "ice40": (Kind(64, _rows(2048, (2, 4, 8, 16)), grain=1),),
    "ecp5": (_BLOCK_16K,),
    "gowin": (_BLOCK_16K,),
    "xc7": (
        Kind(129, _rows(16384, (1, 2, 4, 9, 18, 36)), grain=9, halves=1),
        Kind(257, _rows(32768, (1, 2, 4, 9, 18, 36, 72)), grain=9),
    ),
}
LUT_RAMS: dict[Family, tuple[Kind, ...]] = {
    "ice40": (),
    "ecp5": (Kind(4, {4: 16}),),
    "gowin": (Kind(4, {4: 16}, scaled=4),),
    "xc7": (Kind(8, {6: 32, 3: 64}, scaled=7), Kind(8, {1: 128}, scaled=8)),
}
LUT_INPUTS: dict[Family, int] = {"ice40": 4, "ecp5": 4, "gowin": 4, "xc7": 6}
LUT_RAM_SITES: dict[Family, int] = {"ice40": 0, "ecp5": 4, "gowin": 8, "xc7": 4}  # of a cell
READ_PORT = 2.0
SELECT = 0.9  # LUTs that select a bit out of every further row of LUT RAM
DECODE = 1.4  # LUTs for the write enable of a row of LUT RAM, or of a word of flip-flops


def selected(deep: int, width: int, family: Family) -> Usage:
    """What reads a word out of `deep` rows of memory cells: multiplexers, and registers of the row's address."""
    luts = 2 if LUT_INPUTS[family] == 4 else 1  # of a multiplexer of four
    return Usage(-(-luts * (deep - 1) // 3) * width, (deep - 1).bit_length())


def in_blocks(depth: int, width: int, family: Family) -> Usage | None:
    """A table of `width` bits that are not the same in all words, if it is in block RAMs; None if in LUTs."""
    kinds = ((*kind.cheapest(depth, width, written=False), kind.halves) for kind in BLOCKS[family])
    cost, cells, deep, halves = min(kinds)
    if cost + READ_PORT >= depth * width // (1 << LUT_INPUTS[family]):
        return None
    return Usage(brams=-(-cells * halves // 2)) + selected(deep, width, family)


def table(depth: int, varying: int, columns: Callable[[], int], family: Family) -> Usage:
    """A table read into a register, of whose bits some vary, and so many different ones (`distinct`) vary."""
    held = in_blocks(depth, varying, family)
    return in_luts(depth, columns(), family) if held is None else held


def in_luts(depth: int, columns: int, family: Family) -> Usage:
    """A table of so many different random columns in LUTs, read into a register: of many, some share what they select.

    On xc7 multiplexers beside the LUTs choose between them.
    """
    in_lut = 1 << LUT_INPUTS[family]
    each: float = -(-depth // in_lut)
    if in_lut == 16 and depth > in_lut:
        each = (0.145 * depth - 0.6) * max(0.5, 1 - 0.08 * math.log2(max(columns, 32) / 32))
    return Usage(columns * each, columns)


def distinct(bits: Array) -> int:
    """How many columns of [words, columns] bits vary, and are not equal to another or to its complement."""
    columns = np.ascontiguousarray(np.packbits(bits ^ bits[:1], axis=0).T)
    varying = columns[columns.any(axis=1)]
    return len(np.unique(varying.view(f"V{columns.shape[1]}")))


def ram(depth: int, width: int, family: Family, blocks: bool = True) -> Usage:
    """A memory with a write port and a read port, read into a register that needs no first value (`hdl.buffer`).

    `blocks`: whether nothing comes between, so that it can be in block RAMs.
    """
    luts = min(depth - 1, depth * 0.7) * width + depth * DECODE * (depth > 1)
    options: list[tuple[float, Usage]] = [(depth * width, Usage(luts, (depth + 1) * width))]
    for kind in BLOCKS[family] if blocks else ():
        cost, cells, deep = kind.cheapest(depth, width, written=True)
        usage = Usage(deep * DECODE * (deep > 1), brams=-(-cells * kind.halves // 2)) + selected(deep, width, family)
        options.append((cost + READ_PORT, usage))
    for kind in LUT_RAMS[family]:
        cost, cells, deep = kind.cheapest(depth, width, written=True)
        luts = LUT_RAM_SITES[family] * cells + (deep - 1) * width * SELECT + deep * DECODE * (deep > 1)
        options.append((cost + READ_PORT, Usage(luts, width)))
    return min(options, key=lambda option: option[0])[1]
