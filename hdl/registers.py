"""Registers of a pipeline that advances as one."""

from __future__ import annotations

from amaranth import Module, Signal, Value

WIDE = 500  # registers of a component from which on `ready` should not have to reach them all
WIDE_TO_SLICE = 10  # how many times the bits of a register slice they have to be for that


def wide(registers: float, kept: int) -> bool:
    """Whether `ready` should not reach so many registers, but a register slice behind them that keeps so many bits."""
    return registers > max(WIDE, WIDE_TO_SLICE * kept)


class Registers:
    """Makes registers that take their values at the end of a cycle in which `advance` is high."""

    def __init__(self, m: Module, advance: Value) -> None:
        self.m, self.advance = m, advance

    def __call__(self, value: Value, name: str, data: bool = True) -> Signal:
        """`value` as it was; `data`: what no reset needs to clear."""
        register = Signal.like(value, name=name, reset_less=data)
        with self.m.If(self.advance):
            self.m.d.sync += register.eq(value)
        return register
