"""ArgMax nodes in hardware."""

from __future__ import annotations

from amaranth import Const, Module, Mux, Signal

from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import ArgMax
from lutwright.hdl.beats import Beats
from lutwright.hdl.compare import exceeds
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.tokens import Stages, pipeline
from lutwright.hdl.unit import Unit


class ArgMaxUnit(Unit):
    """y = the channel of the largest x[c], of equal ones the lowest: one beat of one lane for each vector.

    The lanes of a beat meet in a pipelined tree of compares, its winner meets the best of the vector's earlier beats.
    Ports: i: Beats(x, lanes), o: Beats(node.type, 1). Latency: ceil(log2(lanes)) + 1 cycles after the vector's last
    beat. Throughput: one beat in a cycle.
    """

    def __init__(self, node: ArgMax, x: Type, lanes: int) -> None:
        super().__init__(Beats(x, lanes), Beats(node.type, 1))
        self.used = min(lanes, x.channels)
        self.depth = (self.used - 1).bit_length() + 1

    def control(self) -> Stages:
        return pipeline(self.depth, every=self.i_beats.per_vector)

    def cost(self, device: Device) -> Cost:
        """Predicted resources of ArgMaxUnit; a compare is one LUT a bit, and so is a choice."""
        x = self.i_beats.type
        pairs, index = self.used - 1, self.o_beats.type.width
        folds = (self.i_beats.per_vector - 1).bit_length()
        pads = self.i_beats.per_vector * self.used - x.channels
        luts = pairs * (5 * x.width // 2 + 2) + x.width + 2 * index + 2 * folds + 8 + pads * x.width
        ffs = (pairs + 1) * (x.width + 1) + index + (self.depth + 1) * (folds + 2)
        return Cost(luts, ffs, 0, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        folds, x, shape = self.i_beats.per_vector, self.i_beats.type, self.i_beats.shape
        advance, fold, tail = Signal(), Signal(range(folds)), Signal()
        m.d.comb += tail.eq(fold == folds - 1)
        m.d.comb += [advance.eq(~self.o.valid | self.o.ready), self.i.ready.eq(advance)]
        with m.If(self.i.valid & self.i.ready):
            m.d.sync += fold.eq(Mux(tail, 0, fold + 1))

        # Lanes past the last channel take the lowest value: they lose, since at a tie the lower channel wins.
        pads = folds * self.used - x.channels
        best = [(self.i.payload.data[lane], Const(0, 0)) for lane in range(self.used)]
        for lane in range(self.used - pads, self.used):
            best[lane] = (Mux(tail, Const(x.lo, shape), best[lane][0]), Const(0, 0))
        valid, last, position = self.i.valid, self.i.payload.last, fold
        for level in range(1, self.depth):
            winners = []
            for pair in range(0, len(best), 2):
                left, right = best[pair], best[pair + 1] if pair + 1 < len(best) else best[pair]
                value = Signal(shape, name=f"value{level}_{pair}", reset_less=True)
                index = Signal(level, name=f"index{level}_{pair}", reset_less=True)
                wins = right[0] > left[0] if right is not left else Const(0)
                with m.If(advance):
                    m.d.sync += value.eq(Mux(wins, right[0], left[0]))
                    m.d.sync += index.eq(Mux(wins, right[1] | (1 << (level - 1)), left[1]))
                winners.append((value, index))
            best = winners
            before = valid, last, position
            valid, last, position = Signal(name=f"valid{level}"), Signal(name=f"last{level}"), Signal.like(fold)
            with m.If(advance):
                m.d.sync += [now.eq(then) for now, then in zip((valid, last, position), before, strict=True)]

        ((value, lane),) = best
        complement = Signal(shape.width, reset_less=True)  # of the largest so far
        channel = self.o.payload.data[0]
        with m.If(advance):
            m.d.sync += [self.o.valid.eq(valid & (position == folds - 1)), self.o.payload.last.eq(last)]
            with m.If(valid & ((position == 0) | exceeds(value, complement))):
                m.d.sync += [complement.eq(~value), channel.eq(position * self.used + lane)]
        return m
