"""Where the beats of nodes that only move elements come from, and how much of the input has to be kept meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lutwright.frontend.ir import Array, Type
from lutwright.frontend.nodes import Pad, Stuff, Take, Transpose
from lutwright.hdl.timetable import NO_NEED

Move = Transpose | Take | Pad | Stuff
OUTSIDE = -1
NOTHING = -2  # in a lane past the last channel
FRAMES = 4  # of which the third is taken for one in steady state


@dataclass(frozen=True, eq=False)
class Axis:
    """What each index along an axis of the output adds to the place in the input frame, and whether it is `inside`.

    `places` begin at 0; those outside are the ones of the next index that is inside, or of the last one.
    """

    places: Array
    inside: NDArray[np.bool_]

    @classmethod
    def of(cls, places: Array, inside: NDArray[np.bool_]) -> Axis:
        """The axis with these places inside."""
        known = np.flatnonzero(inside)
        following = np.searchsorted(known, np.arange(len(places)))
        return cls(places[known[np.minimum(following, len(known) - 1)]], inside)

    @property
    def span(self) -> int:
        """The place at the end."""
        return int(self.places[-1])

    @property
    def ramp(self) -> tuple[int, int, int] | None:
        """(first, end, step), if the indices inside are those from `first` to `end` and lie `step` apart."""
        within = np.flatnonzero(self.inside)
        first, end = int(within[0]), int(within[-1]) + 1
        steps = np.diff(self.places[first:end])
        if end - first != len(within) or (steps != steps[:1]).any():
            return None
        return first, end, int(steps[0]) if len(steps) else 0


def source_axes(node: Move, x: Type) -> list[tuple[int, Array]]:
    """For each axis of the output: the axis of the input along which it goes, and the index there of each of its own.

    OUTSIDE where there is none.
    """
    axes = [(axis, np.arange(size)) for axis, size in enumerate(x.shape)]
    match node:
        case Transpose():
            return [axes[axis] for axis in node.axes]
        case Take():
            axes[node.axis] = (node.axis, node.indices)
        case Pad():
            pairs = zip(axes, node.pads, strict=True)
            axes = [(axis, np.pad(index, pads, constant_values=OUTSIDE)) for (axis, index), pads in pairs]
        case Stuff():
            for axis, stride in enumerate(node.strides):
                index = np.full(node.type.shape[axis], OUTSIDE)
                index[::stride] = np.arange(x.shape[axis])
                axes[axis] = (axis, index)
    return axes


def fill_of(node: Move) -> int:
    """What stands where nothing comes from."""
    return node.value if isinstance(node, Pad | Stuff) else 0


def beat_offsets(node: Move, x: Type, lanes: int) -> list[Array] | None:
    """For each axis of the output, its channels in beats of `lanes`: what each index adds to the place in the input.

    A place counts beats; OUTSIDE where there is none. None if a beat of the output is no beat of the input.
    """
    axes, last = source_axes(node, x), len(x.shape) - 1
    shape = (*x.shape[:-1], -(-x.channels // lanes))
    strides = [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]
    offsets = [np.where(index == OUTSIDE, OUTSIDE, index * strides[axis]) for axis, index in axes]
    if lanes == 1:
        return offsets
    if not axes or axes[-1][0] != last:
        return None
    if fill_of(node) and node.type.channels % lanes and any((index == OUTSIDE).any() for _, index in axes):
        return None  # lanes past the last channel carry 0
    beats = _whole_beats(axes[-1][1], x.channels, lanes)
    return None if beats is None else [*offsets[:-1], beats]


def move_lanes(node: Move, x: Type) -> list[int]:
    """The lanes that a Rearrange of this node can have."""
    return [lanes for lanes in range(1, x.channels + 1) if beat_offsets(node, x, lanes) is not None]


def _whole_beats(channels: Array, count: int, lanes: int) -> Array | None:
    """The input's beat of each beat of the output, whose channels are the input's `channels`, of `count`."""
    given = np.pad(channels, (0, -len(channels) % lanes), constant_values=NOTHING).reshape(-1, lanes)
    taken = np.pad(np.arange(count), (0, -count % lanes), constant_values=NOTHING).reshape(-1, lanes)
    outside = (given < 0).all(axis=1)
    beats = np.where(outside, OUTSIDE, given[:, 0] // lanes)
    return beats if (outside | (taken[beats] == given).all(axis=1)).all() else None


def merged(offsets: Sequence[Array]) -> tuple[int, list[Axis]]:
    """The first place, and the axes, as few as can be: neighbours along which steps go on alike are one."""
    origin, result = 0, list[Axis]()
    for offset in offsets:
        axis = Axis.of(offset, offset != OUTSIDE)
        origin += int(axis.places[0])
        axis = Axis(axis.places - axis.places[0], axis.inside)
        if len(offset) == 1:
            continue
        if result and _goes_on(result[-1], axis):
            outer = result.pop()
            inside = np.repeat(outer.inside, len(axis.places))
            axis = Axis.of(np.add.outer(outer.places, axis.places).ravel(), inside)
        result.append(axis)
    return origin, result


def _goes_on(outer: Axis, inner: Axis) -> bool:
    ramp, within = outer.ramp, inner.ramp
    if ramp is None or within is None or not inner.inside.all():
        return False
    return ramp[2] == within[2] * len(inner.places)


def full_throughput_depth(needs: Array, lowers: Array, frame: int) -> int:
    """The fewest beats of a buffer at which a beat passes in every cycle, at its input or its output.

    `needs` and `lowers` as in a Timetable of one row; `frame` beats go in. The side with more beats never
    pauses; the other reads as early, or is written as late, as it can: so the buffer holds as little as possible.
    """
    given = len(needs)
    shift = np.repeat(np.arange(FRAMES), given) * frame
    need, lower = np.tile(needs, FRAMES), np.tile(lowers, FRAMES) + shift
    need = np.where(need > 0, need + shift, NO_NEED)
    beats, cycles = np.arange(FRAMES * given), np.arange(FRAMES * frame)
    if given <= frame:  # beat n is written in cycle n
        read = np.maximum.accumulate(np.maximum(need, 0) - beats) + beats
        current = np.searchsorted(read, cycles)
    else:  # beat b is read in cycle b
        written = np.full(FRAMES * frame, FRAMES * given)
        there = need > 0
        np.minimum.at(written, need[there] - 1, beats[there] - 1)
        current = np.minimum.accumulate((written - cycles)[::-1])[::-1] + cycles
    steady = slice(2 * frame, 3 * frame)
    return int((cycles - lower[np.clip(current, 0, len(lower) - 1)])[steady].max()) + 1
