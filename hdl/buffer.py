"""Memories that are written and read at once."""

from __future__ import annotations

from amaranth import Module, Value, unsigned
from amaranth.lib.memory import Memory, WritePort


def buffer(m: Module, name: str, width: int, depth: int, address: Value, enable: Value) -> tuple[WritePort, Value]:
    """A write port, and the word at `address`, one cycle after `enable`, kept until the next.

    What is read in the cycle in which it is written is undefined in hardware (see `hdl.emit`): the caller must never
    use it, nor what is there before the first `enable`.
    """
    m.submodules[name] = memory = Memory(shape=unsigned(width), depth=depth, init=[], attrs={"no_rw_check": 1})
    read = memory.read_port()
    m.d.comb += [read.addr.eq(address), read.en.eq(enable)]
    return memory.write_port(), read.data
