"""Bits as numbers, and balanced adder trees, bound to Signals level by level, with registers where the caller asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from amaranth import Cat, Const, Module, Shape, Signal, Value, unsigned

LEVELS_PER_REGISTER = 2

Register = Callable[[Value], Value]


def tree_levels(terms: int, one_bit: bool) -> Iterator[tuple[int, int]]:
    """How many terms each level of `adder_tree` adds up, and how many at a time: one-bit unsigned three, others two."""
    group = 3 if one_bit else 2
    while terms > 1:
        yield terms, group
        terms, group = -(-terms // group), 2


def register_levels(levels: int, first: int) -> set[int]:
    """After which levels of `adder_tree` registers stand."""
    return {*range(first, levels, LEVELS_PER_REGISTER), levels} - {0}


def tree_depth(terms: int, one_bit: bool, first: int = LEVELS_PER_REGISTER) -> int:
    """Registers on the way through `adder_tree`."""
    return len(register_levels(len(list(tree_levels(terms, one_bit))), first))


@dataclass(frozen=True)
class Tree:
    """An adder tree's full adders of one-bit terms, bits of other adders, register bits, and the sum's width."""

    full_adders: int
    adder_bits: int
    register_bits: int
    width: int


def tree(widths: Sequence[int], one_bit: bool, first: int) -> Tree:
    """The counts of `adder_tree` for terms of these widths."""
    full_adders = adder_bits = register_bits = 0
    level = list(widths)
    levels = list(tree_levels(len(level), one_bit))
    registers = register_levels(len(levels), first)
    for done, (count, group) in enumerate(levels, 1):
        sums = []
        for start in range(0, count, group):
            terms = level[start : start + group]
            sums.append(max(terms) + (len(terms) > 1))
            full_adders += len(terms) == 3
            adder_bits += sums[-1] * (len(terms) == 2)
        level = sums
        register_bits += sum(level) * (done in registers)
    return Tree(full_adders, adder_bits, register_bits, level[0])


def adder_tree(m: Module, terms: Sequence[Value], register: Register, first: int = LEVELS_PER_REGISTER) -> Value:
    """The exact sum of `terms`; one term stays as it is.

    One-bit unsigned terms are first added three by three, which is a full adder each. Registers stand after level
    `first`, then after every LEVELS_PER_REGISTER levels, and at the end. Latency: `tree_depth` cycles.
    """
    level = list(terms)
    levels = list(tree_levels(len(terms), one_bit=all(term.shape() == unsigned(1) for term in terms)))
    registers = register_levels(len(levels), first)
    for done, (count, group) in enumerate(levels, 1):
        sums = [_sum(m, level[start : start + group]) for start in range(0, count, group)]
        level = [register(value) for value in sums] if done in registers else sums
    return level[0]


def _sum(m: Module, terms: Sequence[Value]) -> Value:
    if len(terms) == 1:
        return terms[0]
    total = terms[0] + terms[1] if len(terms) == 2 else (terms[0] + terms[1] + terms[2])[:2]
    signal = Signal.like(total, name="sum")
    m.d.comb += signal.eq(total)
    return signal


def carried_sum(one: Value, other: Value, carry: Value) -> Value:
    """The bits of one + other + carry, in one chain of carries: a column below the lowest carries the bit in."""
    return (typed(Cat(Const(1, 1), one), one.shape()) + typed(Cat(carry, other), other.shape()))[1:]


def typed(value: Value, shape: Shape) -> Value:
    """Bits as a number of the shape's sign."""
    return value.as_signed() if shape.signed else value


def signed_digits(factor: int) -> int:
    """Non-zero digits of the signed-digit form with the fewest, at least 1."""
    return max(1, (abs(factor) ^ 3 * abs(factor)).bit_count())
