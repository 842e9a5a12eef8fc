"""Frames as arrays of 32-bit words, all beats at once: the files that a compiled bench reads and writes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lutwright.frontend.ir import Array
from lutwright.hdl.beats import Beats

WORD = 32
Words = NDArray[np.uint32]


def word_count(bits: int) -> int:
    """The words of a beat's payload, low word first."""
    return -(-bits // WORD)


def pack_words(beats: Beats, samples: Array) -> Words:
    """[n · per_frame, words]: the payloads of `samples` [n, *shape]; the same as `Beats.pack` of each."""
    x = beats.type
    lanes = np.zeros((len(samples) * x.vectors, beats.per_vector * beats.lanes), np.uint64)
    lanes[:, : x.channels] = samples.reshape(-1, x.channels).astype(np.int64).view(np.uint64)
    lanes = lanes.reshape(-1, beats.lanes) & np.uint64((1 << x.width) - 1)
    words = np.zeros((len(lanes), word_count(beats.bits)), np.uint32)
    for lane in range(beats.lanes):
        for word, shift in _places(lane, x.width):
            part = lanes[:, lane] >> np.uint64(-shift) if shift < 0 else lanes[:, lane] << np.uint64(shift)
            words[:, word] |= part.astype(np.uint32)
    word, bit = divmod(beats.bits - 1, WORD)
    words[beats.per_frame - 1 :: beats.per_frame, word] |= np.uint32(1 << bit)
    return words


def unpack_words(beats: Beats, words: Words) -> Array:
    """int64 [n, *shape]: the samples of the payloads [n · per_frame, words]; the inverse of `pack_words`."""
    x = beats.type
    lanes = np.zeros((len(words), beats.lanes), np.uint64)
    for lane in range(beats.lanes):
        for word, shift in _places(lane, x.width):
            part = words[:, word].astype(np.uint64)
            lanes[:, lane] |= part << np.uint64(-shift) if shift < 0 else part >> np.uint64(shift)
    values = (lanes & np.uint64((1 << x.width) - 1)).view(np.int64)
    if x.signed:
        values -= (values >> (x.width - 1)) << x.width
    vectors = values.reshape(-1, beats.per_vector * beats.lanes)[:, : x.channels]
    return vectors.reshape(-1, *x.shape)


def lasts(beats: Beats, words: Words) -> NDArray[np.bool_]:
    """[n, per_frame]: whether each payload is marked `last`."""
    word, bit = divmod(beats.bits - 1, WORD)
    return ((words[:, word] >> np.uint32(bit)) & 1).astype(np.bool_).reshape(-1, beats.per_frame)


def _places(lane: int, width: int) -> Iterator[tuple[int, int]]:
    """The words that hold bits of a lane, and how far it is shifted to the left in each (negative: to the right)."""
    start = lane * width
    for word in range(start // WORD, (start + width - 1) // WORD + 1):
        yield word, start - word * WORD
