"""A convolution by Winograd's minimal filters, as a component of streams."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from amaranth import Module
from amaranth.lib import wiring

from lutwright.frontend.device import Device, Family
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Dense
from lutwright.frontend.nodes.linear import weighted_interval
from lutwright.hdl.beats import Beats
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.cost import folded_cost
from lutwright.hdl.engines.folded import FoldedDense
from lutwright.hdl.engines.lanes import Lanes
from lutwright.hdl.rearrange import Reorder
from lutwright.hdl.tokens import Stages
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow
from lutwright.hdl.winograd.combination import Combination
from lutwright.hdl.winograd.method import Method, bits_type, v_type
from lutwright.hdl.winograd.quotient import Quotient


@dataclass(frozen=True, eq=False)
class Products(Dense):
    """`count` layers side by side: weight is [count * N, K], of each row the weights of its own layer."""

    count: int = 1

    @cached_property
    def groups(self) -> int:
        return self.count

    @cached_property
    def own(self) -> Array:
        return self.weight


class WinogradConv(Unit):
    """y = a Conv with strides of 1, by F(m, r) along each axis of its kernel: PE output, SIMD input channels at a time.

    A window of m + r - 1 places, which moves on by m, gives each tile, one place of a block of SIMD channels a beat.
    Combinations transform its columns, then its rows. A layer with a group for each position of the tile multiplies
    and adds up (`FoldedDense`); its input vectors are all channels at a position. Combinations transform its sums back,
    rows first, and drop the power of two in the scale; a division by the odd part and the bias follow. Buffers between
    them change the order: from rows to columns of a tile, from blocks of channels to positions and back, and from tiles
    to raster order.
    Ports: i: Beats(x, SIMD), o: Beats(node.type, PE). `i.ready` depends on state alone. Throughput: tiles * positions *
    ceil(C / SIMD) * ceil(N / PE) cycles a frame, in which the multipliers are never idle. Latency: that of the parts.
    """

    cuts_ready = True

    def __init__(self, method: Method, folding: Folding, lanes: Lanes, family: Family) -> None:
        node, x = method.node, method.x
        super().__init__(Beats(x, folding.simd), Beats(node.type, folding.pe))
        self.method, self.folding, self.lanes, self.family = method, folding, lanes, family
        self.sf, self.nf = self.i_beats.per_vector, self.o_beats.per_vector
        self.tiles = math.prod(method.tiles)
        self.parts: dict[str, Unit | FoldedDense] = {}
        self._take_apart()
        self._multiply()
        self._put_together()

    def _take_apart(self) -> None:
        """From x to V, [tiles, positions, blocks of channels]: along rows first, then along columns."""
        method, simd = self.method, self.folding.simd
        vertical, horizontal = method.filters
        window = SlidingWindow(method.x, method.window, simd, method.node.pad_value, by_block=True)
        self.parts["window"] = window
        kind, done = window.o_beats.type, []
        shape = [self.tiles, self.sf, vertical.t, horizontal.t]
        if horizontal.t > 1:
            done.append(horizontal)
            kind = v_type(tuple(done), method.padded_x)
            self.parts["rows_in"] = Combination(Type((*shape, simd), *_ends(window)), horizontal.b, kind)
        if vertical.t > 1:
            self._reorder("turn_in", shape, (0, 1, 3, 2), kind, simd)
            shape = [self.tiles, self.sf, horizontal.t, vertical.t]
            before, kind = kind, method.v_type
            self.parts["columns_in"] = Combination(Type((*shape, simd), before.lo, before.hi), vertical.b, kind)
        self._reorder("positions", [self.tiles, self.sf, method.positions], (0, 2, 1), kind, simd)

    def _multiply(self) -> None:
        """From V to M, [tiles, positions, folds of output channels]."""
        method, folding = self.method, self.folding
        vertical, horizontal = method.filters
        rows, columns = self.nf * folding.pe, self.sf * folding.simd
        found = method.u.reshape(vertical.t, horizontal.t, *method.u.shape[2:]).swapaxes(0, 1)
        padding = ((0, 0), (0, 0), (0, rows - found.shape[2]), (0, columns - found.shape[3]))
        u, v = np.pad(found, padding).reshape(-1, columns), method.v_type
        bias = np.zeros(len(u), np.int64)
        exact, kept = Type((), *weighted_interval(method.node.name, u, bias, v.lo, v.hi)), bits_type(method.width)
        wraps = exact.width > kept.width
        sums = kept if wraps else exact
        kind = Type((self.tiles, len(u)), sums.lo, sums.hi)
        node = Products(method.node.name, method.node.inputs, kind, u, bias, wraps, method.positions)
        x = Type((self.tiles, method.positions * columns), v.lo, v.hi)
        self.parts["products"] = FoldedDense(node, x, folding, self.lanes, self.family)

    def _put_together(self) -> None:
        """From M to y: along columns first, then along rows."""
        method, pe = self.method, self.folding.pe
        (vertical, horizontal), (_, across) = method.filters, method.tiles
        kind, width = self.parts["products"].o_beats.type, method.width
        self._reorder("channels", [self.tiles, method.positions, self.nf], (0, 2, 1), kind, pe)
        shape = [self.tiles, self.nf, horizontal.t, vertical.t]
        if vertical.t > 1:
            width -= vertical.shift
            result = bits_type(width)
            self.parts["columns_out"] = Combination(
                Type((*shape, pe), kind.lo, kind.hi), vertical.a, result, vertical.shift
            )
            kind = result
            self._reorder("turn_out", [*shape[:3], vertical.m], (0, 1, 3, 2), kind, pe)
        shape = [self.tiles, self.nf, vertical.m, horizontal.t]
        if horizontal.t > 1:
            width -= horizontal.shift
            result = bits_type(width)
            self.parts["rows_out"] = Combination(
                Type((*shape, pe), kind.lo, kind.hi), horizontal.a, result, horizontal.shift
            )
            kind = result
        bias = np.zeros(self.nf * pe, np.int64)
        bias[: len(method.node.bias)] = method.node.bias
        each = vertical.m * horizontal.m
        tile = Type((self.tiles, self.nf, each, pe), kind.lo, kind.hi)
        self.parts["quotient"] = Quotient(tile, method.scale >> method.shift, bias.reshape(-1, pe), method.node.type)
        rows, columns = (
            np.arange(size) // one.m * beats + np.arange(size) % one.m * place
            for size, one, beats, place in zip(
                method.size,
                method.filters,
                (across * self.nf * each, self.nf * each),
                (horizontal.m, 1),
                strict=True,
            )
        )
        i_beats, folds = self.parts["quotient"].o_beats, np.arange(self.nf) * each
        self.parts["raster"] = Reorder(i_beats, self.o_beats, [rows, columns, folds])

    def _reorder(self, name: str, shape: Sequence[int], order: Sequence[int], kind: Type, lanes: int) -> None:
        """Axes of beats in another order."""
        if sum(shape[axis] > 1 for axis in order[1:]) < 2:
            return  # there is one axis that moves
        strides = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
        before, after = (
            Beats(Type((*sizes, lanes), kind.lo, kind.hi), lanes) for sizes in (shape, [shape[axis] for axis in order])
        )
        self.parts[name] = Reorder(before, after, [np.arange(shape[axis]) * strides[axis] for axis in order])

    def control(self) -> Stages:
        return tuple(stage for part in self.parts.values() for stage in part.control())

    def cost(self, device: Device) -> Cost:
        return sum(self.costs(device).values(), Cost(0, 0, 0, 0, 0))

    def costs(self, device: Device) -> dict[str, Cost]:
        """By part."""
        return {
            name: folded_cost(part, device.family) if isinstance(part, FoldedDense) else part.cost(device)
            for name, part in self.parts.items()
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()
        source = wiring.flipped(self.i)
        for name, part in self.parts.items():
            m.submodules[name] = part
            wiring.connect(m, source, part.i)
            source = part.o
        wiring.connect(m, source, wiring.flipped(self.o))
        return m


def _ends(window: SlidingWindow) -> tuple[int, int]:
    return window.o_beats.type.lo, window.o_beats.type.hi
