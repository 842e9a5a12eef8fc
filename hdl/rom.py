"""Constant tables: memories that are only read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from operator import or_

from amaranth import Const, Module, Value, unsigned
from amaranth.lib.memory import Memory

from lutwright.frontend.device import Device, Family
from lutwright.hdl.engines.base import Cost


def concatenated(values: Iterable[int], width: int) -> int:
    """One integer with `width` bits for each of `values`, the first lowest."""
    return sum((int(value) & ((1 << width) - 1)) << (index * width) for index, value in enumerate(values))


def rom(m: Module, name: str, words: Sequence[int], width: int, address: Value, enable: Value) -> Value:
    """`words[address]`, one cycle after `enable`, kept until the next; a constant if there is one word only."""
    if len(words) == 1:
        return Const(words[0], width)
    m.submodules[name] = memory = Memory(shape=unsigned(width), depth=len(words), init=words)
    port = memory.read_port()
    m.d.comb += [port.addr.eq(address), port.en.eq(enable)]
    return port.data


@dataclass(frozen=True)
class Prices:
    """What Yosys's memory mapping compares, in its own unit: `bit` in LUTs and `block` for a block RAM.

    shapes: the (depth, width) that a block RAM can have. per_lut: the words of one bit that one LUT holds.
    """

    bit: float
    block: int
    shapes: tuple[tuple[int, int], ...]
    per_lut: int


NINES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))
PRICES: dict[Family, Prices] = {
    "ice40": Prices(1 / 16, 64, ((256, 16), (512, 8), (1024, 4), (2048, 2)), 16),
    "ecp5": Prices(1 / 16, 128, NINES, 16),
    "gowin": Prices(1 / 16, 128, NINES, 16),
    "xc7": Prices(1 / 64, 129, NINES, 64),  # halves of its blocks
}


@cache
def blocks(depth: int, width: int, family: Family) -> int:
    """The fewest blocks that hold `depth` words of `width` bits; each column of them may have another shape."""
    columns = [(bits, -(-depth // rows)) for rows, bits in PRICES[family].shapes]
    fewest = [0]
    for covered in range(1, width + 1):
        fewest.append(min(fewest[max(0, covered - bits)] + count for bits, count in columns))
    return fewest[width]


def brams_of(depth: int, width: int, device: Device) -> int:
    """Block RAMs of the device that hold `depth` words of `width` bits."""
    count = blocks(depth, width, device.family)
    return -(-count // 2) if device.family == "xc7" else count


def in_blocks(depth: int, width: int, device: Device) -> bool:
    """Whether Yosys puts the words of a `rom` in block RAMs: where they cost less than their bits in LUTs."""
    prices = PRICES[device.family]
    return depth * width * prices.bit > blocks(depth, width, device.family) * prices.block


def varying(words: Sequence[int]) -> int:
    """The bits that are not equal in all words, which alone take room."""
    return reduce(or_, (word ^ words[0] for word in words))


def columns(words: Sequence[int]) -> int:
    """How many of those bits are not equal to another or to its complement in all words."""
    width = varying(words).bit_length()
    different = set(zip(*(format(word ^ words[0], f"0{width}b") for word in words), strict=True)) if width else set()
    return len(different - {("0",) * len(words)})


def may_be_blocks(words: Sequence[int]) -> bool:
    """Whether a `rom` of the words is in block RAMs on some device: late outputs, which a register should follow."""
    bits = varying(words).bit_count()
    costs = ((prices, blocks(len(words), bits, family)) for family, prices in PRICES.items())
    return any(len(words) * bits * prices.bit > count * prices.block for prices, count in costs)


def may_be_in_blocks(depth: int, width: int) -> bool:
    """Whether so many bits can be too many for LUTs on any device."""
    return depth * width > min(prices.block / prices.bit for prices in PRICES.values())


def rom_cost(words: Sequence[int], device: Device) -> Cost:
    """Resources of a `rom`: bits equal in all words cost nothing, in LUTs neither do bits equal to others.

    Block RAMs are exact; LUTs are about those of random words, 7 of them a LUT and bit on LUT4 devices.
    """
    depth, free = len(words), varying(words)
    if not free:
        return Cost(0, 0, 0, 0, 0)
    if in_blocks(depth, free.bit_count(), device):
        return Cost(0, 0, brams_of(depth, free.bit_count(), device), 0, 0)
    distinct = columns(words)
    per_lut = PRICES[device.family].per_lut
    luts = 1 if depth <= per_lut else -(-depth // per_lut) if device.family == "xc7" else -(-depth // 7)
    return Cost(luts * distinct, distinct, 0, 0, 0)
