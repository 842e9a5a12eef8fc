"""The host link's frames, as both sides know them.

On the wire a frame is SLIP (RFC 1055): bytes between END delimiters, with END and ESC inside replaced by two bytes. So no
byte of a frame can be taken for a delimiter, and whatever was lost or inserted, the next END starts afresh. Inside:

| bytes | field |
| --- | --- |
| 1 | type: INFO 0x01, INFER 0x02; replies have bit 7 set; ERROR 0xff |
| 1 | sequence number, repeated in the reply |
| 2 | length of the payload, low byte first |
| length | payload |
| 2 | CRC-16/IBM-3740 of all that comes before it, high byte first |

INFO's reply holds the protocol version (1 byte) and the design's digest (4 bytes). INFER carries the beats of one frame,
each in whole bytes, lane 0 in the lowest bits, low byte first; its reply likewise. ERROR holds one byte, an ErrorCode.
Replies come in the order of the requests. The host may have two INFER requests under way; a further one may be answered
BUSY, or, if the queue of replies is full, not at all.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

VERSION = 1
END, ESC, ESC_END, ESC_ESC = 0xC0, 0xDB, 0xDC, 0xDD
HEADER, CRC = 4, 2


class Type(IntEnum):
    """Types of frames."""

    INFO = 0x01
    INFER = 0x02
    INFO_REPLY = 0x81
    INFER_REPLY = 0x82
    ERROR = 0xFF


class ErrorCode(IntEnum):
    """Why the board did not take a request."""

    CRC = 1
    LENGTH = 2
    TYPE = 3
    BUSY = 4


@dataclass(frozen=True)
class Frame:
    """A frame without its wrapping."""

    type: int
    sequence: int
    payload: bytes


def encode(frame: Frame) -> bytes:
    """The frame on the wire, a delimiter at both ends."""
    body = bytes([frame.type, frame.sequence, *len(frame.payload).to_bytes(2, "little")]) + frame.payload
    body += binascii.crc_hqx(body, 0xFFFF).to_bytes(2, "big")
    body = body.replace(bytes([ESC]), bytes([ESC, ESC_ESC])).replace(bytes([END]), bytes([ESC, ESC_END]))
    return bytes([END]) + body + bytes([END])


class Decoder:
    """Finds the good frames in what comes in; everything else is counted in `bad` and dropped."""

    def __init__(self) -> None:
        self.bad = 0
        self._pending = bytearray()

    def feed(self, received: bytes) -> Iterator[Frame]:
        """The frames that `received` completes."""
        *parts, rest = received.split(bytes([END]))
        for part in parts:
            self._pending += part
            frame = self._frame(bytes(self._pending)) if self._pending else None
            self.bad += bool(self._pending) and frame is None
            self._pending.clear()
            if frame is not None:
                yield frame
        self._pending += rest

    @staticmethod
    def _frame(body: bytes) -> Frame | None:
        plain = body.replace(bytes([ESC, ESC_END]), bytes([END])).replace(bytes([ESC, ESC_ESC]), bytes([ESC]))
        if len(plain) < HEADER + CRC or binascii.crc_hqx(plain, 0xFFFF) != 0:
            return None
        payload = plain[HEADER:-CRC]
        return Frame(plain[0], plain[1], payload) if int.from_bytes(plain[2:4], "little") == len(payload) else None
