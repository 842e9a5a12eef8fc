"""Constant tables: memories that are only read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import reduce
from operator import or_

import numpy as np
from amaranth import Const, Module, Value, unsigned
from amaranth.lib.memory import Memory

from lutwright.frontend.device import Device
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.resources import BLOCKS, distinct, in_blocks, table


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


def varying(words: Sequence[int]) -> int:
    """The bits that are not equal in all words, which alone take room."""
    return reduce(or_, (word ^ words[0] for word in words))


def columns(words: Sequence[int]) -> int:
    """How many of those bits are not equal to another or to its complement in all words."""
    width = max(1, *(word.bit_length() for word in words))
    digits = "".join(format(word, f"0{width}b") for word in words)
    return distinct(np.frombuffer(digits.encode(), np.uint8).reshape(-1, width) & 1)


def may_be_blocks(words: Sequence[int]) -> bool:
    """Whether a `rom` of the words is in block RAMs on some device: late outputs, which a register should follow."""
    return may_be_in_blocks(len(words), varying(words).bit_count())


def may_be_in_blocks(depth: int, width: int) -> bool:
    """The same of so many words, whose bits vary."""
    return width > 0 and any(in_blocks(depth, width, family) for family in BLOCKS)


def rom_cost(words: Sequence[int], device: Device) -> Cost:
    """Resources of a `rom`: bits equal in all words cost nothing, in LUTs neither do bits equal to others.

    Block RAMs are exact; LUTs are those of random words.
    """
    free = varying(words)
    if not free:
        return Cost(0, 0, 0, 0, 0)
    usage = table(len(words), free.bit_count(), lambda: columns(words), device.family)
    return Cost(round(usage.luts), round(usage.ffs), usage.brams, 0, 0)
