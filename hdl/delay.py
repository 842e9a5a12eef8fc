"""Words as they were some beats before."""

from __future__ import annotations

from amaranth import Cat, Module, Mux, Signal, Value

from lutwright.frontend.device import Family
from lutwright.hdl.buffer import buffer
from lutwright.hdl.intake import Intake
from lutwright.hdl.resources import Usage, ram

IN_REGISTERS = 8  # beats from which on a memory holds them


def delayed(m: Module, name: str, at: Intake, word: Value, count: int, depth: int) -> list[Value]:
    """The words `depth`, 2 * `depth`, … `count` * `depth` beats before `word`, which is that of the beat at hand.

    They are there as long as the beat is at hand. One memory of `depth` words holds them all, or registers do.
    """
    width = len(word)
    if count == 0:
        return []
    if depth < IN_REGISTERS:
        held = [Signal(width, name=f"{name}{age}", reset_less=True) for age in range(count * depth)]
        with m.If(at.done):
            m.d.sync += [older.eq(newer) for older, newer in zip(held, [word, *held], strict=False)]
        return list(held[depth - 1 :: depth])
    # A beat's address is read as it comes to hand and written as it is done with: never at once with another's.
    following = Signal(range(depth), name=f"{name}_address")
    write, words = buffer(m, name, width * count, depth, following, at.enter)
    taps = [words.word_select(index, width) for index in range(count)]
    m.d.comb += write.en.eq(at.done)
    m.d.comb += write.data.eq(Cat(word, *taps[:-1]))
    with m.If(at.enter):
        m.d.sync += [write.addr.eq(following), following.eq(Mux(following == depth - 1, 0, following + 1))]
    return list(taps)


def delay_usage(width: int, count: int, depth: int, family: Family) -> Usage:
    """Resources of `delayed`."""
    if count == 0:
        return Usage()
    if depth < IN_REGISTERS:
        return Usage(0, width * count * depth)
    address = (depth - 1).bit_length()
    return ram(depth, width * count, family) + Usage(2 * address + 2, 2 * address)
