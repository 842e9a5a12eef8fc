"""The Winograd-Strassen method of a convolution in NumPy, stage by stage: the second model of what hardware computes.

U = G w G', V = B x B', M = U V, Y = A M A' / scale. At each position of a tile the product of U, output by input
channels, and V, input channels by tiles, is a product of matrices: Strassen's block products compute it, and one
inverse transform an output follows.

Source: Zhao, Wang, Wang and Liu, "A Faster Algorithm for Reducing the Computational Complexity of Convolutional Neural
Networks", Algorithms 11, 2018.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl.window import plane
from lutwright.hdl.winograd.cook_toom import Filter, minimal_filter
from lutwright.hdl.winograd.strassen import Problem, Schedule, schedule


def no_tiles(node: Conv) -> str | None:
    """None, or the reason why a convolution has no tiles."""
    window = node.window
    if len(window.kernel) not in (1, 2):
        return f"Winograd's filters must slide over one or two axes, not {len(window.kernel)}"
    if node.groups != 1:
        return f"Winograd's filters must see all input channels, but there are {node.groups} groups"
    if max(window.strides) > 1:
        return f"Winograd's filters must have strides of 1, not {window.strides}"
    if max(window.dilations) > 1:
        return f"Winograd's filters must not be dilated, but by {window.dilations}"
    if max(window.kernel) == 1:
        return f"Winograd's filters must have more than one tap, but the kernel is {window.kernel}"
    return None


@dataclass(frozen=True, eq=False)
class Method:
    """F(m, r) along each axis of the kernel that has more than one tap, and `levels` of Strassen's products around it.

    Tiles overlap by r - 1 and stick out at the bottom and the right, as far as results are a multiple of m.
    """

    node: Conv
    x: Type
    m: int
    levels: int = 0

    def __post_init__(self) -> None:
        if reason := no_tiles(self.node):
            raise PlanError(f"'{self.node.name}' can't be built of tiles: {reason}. Choose another engine")

    @cached_property
    def filters(self) -> tuple[Filter, Filter]:
        """Along either axis of the plane."""
        vertical, horizontal = (minimal_filter(self.m if r > 1 else 1, r) for r in plane(self.node.window).kernel)
        return vertical, horizontal

    @property
    def size(self) -> tuple[int, int]:
        """Of the results' plane."""
        rows, columns = (1, *self.node.type.shape)[-3:-1]
        return rows, columns

    @property
    def tiles(self) -> tuple[int, int]:
        """Down and across."""
        down, across = (-(-size // one.m) for size, one in zip(self.size, self.filters, strict=True))
        return down, across

    @property
    def window(self) -> Window:
        """What a tile sees."""
        pads = tuple(
            (before, after + count * one.m - size)
            for (before, after), count, one, size in zip(
                plane(self.node.window).pads, self.tiles, self.filters, self.size, strict=True
            )
        )
        vertical, horizontal = self.filters
        return Window((vertical.t, horizontal.t), (vertical.m, horizontal.m), (1, 1), pads)

    @property
    def positions(self) -> int:
        """Products of a tile for each pair of channels."""
        return math.prod(one.t for one in self.filters)

    @property
    def schedule(self) -> Schedule:
        return schedule(self.levels)

    @property
    def problem(self) -> Problem:
        """The products of matrices."""
        return Problem(len(self.node.weight), self.x.channels, math.prod(self.tiles), self.positions)

    @property
    def multiplications(self) -> int:
        """Of a frame."""
        return self.problem.multiplications(self.levels)

    @property
    def scale(self) -> int:
        return math.prod(one.scale for one in self.filters)

    @property
    def shift(self) -> int:
        """The power of two in `scale`."""
        return sum(one.shift for one in self.filters)

    @property
    def width(self) -> int:
        """Bits of M, and of all that follows: sums and products may wrap, for only Y's own bits are kept.

        scale * Y is wanted modulo 2 ** (bits of Y + shift): the shift takes the lower bits off, which are 0, and the
        odd part of the scale has an inverse modulo a power of two.
        """
        return self.node.type.width + self.shift

    @property
    def padded_x(self) -> Type:
        """The interval of what is under a tile; channels that fill a block up are 0."""
        x, fill = self.x, self.node.pad_value
        lo, hi = (min(x.lo, fill), max(x.hi, fill)) if self.window.padded else (x.lo, x.hi)
        return Type((), min(lo, 0), max(hi, 0))

    @cached_property
    def u(self) -> Array:
        """[positions, products, N / blocks, C / blocks]: the weights, transformed and added up."""
        whole = self.problem.padded(self.levels)
        return self.weights(whole.rows, whole.inner)

    def weights(self, rows: int, inner: int) -> Array:
        """U for so many channels, those beyond the node's of zeros."""
        weight, (vertical, horizontal) = self.node.weight, self.filters
        weight = weight.reshape(len(weight), vertical.r, horizontal.r, -1)
        found = np.einsum("ik,jl,nklc->ijnc", vertical.g, horizontal.g, weight)
        found = found.reshape(self.positions, *found.shape[2:])
        blocks = self.schedule.blocks
        padded = np.pad(found, ((0, 0), (0, rows - found.shape[1]), (0, inner - found.shape[2])))
        cut = padded.reshape(self.positions, blocks, rows // blocks, blocks, inner // blocks)
        summed: Array = np.einsum("srk,prnkc->psnc", self.schedule.left, cut)
        return summed

    @property
    def u_type(self) -> Type:
        return Type((), min(0, int(self.u.min())), max(0, int(self.u.max())))

    @property
    def v_type(self) -> Type:
        """The interval of V."""
        return v_type(self.filters, self.padded_x, self.levels)

    def v(self, x: Array) -> Array:
        """[batch, positions, products, C / blocks, tiles / blocks] of x [batch, ...]."""
        vertical, horizontal = self.filters
        x = x.reshape(len(x), *(1, *self.x.shape)[-3:])
        under = np.stack([part for _, part in self.window.positions(x, self.node.pad_value)])
        batch, channels = len(x), self.x.channels
        under = under.reshape(vertical.t, horizontal.t, batch, -1, channels)
        found = np.einsum("ik,jl,klbtc->bijct", vertical.b, horizontal.b, under)
        found = found.reshape(batch, self.positions, channels, -1)
        blocks, whole = self.schedule.blocks, self.problem.padded(self.levels)
        padded = np.zeros((batch, self.positions, whole.inner, whole.columns), np.int64)
        padded[:, :, :channels, : found.shape[-1]] = found
        cut = padded.reshape(batch, self.positions, blocks, whole.inner // blocks, blocks, whole.columns // blocks)
        summed: Array = np.einsum("skt,bpkcto->bpsco", self.schedule.right, cut)
        return summed

    def products(self, v: Array) -> Array:
        """M [batch, positions, products, N / blocks, tiles / blocks] modulo 2 ** width."""
        return wrapped(np.einsum("psnc,bpsct->bpsnt", self.u, v, optimize=True), self.width)

    def result(self, m: Array) -> Array:
        """Y [batch, *node.type.shape] out of M."""
        (down, across), (vertical, horizontal), rows = self.tiles, self.filters, len(self.node.weight)
        summed = wrapped(np.einsum("rts,bpsno->bprnto", self.schedule.result, m), self.width)
        summed = summed.reshape(len(m), vertical.t, horizontal.t, summed.shape[2] * summed.shape[3], -1)
        summed = summed[..., :rows, : down * across]
        y = wrapped(np.einsum("pi,qj,bijnt->btpqn", vertical.a, horizontal.a, summed), self.width)
        y = y.reshape(len(m), down, across, vertical.m, horizontal.m, rows).swapaxes(2, 3)
        y = y.reshape(len(m), down * vertical.m, across * horizontal.m, rows)[:, : self.size[0], : self.size[1]]
        return self.divided(y).reshape(len(m), *self.node.type.shape)

    def divided(self, y: Array) -> Array:
        """y / scale + bias in the interval of the node: a shift, and a product modulo a power of two."""
        kind = self.node.type
        inverse = pow(self.scale >> self.shift, -1, 1 << kind.width)
        quotient: Array = ((y >> self.shift) * inverse + self.node.bias) & ((1 << kind.width) - 1)
        return quotient - ((quotient >> kind.width - 1) << kind.width) if kind.signed else quotient

    def evaluate(self, x: Array) -> Array:
        """What the node computes, by this method."""
        return self.result(self.products(self.v(x)))


def wrapped(values: Array, width: int) -> Array:
    """The numbers of so many bits that are equal modulo 2 ** width."""
    low: Array = values & ((1 << width) - 1)
    return low - ((low >> width - 1) << width)


def bits_type(width: int) -> Type:
    """All signed numbers of so many bits."""
    return Type((), -1 << width - 1, (1 << width - 1) - 1)


def v_type(filters: tuple[Filter, ...], x: Type, levels: int = 0) -> Type:
    """The interval of V, of elements of x's; each level adds up two or takes their difference."""
    return _combined([one.b for one in filters], x, levels)


def u_type(filters: tuple[Filter, ...], weight: Type, levels: int = 0) -> Type:
    """The interval of U, of any weights of an interval."""
    return _combined([one.g for one in filters], weight, levels)


def _combined(matrices: list[Array], x: Type, levels: int) -> Type:
    matrix = np.ones((1, 1), np.int64)
    for one in matrices:
        matrix = np.kron(matrix, one)
    positive, negative = np.maximum(matrix, 0).sum(axis=1), np.minimum(matrix, 0).sum(axis=1)
    lo, hi = int((positive * x.lo + negative * x.hi).min()), int((positive * x.hi + negative * x.lo).max())
    for _ in range(levels):
        lo, hi = min(2 * lo, lo - hi), max(2 * hi, hi - lo)
    return Type((), min(0, lo), max(0, hi))
