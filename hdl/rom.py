"""Constant tables: memories that are only read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from amaranth import Const, Module, Value, unsigned
from amaranth.lib.memory import Memory


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
