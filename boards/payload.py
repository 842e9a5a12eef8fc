"""A sample as the bytes of a frame's payload.

Beat after beat as in `lutwright.hdl.beats`: a beat's lanes, lane 0 lowest, lanes past a vector's last channel 0, padded
to whole bytes, the low byte first.
"""

from __future__ import annotations

import numpy as np

from lutwright.boards.framing import MAX_PAYLOAD
from lutwright.errors import OptionError
from lutwright.frontend.ir import Array
from lutwright.hdl.beats import Beats


def beat_bytes(beats: Beats) -> int:
    return -(-beats.type.width * beats.lanes // 8)


def sample_bytes(beats: Beats) -> int:
    """Bytes of a sample; OptionError if a frame can't carry them."""
    size = beat_bytes(beats) * beats.per_frame
    if size > MAX_PAYLOAD:
        raise OptionError(
            f"a sample must take at most {MAX_PAYLOAD} bytes on the host link, but {beats.type} with {beats.lanes} "
            f"lanes takes {size}. Take more lanes a beat, or a smaller model."
        )
    return size


def pack(beats: Beats, samples: Array) -> list[bytes]:
    """The payload of each sample of `samples` [n, *beats.type.shape]."""
    type, lanes = beats.type, beats.lanes
    padded = np.zeros((len(samples), type.vectors, beats.per_vector * lanes), dtype=np.int64)
    padded[:, :, : type.channels] = samples.reshape(len(samples), type.vectors, type.channels)
    bits = (padded.reshape(-1, lanes, 1) >> np.arange(type.width)) & 1
    packed = np.packbits(bits.astype(np.uint8).reshape(-1, lanes * type.width), axis=1, bitorder="little")
    return [row.tobytes() for row in packed.reshape(len(samples), sample_bytes(beats))]


def unpack(beats: Beats, payloads: list[bytes]) -> Array:
    """The samples int64 [n, *beats.type.shape] of the payloads; the inverse of `pack`."""
    type, lanes = beats.type, beats.lanes
    rows = np.frombuffer(b"".join(payloads), dtype=np.uint8).reshape(-1, beat_bytes(beats))
    bits = np.unpackbits(rows, axis=1, count=lanes * type.width, bitorder="little").astype(np.int64)
    weights = 1 << np.arange(type.width, dtype=np.int64)
    if type.signed:
        weights[-1] = -weights[-1]
    values = bits.reshape(-1, lanes, type.width) @ weights
    vectors = values.reshape(len(payloads), type.vectors, beats.per_vector * lanes)[:, :, : type.channels]
    return vectors.reshape(len(payloads), *type.shape)
