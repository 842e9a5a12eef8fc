"""The host's side of the link: samples out, results back, over any port that pyserial opens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import serial

from lutwright.boards.framing import VERSION, Decoder, ErrorCode, Frame, Type, encode
from lutwright.errors import LinkError
from lutwright.frontend.ir import Array
from lutwright.frontend.ir import Type as Tensor
from lutwright.hdl.beats import Beats

IN_FLIGHT = 2


@dataclass(frozen=True)
class HostConfig:
    """What the driver must know of a design: the beats of its two ends, its digest, and the UART's speed."""

    input: Beats
    output: Beats
    digest: int
    baud: int

    def to_json(self) -> dict[str, Any]:
        """A plain object, for host.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> HostConfig:
        """The inverse of `to_json`."""

        def beats(part: dict[str, Any]) -> Beats:
            kind = part["type"]
            return Beats(Tensor(tuple(kind["shape"]), kind["lo"], kind["hi"]), part["lanes"])

        return cls(beats(facts["input"]), beats(facts["output"]), facts["digest"], facts["baud"])


def to_bytes(beats: Beats, sample: Array) -> bytes:
    """A sample as the payload of a frame: every beat's lanes in whole bytes, low byte first."""
    bits = beats.lanes * beats.type.width
    mask, size = (1 << bits) - 1, -(-bits // 8)
    return b"".join((word & mask).to_bytes(size, "little") for word in beats.pack(sample))


def from_bytes(beats: Beats, payload: bytes) -> Array:
    """The inverse of `to_bytes`."""
    size = -(-beats.lanes * beats.type.width // 8)
    words = [int.from_bytes(payload[start : start + size], "little") for start in range(0, len(payload), size)]
    return beats.unpack(words)


class BoardDriver:
    """A connection to a programmed board; a context manager.

    `port` is a serial port or a pyserial URL. Requests are repeated up to `retries` times when the board answers with an
    error or not within `timeout` seconds. LinkError says what failed and what to do.
    """

    def __init__(self, port: str, config: HostConfig, *, timeout: float = 1.0, retries: int = 4) -> None:
        self.config, self.timeout, self.retries = config, timeout, retries
        self.resent = 0
        self._decoder, self._sequence = Decoder(), 0
        try:
            self._port = serial.serial_for_url(port, baudrate=config.baud, timeout=0.02)
        except (serial.SerialException, ValueError, OSError) as error:
            raise LinkError(f"the port '{port}' must open: {error}. Check the cable and --port.") from None

    def __enter__(self) -> BoardDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self._port.close()

    def check_design(self) -> None:
        """LinkError unless the board runs the design that the configuration describes."""
        reply = self._exchange(Frame(Type.INFO, self._next(), b""))
        version, digest = reply[0], int.from_bytes(reply[1:5], "little")
        if version != VERSION:
            raise LinkError(f"the board must speak version {VERSION} of the link, it speaks {version}. Build it again.")
        if digest != self.config.digest:
            raise LinkError(
                f"the board must run design {self.config.digest:08x}, it runs {digest:08x}. Program it with this build."
            )

    def run(self, samples: Array, progress: Callable[[int, int], None] | None = None) -> Array:
        """The outputs [n, *output shape] for samples [n, *input shape], with two requests under way at a time."""
        self.check_design()
        results: list[Array | None] = [None] * len(samples)
        waiting: deque[tuple[int, int, float]] = deque()  # sample, sequence, when it was sent
        todo, tries, done = deque(range(len(samples))), [0] * len(samples), 0

        def again(index: int, why: str) -> None:
            tries[index] += 1
            self.resent += 1
            if tries[index] > self.retries:
                raise LinkError(
                    f"sample {index} must be answered, but after {tries[index]} tries the last failed: {why}. "
                    "Check the cable and the baud rate, and reset the board."
                )
            todo.appendleft(index)

        while done < len(samples):
            while todo and len(waiting) < IN_FLIGHT:
                index, sequence = todo.popleft(), self._next()
                self._port.write(encode(Frame(Type.INFER, sequence, to_bytes(self.config.input, samples[index]))))
                waiting.append((index, sequence, time.monotonic()))
            for frame in self._decoder.feed(self._receive()):
                match = next((entry for entry in waiting if entry[1] == frame.sequence), None)
                if match is None:
                    continue  # a late answer to a request that was repeated
                waiting.remove(match)
                if frame.type == Type.INFER_REPLY:
                    results[match[0]] = self._result(frame.payload)
                    done += 1
                    if progress is not None:
                        progress(done, len(samples))
                else:
                    again(match[0], _error(frame))
            now = time.monotonic()
            for entry in [entry for entry in waiting if now - entry[2] > self.timeout]:
                waiting.remove(entry)
                again(entry[0], f"no answer within {self.timeout:g} s")
        return np.array(results)

    def _result(self, payload: bytes) -> Array:
        beats = self.config.output
        size = beats.per_frame * -(-beats.lanes * beats.type.width // 8)
        if len(payload) != size:
            raise LinkError(f"a result must have {size} bytes, not {len(payload)}. Program the board with this build.")
        return from_bytes(beats, payload)

    def _exchange(self, frame: Frame) -> bytes:
        """The payload of the reply to one request."""
        why = "no answer"
        for _ in range(self.retries + 1):
            self._port.write(encode(frame))
            deadline = time.monotonic() + self.timeout
            while time.monotonic() < deadline:
                for reply in self._decoder.feed(self._receive()):
                    if reply.sequence == frame.sequence and reply.type == frame.type | 0x80:
                        return reply.payload
                    why = _error(reply)
        raise LinkError(
            f"the board must answer, but: {why}. Check that it is programmed, the cable, and the baud rate."
        )

    def _receive(self) -> bytes:
        return bytes(self._port.read(max(1, self._port.in_waiting)))

    def _next(self) -> int:
        self._sequence = (self._sequence + 1) % 256
        return self._sequence


def _error(frame: Frame) -> str:
    if frame.type != Type.ERROR or len(frame.payload) != 1:
        return f"an unexpected reply of type {frame.type:#x}"
    known = {code.value: code.name for code in ErrorCode}
    return f"the board's error {known.get(frame.payload[0], frame.payload[0])}"
