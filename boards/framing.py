"""The host link's frames, as the host writes and reads them.

    0x7E | kind (1) | sequence (1) | length (2) | payload (length) | CRC-16 (2) | 0x7E

Between the delimiters 0x7E every 0x7E and 0x7D is sent as 0x7D followed by the byte with bit 5 flipped, as in RFC 1662.
A delimiter is thus never data: after garbage, a cut or an over-long frame, the receiver is in step again at the next
one. (COBS has less overhead in the worst case, but its sender must look 254 bytes ahead, which takes a memory.)
Empty frames are ignored, so frames may begin and end with a delimiter. Length and CRC come high byte first. The CRC is
CRC-16/IBM-3740 (polynomial 0x1021, start 0xFFFF) of kind to payload: it finds every burst of up to 16 bits; pieces of
frames that would pass it by chance are also refused by their length, since every kind has just one.

Requests: INFO (no payload), RUN (one sample, as `lutwright.boards.payload` packs it).
Answers: RESULT (one output), and STATUS: a code (1 byte; 0 is the answer to INFO, else a Fault), the protocol version
(1), the window (1), the digest of the design (4, high byte first). An answer has its request's sequence number; a
fault that of what it refuses, which after a CRC error means nothing. Samples are answered in the order of the requests,
and INFO when all earlier samples are answered. Up to `window` (1 or 2) RUN requests may be on their way; more are
refused as BUSY.
"""

from __future__ import annotations

from binascii import crc_hqx
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

FLAG, ESCAPE, FLIP = 0x7E, 0x7D, 0x20
VERSION = 1
MAX_PAYLOAD = 0xFFFF
STATUS_BYTES = 7
MAX_WINDOW = 2


class Kind(IntEnum):
    """What a frame is."""

    INFO = 0x01
    RUN = 0x02
    STATUS = 0x81
    RESULT = 0x82


class Fault(IntEnum):
    """Why a request was refused: the code of a status."""

    NONE = 0
    CRC = 1
    LENGTH = 2
    KIND = 3
    BUSY = 4


@dataclass(frozen=True)
class Frame:
    kind: int
    sequence: int
    payload: bytes = b""


def encode(frame: Frame) -> bytes:
    """The frame's bytes on the line, a delimiter at each end."""
    body = bytes([frame.kind, frame.sequence]) + len(frame.payload).to_bytes(2, "big") + frame.payload
    body += crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    for special in (ESCAPE, FLAG):
        body = body.replace(bytes([special]), bytes([ESCAPE, special ^ FLIP]))
    return bytes([FLAG]) + body + bytes([FLAG])


class Decoder:
    """Frames out of a stream of bytes; whatever is not a frame is dropped."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in `data`, in order."""
        *pieces, self.rest = (self.rest + data).split(bytes([FLAG]))
        return [frame for piece in pieces if (frame := _decode(piece)) is not None]


def _decode(piece: bytes) -> Frame | None:
    if any(first == ESCAPE and second not in (FLAG ^ FLIP, ESCAPE ^ FLIP) for first, second in pairwise(piece)):
        return None
    for special in (FLAG, ESCAPE):
        piece = piece.replace(bytes([ESCAPE, special ^ FLIP]), bytes([special]))
    payload = piece[4:-2]
    if len(piece) < 6 or crc_hqx(piece, 0xFFFF) != 0 or int.from_bytes(piece[2:4], "big") != len(payload):
        return None
    return Frame(piece[0], piece[1], payload)
