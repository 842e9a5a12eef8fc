"""How a tensor travels: streams of beats, channel last, raster order, some lanes a beat.

A frame is one sample. A vector (all channels at one position) takes `ceil(channels / lanes)` beats; lanes past its
last channel carry 0. `last` marks the last beat of a frame. As in `amaranth.lib.stream`: `valid` never waits for
`ready`, and the payload is stable while `valid & ~ready`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from amaranth import Shape
from amaranth.lib import data, stream

from lutwright.frontend.ir import Array, Type


@dataclass(frozen=True)
class Beats:
    """The stream of a tensor of one Type with `lanes` elements a beat."""

    type: Type
    lanes: int

    @property
    def shape(self) -> Shape:
        """The shape of one element."""
        return Shape(self.type.width, self.type.signed)

    @property
    def per_vector(self) -> int:
        return -(-self.type.channels // self.lanes)

    @property
    def per_frame(self) -> int:
        return self.per_vector * self.type.vectors

    @property
    def layout(self) -> data.StructLayout:
        return data.StructLayout({"data": data.ArrayLayout(self.shape, self.lanes), "last": 1})

    @property
    def signature(self) -> stream.Signature:
        return stream.Signature(self.layout)

    @property
    def bits(self) -> int:
        """Bits of a beat's payload: the lanes, lane 0 lowest, then `last`."""
        return self.type.width * self.lanes + 1

    def pack(self, sample: Array) -> list[int]:
        """The payloads, as integers, of one sample of the Type's shape."""
        vectors = sample.reshape(self.type.vectors, self.type.channels)
        padded = np.zeros((self.type.vectors, self.per_vector * self.lanes), dtype=np.int64)
        padded[:, : self.type.channels] = vectors
        beats = padded.reshape(self.per_frame, self.lanes)
        width, mask = self.type.width, (1 << self.type.width) - 1
        words = [sum((int(value) & mask) << (lane * width) for lane, value in enumerate(beat)) for beat in beats]
        words[-1] |= 1 << (width * self.lanes)
        return words

    def unpack(self, words: list[int]) -> Array:
        """The sample of the Type's shape whose payloads are `words`; the inverse of `pack`."""
        width, mask = self.type.width, (1 << self.type.width) - 1
        beats = np.array(
            [[(word >> (lane * width)) & mask for lane in range(self.lanes)] for word in words],
            dtype=np.int64,
        )
        if self.type.signed:
            beats -= (beats >> (width - 1)) << width
        vectors = beats.reshape(self.type.vectors, self.per_vector * self.lanes)[:, : self.type.channels]
        return vectors.reshape(self.type.shape)

    def lasts(self, words: list[int]) -> Iterator[bool]:
        """Whether each payload is marked `last`."""
        return (bool(word >> (self.type.width * self.lanes)) for word in words)
