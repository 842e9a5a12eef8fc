"""Memories as in devices, which say nothing of what they hold at the start, nor of what is read while it is written."""

from __future__ import annotations

import random

from amaranth import Cat, Module, Mux, Shape, Signal
from amaranth.hdl import MemoryData, MemoryInstance
from amaranth.lib.memory import Memory


class Memories:
    """What elaborates memories in place of Amaranth: with random content, and the complement of a word being written.

    Content that is only read stays, and so does what a read port is transparent for.
    """

    def __init__(self, seed: int) -> None:
        self.choose = random.Random(seed)

    def get_memory(self, memory: Memory) -> Module:
        """The hook of Amaranth's Memory; it is given as the platform."""
        m, width = Module(), Shape.cast(memory.shape).width
        init = [self.choose.getrandbits(width) for _ in range(memory.depth)] if memory.write_ports else memory.init
        data = MemoryData(shape=memory.shape, depth=memory.depth, init=init)
        m.submodules.instance = instance = MemoryInstance(data=data, attrs=memory.attrs)
        numbers = {
            port: instance.write_port(domain=port.domain, addr=port.addr, data=port.data, en=port.en)
            for port in memory.write_ports
        }
        for port in memory.read_ports:
            word = Signal(width)
            transparent = tuple(numbers[other] for other in port.transparent_for)
            instance.read_port(domain=port.domain, addr=port.addr, data=word, en=port.en, transparent_for=transparent)
            met, others = Signal(reset_less=True), [other for other in numbers if other not in port.transparent_for]
            if port.domain != "comb":
                writes = Cat(other.en.any() & (other.addr == port.addr) for other in others)
                with m.If(port.en):
                    m.d[port.domain] += met.eq(writes.any())
            m.d.comb += port.data.eq(Mux(met, ~word, word))
        return m
