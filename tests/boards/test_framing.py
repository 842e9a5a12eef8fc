"""The host's end of the frames, and samples as payloads."""

from __future__ import annotations

import random

import numpy as np
import pytest

from lutwright.boards.framing import FLAG, Decoder, Frame, Kind, encode
from lutwright.boards.payload import beat_bytes, pack, sample_bytes, unpack
from lutwright.errors import OptionError
from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats

PAYLOADS = [b"", b"\x00", b"\x7e", b"\x7d", b"\x7d\x5e\x7e\x7d\x5d", bytes(range(256)), b"\x7e\x7d" * 300]
TYPES = [
    (Type((5,), -1, 1), 2),
    (Type((10,), 0, 1), 10),
    (Type((2, 3, 4), -128, 127), 4),
    (Type((3, 7), 0, 511), 3),
    (Type((), -9, 4), 1),
    (Type((4,), -(2**40), 2**40), 3),
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_frame_comes_back(payload: bytes) -> None:
    frame = Frame(Kind.RUN, 0x7E, payload)
    line = encode(frame)
    assert line.count(FLAG) == 2
    assert Decoder().feed(line) == [frame]


@pytest.mark.parametrize("seed", range(5))
def test_frames_in_pieces_amid_garbage(seed: int) -> None:
    rng = random.Random(seed)
    frames = [Frame(rng.randrange(256), rng.randrange(256), rng.randbytes(rng.randrange(40))) for _ in range(50)]
    line = b"".join(rng.randbytes(rng.randrange(6)).replace(b"\x7e", b"") + encode(frame) for frame in frames)
    decoder, got = Decoder(), []
    while line:
        cut = rng.randrange(1, 30)
        got += decoder.feed(line[:cut])
        line = line[cut:]
    assert got == frames


def test_no_single_flipped_bit_passes() -> None:
    frame = Frame(Kind.RESULT, 5, bytes([0x7E, 0x7D, 0x00, 0x5E, 0xFF, 0x7C]))
    line = encode(frame)
    for place in range(8 * len(line)):
        broken = bytearray(line)
        broken[place // 8] ^= 1 << (place % 8)
        assert Decoder().feed(bytes(broken)) == [], f"bit {place}"


@pytest.mark.parametrize(
    "broken", [b"\x7d", b"\x82", b"\x82\x01\x00\x00\x7d", b"\x7d\x7d\x7d", b"\x82\x01\x00\x05abcde"]
)
def test_what_is_no_frame_is_dropped(broken: bytes) -> None:
    good = Frame(Kind.RESULT, 1, b"x")
    assert Decoder().feed(b"\x7e" + broken + encode(good)) == [good]


@pytest.mark.parametrize(("type", "lanes"), TYPES, ids=str)
def test_payload_comes_back_and_is_that_of_beats(type: Type, lanes: int) -> None:
    beats = Beats(type, lanes)
    samples = np.random.default_rng(3).integers(type.lo, type.hi + 1, (9, *type.shape))
    samples[0], samples[-1] = type.lo, type.hi
    payloads = pack(beats, samples)
    np.testing.assert_array_equal(unpack(beats, payloads), samples)
    for payload, sample in zip(payloads, samples, strict=True):
        words = [word & ~(1 << (beats.bits - 1)) for word in beats.pack(sample)]
        assert payload == b"".join(word.to_bytes(beat_bytes(beats), "little") for word in words)
        assert len(payload) == sample_bytes(beats)


def test_too_large_a_sample_is_refused() -> None:
    with pytest.raises(OptionError, match="at most 65535 bytes"):
        sample_bytes(Beats(Type((256, 256, 3), 0, 255), 1))
