"""Adder trees: balanced, bound to Signals level by level, with registers where the caller asks for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from amaranth import Module, Signal, Value

Register = Callable[[Value], Value]


def _bound(m: Module, value: Value) -> Signal:
    signal = Signal.like(value, name="sum")
    m.d.comb += signal.eq(value)
    return signal


def tree_depth(terms: int, bits: int, every: int) -> int:
    """Registers on the way through `adder_tree`."""
    levels, first = 0, bits == 1
    while terms > 1:
        terms = -(-terms // (3 if first else 2))
        levels, first = levels + 1, False
    return -(-levels // every)


def adder_tree(m: Module, terms: Sequence[Value], register: Register, every: int) -> Value:
    """The exact sum of `terms`, all of one shape, with a register after every `every` levels and at the end.

    One-bit terms are first added three by three, which is a full adder each. Latency: `tree_depth` cycles.
    """
    level = list(terms)
    width, signed = level[0].shape().width, level[0].shape().signed
    group = 3 if width == 1 and not signed else 2
    done = 0
    while len(level) > 1:
        sums = []
        for start in range(0, len(level), group):
            first, *others = level[start : start + group]
            for other in others:
                first = first + other
            sums.append(_bound(m, first[:2] if group == 3 and len(others) == 2 else first) if others else first)
        level, group, done = sums, 2, done + 1
        if done % every == 0:
            level = [register(value) for value in level]
    return level[0] if done % every == 0 else register(level[0])
