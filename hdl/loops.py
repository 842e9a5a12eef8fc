"""Counters of nested loops, and how what depends on them moves."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth import Cat, Const, Module, Mux, Signal, Value, signed


class Loops:
    """Nested loops: a counter each, the innermost first, that move on a `step`."""

    def __init__(self, m: Module, sizes: Sequence[int], step: Value) -> None:
        self.sizes = sizes
        self.last: list[Value] = []
        for index, size in enumerate(sizes):
            count, last = Signal(range(size), name=f"count{index}"), Signal(init=size == 1, name=f"last{index}")
            with m.If(step & self._all(self.last)):
                m.d.sync += [count.eq(Mux(last, 0, count + 1)), last.eq(Mux(last, size == 1, count == size - 2))]
            self.last.append(last)
        self.done = self._all(self.last)

    @staticmethod
    def _all(bits: Sequence[Value]) -> Value:
        return Cat(*bits).all()

    def chosen(self, moves: Sequence[int], step: Value | None = None, otherwise: int = 0) -> Value:
        """The move of this step, of one for all or one for each loop; `otherwise` without a step."""
        if len(moves) == 1:
            return _constant(moves[0])
        chosen: Value = _constant(moves[-1])
        for last, move in zip(reversed(self.last), reversed(moves[:-1]), strict=True):
            chosen = Mux(last, chosen, _constant(move))
        return chosen if step is None else Mux(step, chosen, _constant(otherwise))


def moves(sizes: Sequence[int], steps: Sequence[int], frame: int) -> list[int]:
    """How a sum of `steps`, one for each pass of each loop, moves when each loop goes on, and when all begin again.

    The innermost is first. `frame`: what the next frame's sums lie beyond this one's.
    """
    found, back = list[int](), 0
    for size, step in zip(sizes, steps, strict=True):
        found.append(step - back if size > 1 else 0)
        back += (size - 1) * step
    return [*found, frame - back]


def _constant(value: int) -> Const:
    return Const(value, signed(value.bit_length() + 1))
