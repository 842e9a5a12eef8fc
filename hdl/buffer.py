"""Memories that are written and read at once."""

from __future__ import annotations

from amaranth import Module, Signal, Value, unsigned
from amaranth.lib.memory import Memory, WritePort


def buffer(m: Module, name: str, width: int, depth: int, address: Value, enable: Value) -> tuple[WritePort, Signal]:
    """A write port, and the word at `address`, one cycle after `enable`, kept until the next.

    What is read in the cycle in which it is written is undefined in hardware: the caller must never use it.
    """
    m.submodules[name] = memory = Memory(shape=unsigned(width), depth=depth, init=[], attrs={"no_rw_check": 1})
    # Synthesis makes the register part of the memory. Of a port that has one already it takes that such words must be
    # the old ones, whatever the attribute says, and spends two flip-flops a bit on it.
    read, word = memory.read_port(domain="comb"), Signal(width, name=f"{name}_word", reset_less=True)
    m.d.comb += read.addr.eq(address)
    with m.If(enable):
        m.d.sync += word.eq(read.data)
    return memory.write_port(), word
