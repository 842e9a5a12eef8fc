"""A convolution by Winograd's minimal filters, as a component of streams."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

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
from lutwright.hdl.fifo import Slice
from lutwright.hdl.rearrange import Reorder
from lutwright.hdl.tokens import Stages
from lutwright.hdl.unit import Unit
from lutwright.hdl.window import SlidingWindow
from lutwright.hdl.winograd.chain import Chain
from lutwright.hdl.winograd.method import Method, bits_type, v_type
from lutwright.hdl.winograd.quotient import Quotient
from lutwright.hdl.winograd.strassen import RESULT, RIGHT


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


@lru_cache(maxsize=8)
def products(method: Method, rows: int, inner: int) -> Products:
    """The layers of one tile, or of so many as Strassen's products take: so many output and input channels, U."""
    (vertical, horizontal), v = method.filters, method.v_type
    u = method.weights(rows, inner)
    groups, columns = method.positions * method.schedule.products, u.shape[-1]
    u = u.reshape(vertical.t, horizontal.t, *u.shape[1:]).swapaxes(0, 1).reshape(-1, columns)
    bias = np.zeros(len(u), np.int64)
    exact, kept = Type((), *weighted_interval(method.node.name, u, bias, v.lo, v.hi)), bits_type(method.width)
    wraps = exact.width > kept.width
    sums = kept if wraps else exact
    kind = Type((len(u),), sums.lo, sums.hi)
    return Products(method.node.name, method.node.inputs, kind, u, bias, wraps, groups)


class WinogradConv(Unit):
    """y = a Conv with strides of 1, by F(m, r) along each axis of its kernel: PE output, SIMD input channels at a time.

    A window of m + r - 1 places, which moves on by m, gives each tile, one place of a block of SIMD channels a beat.
    Combinations transform its rows, then its columns. A layer with a group for each position of the tile multiplies
    and adds up (`FoldedDense`); its input vectors are all channels at a position. Combinations transform its sums back,
    columns first, and drop the power of two in the scale; a division by the odd part and the bias follow. Buffers
    between them change the order: from rows to columns of a tile, from blocks of channels to positions and back, and
    from tiles to raster order.
    For each of Strassen's levels, a combination makes 7 sums of the 4 that two tiles and two halves of the input
    channels are, at each position; the layer has 7 times the groups, of half the channels on both sides; and a
    combination makes two tiles' two halves of the output channels of its 7 results. Tiles and blocks of channels that
    fill up to a multiple of 2**levels are beats of 0. Their order: tiles, positions, products, channels.
    Ports: i: Beats(x, SIMD), o: Beats(node.type, PE). `i.ready` depends on state alone. Throughput: tiles * positions *
    ceil(C / SIMD) * ceil(N / PE) * (7 / 8)**levels cycles a frame, in which the multipliers are never idle. Latency:
    that of the parts.
    """

    cuts_ready = True

    def __init__(self, method: Method, folding: Folding, lanes: Lanes, family: Family) -> None:
        node, x = method.node, method.x
        super().__init__(Beats(x, folding.simd), Beats(node.type, folding.pe))
        self.method, self.folding, self.lanes, self.family = method, folding, lanes, family
        blocks = method.schedule.blocks
        sizes = (math.prod(method.tiles), self.i_beats.per_vector, self.o_beats.per_vector)
        self.tiles, self.sf, self.nf = (-(-size // blocks) * blocks for size in sizes)
        self.parts: dict[str, Unit | FoldedDense] = {}
        self._take_apart()
        self._multiply()
        self._put_together()

    @property
    def groups(self) -> int:
        """Products of matrices, side by side."""
        return self.method.positions * self.method.schedule.products

    def _take_apart(self) -> None:
        """From x to V, [tiles, positions, products, blocks of channels]."""
        method, simd = self.method, self.folding.simd
        vertical, horizontal = method.filters
        window = SlidingWindow(method.x, method.window, simd, method.node.pad_value, by_block=True)
        sizes = (math.prod(method.tiles), self.i_beats.per_vector, vertical.t, horizontal.t)
        chain = Chain(sizes, window.o_beats.type, simd)
        chain.parts["window"] = window
        chain.extend("filled", self.tiles, self.sf, vertical.t, horizontal.t)
        if horizontal.t > 1:
            chain.combine("rows_in", horizontal.b, v_type((horizontal,), method.padded_x))
        if vertical.t > 1:
            chain.turn("turn_in", 0, 1, 3, 2)
            chain.combine("columns_in", vertical.b, v_type(method.filters, method.padded_x))
        levels, blocks = method.levels, method.schedule.blocks
        tiles, beats = self.tiles // blocks, self.sf // blocks
        # Tiles, halves of them by level, halves of channels by level, beats of channels, positions: in their place both
        # halves of each level, from the last one on.
        chain.view(tiles, *[2] * 2 * levels, beats, method.positions)
        halves = [axis for level in reversed(range(levels)) for axis in (1 + levels + level, 1 + level)]
        chain.turn("positions", 0, 2 * levels + 2, 2 * levels + 1, *halves)
        for level in range(levels):
            chain.view(tiles * method.positions, 7**level, beats, 4 ** (levels - 1 - level), 4)
            chain.combine(f"blocks_in{level}", np.array(RIGHT), v_type(method.filters, method.padded_x, level + 1))
            chain.turn(f"products_in{level}", 0, 1, 4, 2, 3)
        self.parts.update(chain.parts)

    def _multiply(self) -> None:
        """From V to M, [tiles, positions, products, folds of output channels]."""
        method, folding = self.method, self.folding
        node = products(method, self.nf * folding.pe, self.sf * folding.simd)
        tiles, v = self.tiles // method.schedule.blocks, method.v_type
        node = replace(node, type=Type((tiles, *node.type.shape), node.type.lo, node.type.hi))
        x = Type((tiles, self.groups * node.own.shape[1]), v.lo, v.hi)
        self.parts["products"] = FoldedDense(node, x, folding, self.lanes, self.family)

    def _put_together(self) -> None:
        """From M to y."""
        method, pe = self.method, self.folding.pe
        (vertical, horizontal), width = method.filters, method.width
        levels, blocks, positions = method.levels, method.schedule.blocks, method.positions
        tiles, folds = self.tiles // blocks, self.nf // blocks
        chain = Chain((tiles, self.groups, folds), self.parts["products"].o_beats.type, pe)
        for level in reversed(range(levels)):
            chain.view(tiles * positions, 7**level, 7, folds, 4 ** (levels - 1 - level))
            chain.turn(f"products_out{level}", 0, 1, 3, 4, 2)
            chain.combine(f"blocks_out{level}", np.array(RESULT), bits_type(width))
        chain.view(tiles, positions, folds, *[2] * 2 * levels)
        halves = [3 + 2 * (levels - 1 - level) for level in range(levels)]
        chain.turn("channels", 0, *(axis + 1 for axis in halves), *halves, 2, 1)
        chain.view(self.tiles, self.nf, horizontal.t, vertical.t)
        if vertical.t > 1:
            width -= vertical.shift
            chain.combine("columns_out", vertical.a, bits_type(width), vertical.shift)
        chain.turn("turn_out", 0, 1, 3, 2)
        if horizontal.t > 1:
            width -= horizontal.shift
            chain.combine("rows_out", horizontal.a, bits_type(width), horizontal.shift)
        each = vertical.m * horizontal.m
        chain.view(self.tiles, self.nf, each)
        bias = np.zeros(self.nf * pe, np.int64)
        bias[: len(method.node.bias)] = method.node.bias
        division = Quotient(chain.type, method.scale >> method.shift, bias.reshape(-1, pe), method.node.type)
        chain.add("slice", Slice(division.i_beats), chain.kind)
        chain.add("quotient", division, method.node.type)
        self.parts.update(chain.parts)
        rows = _along(method.size[0], vertical.m, method.tiles[1] * self.nf * each, horizontal.m)
        columns, channels = _along(method.size[1], horizontal.m, self.nf * each, 1), np.arange(self.nf) * each
        offsets = [*rows, *columns, channels[: self.o_beats.per_vector]]
        self.parts["raster"] = Reorder(division.o_beats, self.o_beats, offsets)

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


def _along(size: int, m: int, tile: int, place: int) -> list[Array]:
    """Where the places along an axis lie, in tiles of m: an axis of tiles and one of their places, if all are whole."""
    if size % m == 0:
        return [np.arange(size // m) * tile, np.arange(m) * place]
    return [np.arange(size) // m * tile + np.arange(size) % m * place]
