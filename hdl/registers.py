"""Registers of a pipeline that advances as one."""

from __future__ import annotations

from amaranth import Module, Signal, Value


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
