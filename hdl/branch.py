"""Where streams part and meet: Fork, and what takes a beat of each of several streams."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from amaranth import Cat, Const, Module, Mux, Shape, Signal, Value
from amaranth.lib.wiring import Flow, In, Out

from lutwright.errors import PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Type
from lutwright.frontend.nodes import Add, Concat, Multiply
from lutwright.hdl.arith import adder_tree, signed_digits, tree_depth, typed
from lutwright.hdl.beats import Beats
from lutwright.hdl.block_registers import FAMILIES
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.engines.packing import dsp_blocks
from lutwright.hdl.registers import Registers
from lutwright.hdl.rom import concatenated, rom, rom_cost
from lutwright.hdl.tokens import Stage, Stages, fork, join, pipeline, turns
from lutwright.hdl.unit import Unit


class Fork(Unit):
    """The same beats at `o0` … `o{count - 1}`, at each as soon as it takes them.

    Ports: i, o0, …: `beats`. Latency: 0 cycles. Throughput: one beat a cycle. A beat is taken at `i` when every output
    has taken it.
    """

    def __init__(self, beats: Beats, count: int) -> None:
        if count < 2:
            raise PlanError(f"a fork must have at least 2 outputs, not {count}")
        super().__init__(beats, beats)
        self.count = count

    @property
    def ports(self) -> dict[str, Flow]:
        return {"i": In(self.i_beats.signature)} | {
            f"o{index}": Out(self.o_beats.signature) for index in range(self.count)
        }

    @property
    def stage(self) -> Stage:
        """What it does to beats."""
        return fork(self.count)

    def cost(self, device: Device) -> Cost:
        """A register and two LUTs an output."""
        return Cost(3 * self.count, self.count, 0, 0, self.i_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        done, taken = Signal(self.count), Signal(self.count)
        for index in range(self.count):
            o = getattr(self, f"o{index}")
            m.d.comb += [o.valid.eq(self.i.valid & ~done[index]), o.payload.eq(self.i.payload)]
            m.d.comb += taken[index].eq(done[index] | o.ready)
        m.d.comb += self.i.ready.eq(taken.all())
        with m.If(self.i.valid):
            m.d.sync += done.eq(Mux(taken.all(), 0, taken))
        return m


class Joint(Unit):
    """What makes one stream of several. Ports: i0, i1, …: `inputs`; o: `o_beats`.

    Subclasses define `stage`, what it does to the beats of its inputs, and `control`, what follows.
    """

    def __init__(self, inputs: Sequence[Beats], o_beats: Beats) -> None:
        super().__init__(inputs[0], o_beats)
        self.inputs = tuple(inputs)

    @property
    def ports(self) -> dict[str, Flow]:
        taken = {f"i{index}": In(beats.signature) for index, beats in enumerate(self.inputs)}
        return taken | {"o": Out(self.o_beats.signature)}

    @property
    def stage(self) -> Stage:
        return join(len(self.inputs))

    @property
    def streams(self) -> list[Value]:
        return [getattr(self, f"i{index}") for index in range(len(self.inputs))]

    def together(self, m: Module) -> tuple[Signal, Signal]:
        """Whether all inputs have a beat, and the enable of a rigid pipeline that takes them."""
        there, advance = Signal(), Signal()
        m.d.comb += [there.eq(Cat(*(i.valid for i in self.streams)).all()), advance.eq(~self.o.valid | self.o.ready)]
        m.d.comb += [i.ready.eq(advance & there) for i in self.streams]
        return there, advance


class Elementwise(Joint):
    """y[..., c] = constant[c] + sum over i of factors[c, i] * x_i[..., c], or x_0 * x_1: as `node` has it.

    `lanes` elements a beat of every input and of the output. Throughput: one beat a cycle. Latency: `depth` cycles.
    """

    def __init__(self, node: Add | Multiply, inputs: Sequence[Type], lanes: int) -> None:
        super().__init__([Beats(x, lanes) for x in inputs], Beats(node.type, lanes))
        self.node, self.lanes = node, lanes
        self.used = min(lanes, node.type.channels)
        self.depth = 3 + tree_depth(self.addends, one_bit=False)

    @property
    def addends(self) -> int:
        return 1 if isinstance(self.node, Multiply) else len(self.inputs) + bool(self.node.constant.any())

    @property
    def varies(self) -> bool:
        """Whether channels differ in their factors or constants, so that a memory holds these."""
        return isinstance(self.node, Add) and len(self.node.factors) > 1

    @property
    def held(self) -> Shape:
        """What holds every factor and constant in the memory."""
        assert isinstance(self.node, Add)
        values = np.concatenate([self.node.factors.ravel(), self.node.constant])
        kind = Type((), min(0, int(values.min())), max(0, int(values.max())))
        return Shape(kind.width, kind.signed)

    def words(self) -> list[int]:
        """For each fold of the channels: of each lane the factors and the constant."""
        assert isinstance(self.node, Add)
        rows = np.column_stack([self.node.factors, self.node.constant])
        padded = np.zeros((self.o_beats.per_vector * self.lanes, rows.shape[1]), np.int64)
        padded[: len(rows)] = rows
        folds = padded.reshape(self.o_beats.per_vector, -1)
        return [concatenated(fold.tolist(), self.held.width) for fold in folds]

    def control(self) -> Stages:
        return pipeline(self.depth)

    def cost(self, device: Device) -> Cost:
        """In each lane a multiplier for every factor and an adder for every term but one; the varying constants."""
        widths = [beats.type.width for beats in self.inputs]
        y, family = self.o_beats.type.width, device.family
        levels = tree_depth(self.addends, one_bit=False)
        ffs, luts, dsps, total = (1 + levels) * y, 0, 0, Cost(0, 0, 0, 0, 0)
        if isinstance(self.node, Multiply):
            pairs = [(widths[0], widths[1], 0)]
            ffs += sum(widths) + y
        else:
            factors = [0] * len(widths) if self.varies else [int(factor) for factor in self.node.factors[0]]
            total = rom_cost(self.words(), device) if self.varies else total
            pairs = [
                (width, self.held.width if self.varies else _odd(factor).bit_length(), factor)
                for width, factor in zip(widths, factors, strict=True)
            ]
            # Zeros below a term need no adder.
            luts += (self.addends - 1) * (y - max(abs(factor & -factor).bit_length() - 1 for factor in factors))
        for width, other, factor in pairs:
            blocks = dsp_blocks(width, other, family) if device.dsps != 0 and abs(_odd(factor)) != 1 else 0
            dsps += blocks
            if not blocks:
                luts += width * (signed_digits(factor) - 1 if factor else other)
            if not isinstance(self.node, Multiply):  # of element, unless a block holds it, and of term
                ffs += (0 if blocks and family in FAMILIES else width) + width + (other if other > 1 else 0)
        spare = self.o_beats.per_vector * self.lanes > self.node.type.channels
        counter = 3 * (self.o_beats.per_vector - 1).bit_length() if spare or self.varies else 0
        used, flags = self.used, (2 + spare) * self.depth
        return total + Cost(
            used * luts + counter + 4, used * ffs + counter // 3 + flags, 0, used * dsps, self.o_beats.per_frame
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        there, advance = self.together(m)
        registered = Registers(m, advance)

        folds = self.o_beats.per_vector
        fold = Signal(range(folds))
        with m.If(there & advance):
            m.d.sync += fold.eq(Mux(fold == folds - 1, 0, fold + 1))
        data = [registered(stream.payload.data.as_value(), "elements") for stream in self.streams]
        flags: Value = Cat(there, self.streams[0].payload.last, fold == folds - 1)
        for _ in range(self.depth - 1):
            flags = registered(flags, "flags", data=False)
        valid, last, final = flags
        constants: Value | None = None
        if self.varies:
            words = self.words()
            width = self.lanes * (len(self.inputs) + 1) * self.held.width
            constants = rom(m, "constants", words, width, fold, advance)
        spare = folds * self.lanes - self.node.type.channels
        for lane in range(self.used):
            elements = [
                typed(word.word_select(lane, beats.type.width), beats.shape)
                for word, beats in zip(data, self.inputs, strict=True)
            ]
            terms = [registered(term, "term") for term in self._terms(elements, constants, lane)]
            y = Signal(self.o_beats.shape, name=f"y{lane}", reset_less=True)
            m.d.comb += self.o.payload.data[lane].eq(y)
            with m.If(advance):
                m.d.sync += y.eq(adder_tree(m, terms, lambda value: registered(value, "sum")))
                if lane >= self.lanes - spare:  # the last fold has no such channel
                    with m.If(final):
                        m.d.sync += y.eq(0)
        m.d.comb += [
            self.o.valid.eq(registered(valid, "valid", data=False)),
            self.o.payload.last.eq(registered(last, "last")),
        ]
        return m

    def _terms(self, elements: Sequence[Value], constants: Value | None, lane: int) -> list[Value]:
        """What a lane adds up."""
        if isinstance(self.node, Multiply):
            return [elements[0] * elements[1]]
        if constants is None:
            factors: list[Value] = [Const(int(factor)) for factor in self.node.factors[0]]
            constant: Value = Const(int(self.node.constant[0]))
        else:
            count, shape = len(elements) + 1, self.held
            fields = [typed(constants.word_select(lane * count + k, shape.width), shape) for k in range(count)]
            *factors, constant = fields
        terms = [x * factor for x, factor in zip(elements, factors, strict=True)]
        return [*terms, constant] if self.addends > len(terms) else terms


def _odd(factor: int) -> int:
    """A factor without the power of two in it; 0 for 0."""
    return factor // (factor & -factor) if factor else 0


class Concatenate(Joint):
    """The inputs one after the other along the node's axis: beats of each in turn, `lanes` elements at a time.

    Where the axis is the channels', `lanes` divide every input's. Latency: 0 cycles. Throughput: one beat a cycle.
    """

    def __init__(self, node: Concat, inputs: Sequence[Type], lanes: int) -> None:
        if lanes not in concat_lanes(node, inputs):
            raise PlanError(
                f"the lanes of '{node.name}' must divide the channels of all inputs, "
                f"{[x.channels for x in inputs]}, not be {lanes}"
            )
        kind = node.type
        super().__init__([Beats(x, lanes) for x in inputs], Beats(kind, lanes))
        self.beats = [Beats(Type(x.shape[node.axis :], x.lo, x.hi), lanes).per_frame for x in inputs]

    @property
    def stage(self) -> Stage:
        return turns(self.beats)

    def control(self) -> Stages:
        return ()

    def cost(self, device: Device) -> Cost:
        """A multiplexer a bit, and a counter."""
        counter = max(self.beats).bit_length()
        luts = self.o_beats.bits * (len(self.inputs) - 1) + 3 * counter + 4
        return Cost(luts, counter + 2, 0, 0, self.o_beats.per_frame)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        count = len(self.inputs)
        which, beat, end = Signal(range(count)), Signal(range(max(self.beats))), Signal()
        rounds = self.o_beats.per_frame // sum(self.beats)
        round_ = Signal(range(rounds))
        with m.Switch(which):
            for index, stream in enumerate(self.streams):
                with m.Case(index):
                    m.d.comb += [self.o.valid.eq(stream.valid), stream.ready.eq(self.o.ready)]
                    m.d.comb += end.eq(beat == self.beats[index] - 1)
                    for lane in range(self.o_beats.lanes):
                        m.d.comb += self.o.payload.data[lane].eq(stream.payload.data[lane])
        final = (which == count - 1) & end
        m.d.comb += self.o.payload.last.eq(final & (round_ == rounds - 1))
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += beat.eq(Mux(end, 0, beat + 1))
            with m.If(end):
                m.d.sync += which.eq(Mux(which == count - 1, 0, which + 1))
            with m.If(final):
                m.d.sync += round_.eq(Mux(self.o.payload.last, 0, round_ + 1))
        return m


def concat_lanes(node: Concat, inputs: Sequence[Type]) -> list[int]:
    """The lanes that a Concatenate of these inputs can have."""
    if node.axis < len(node.type.shape) - 1:
        return list(range(1, node.type.channels + 1))
    common = math.gcd(*(x.channels for x in inputs))
    return [lanes for lanes in range(1, common + 1) if common % lanes == 0]
