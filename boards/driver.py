"""The host's driver: samples to a board and outputs back, over a serial port or a socket."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any

import numpy as np
import serial

from lutwright.boards.framing import MAX_WINDOW, STATUS_BYTES, VERSION, Decoder, Fault, Frame, Kind, encode
from lutwright.boards.payload import pack, sample_bytes, unpack
from lutwright.errors import DataError, LinkError
from lutwright.frontend.ir import Array, Type
from lutwright.hdl.beats import Beats

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class HostConfig:
    """What the driver must know of a design: the beats of its two ends, its digest, and the serial port's speed.

    `seconds`: the longest that it computes on one sample.
    """

    input: Beats
    output: Beats
    digest: int
    baud: int
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A plain object, for host.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> HostConfig:
        """The inverse of `to_json`; what else is in `facts` is ignored."""

        def beats(part: dict[str, Any]) -> Beats:
            kind = part["type"]
            return Beats(Type(tuple(kind["shape"]), kind["lo"], kind["hi"]), part["lanes"])

        return cls(
            beats(facts["input"]),
            beats(facts["output"]),
            int(facts["digest"]),
            int(facts["baud"]),
            float(facts["seconds"]),
        )


class BoardDriver:
    """A programmed board. `port`: a serial port ('/dev/ttyUSB1', 'COM3') or what pyserial takes ('socket://host:port').

    Checks at once that the board answers and carries the design of `config`. `patience`: extra seconds to wait for an
    answer; `attempts`: how often in a row a sample may fail before it is given up; `resent`: how often one did.
    """

    def __init__(self, port: str, config: HostConfig, *, patience: float = 1.0, attempts: int = 5) -> None:
        self.url, self.config, self.attempts = port, config, attempts
        size = sample_bytes(config.input) + sample_bytes(config.output)
        # A byte has 10 bits on the line, and may be two after stuffing.
        line = (size + 32) * 20 / config.baud
        self.timeout = patience + MAX_WINDOW * (config.seconds + line)
        self.window = 1  # requests on their way; the board says how many it holds
        self.sequence = time.monotonic_ns() & 0xFF  # so that answers to an earlier driver are unlikely to pass
        self.resent = 0
        self.decoder = Decoder()
        try:
            self.port = serial.serial_for_url(port, baudrate=config.baud, timeout=0.05, write_timeout=self.timeout)
        except (serial.SerialException, ValueError, OSError) as error:
            raise LinkError(
                f"the port '{port}' must open, but: {error}. Check that the board is plugged in, that its name is "
                "right and that you may use it (on Linux: the group dialout)."
            ) from None
        try:
            self.synchronize()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> BoardDriver:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self.port.close()

    def synchronize(self) -> None:
        """Wait until the board has nothing left to do, and check that it carries the design."""
        for _ in range(self.attempts):
            sequence = self._send(Kind.INFO, b"")
            deadline = time.monotonic() + self.timeout
            while (frames := self._receive(deadline)) is not None:
                for frame in frames:
                    if (frame.kind, frame.sequence) == (Kind.STATUS, sequence) and frame.payload[:1] == b"\x00":
                        self._check(frame)
                        return
        raise LinkError(
            f"the board at '{self.url}' must answer, but said nothing understandable in {self.attempts} times "
            f"{self.timeout:.1f} s. Check the port and that the board is programmed with this build's bitstream."
        )

    def _check(self, status: Frame) -> None:
        if len(status.payload) != STATUS_BYTES or status.payload[1] != VERSION:
            raise LinkError(
                f"the board must speak version {VERSION} of the link, and does not. Build and program again."
            )
        self.window, digest = status.payload[2], int.from_bytes(status.payload[3:], "big")
        if digest != self.config.digest:
            raise LinkError(
                f"the board must carry the design {self.config.digest:08x}, but carries {digest:08x}, another model or "
                "plan. Program this build's bitstream."
            )

    def run(self, samples: Array, progress: Progress | None = None) -> Array:
        """Outputs int64 [n, *output.shape] of `samples` [n, *input.shape]; `progress(done, total)` after each one."""
        kind = self.config.input.type
        if samples.shape[1:] != kind.shape or not np.issubdtype(samples.dtype, np.integer):
            raise DataError(
                f"samples must be integers of shape {['n', *kind.shape]}, found {samples.dtype} {list(samples.shape)}."
            )
        if samples.size and (samples.min() < kind.lo or samples.max() > kind.hi):
            raise DataError(f"samples must lie in [{kind.lo}, {kind.hi}], found [{samples.min()}, {samples.max()}].")
        payloads = pack(self.config.input, samples)
        answers = self._exchange(payloads, progress or (lambda done, total: None))
        return unpack(self.config.output, answers)

    def _exchange(self, payloads: list[bytes], progress: Progress) -> list[bytes]:
        """The answers to RUN requests, `window` of them on their way; what fails is synchronized and sent again."""
        answers: list[bytes] = []
        failed_at, failures = 0, 0
        while fault := self._stream(payloads, answers, progress):
            failures = failures + 1 if len(answers) == failed_at else 1
            failed_at = len(answers)
            if failures == self.attempts:
                raise LinkError(
                    f"sample {failed_at} must be answered, but failed {failures} times, the last time because {fault}. "
                    "Check the cable, or build with a lower baud rate."
                )
            self.synchronize()
            self.resent += 1
        return answers

    def _stream(self, payloads: list[bytes], answers: list[bytes], progress: Progress) -> str | None:
        """Go on after `answers` until all are there (None), or something fails (what)."""
        size = sample_bytes(self.config.output)
        flying: deque[int] = deque()
        deadline = time.monotonic() + self.timeout
        while len(answers) < len(payloads):
            while len(flying) < self.window and len(answers) + len(flying) < len(payloads):
                flying.append(self._send(Kind.RUN, payloads[len(answers) + len(flying)]))
            frames = self._receive(deadline)
            if frames is None:
                return f"no answer came within {self.timeout:.1f} s"
            for frame in frames:
                if frame.kind == Kind.STATUS and frame.payload[:1] != b"\x00":
                    return f"the board refused it ({_name(frame)})"
                if frame.kind != Kind.RESULT or not flying or frame.sequence != flying[0]:
                    continue  # of an earlier request that was given up
                if len(frame.payload) != size:
                    return f"its answer has {len(frame.payload)} bytes instead of {size}"
                flying.popleft()
                answers.append(frame.payload)
                deadline = time.monotonic() + self.timeout
                progress(len(answers), len(payloads))
        return None

    def _send(self, kind: Kind, payload: bytes) -> int:
        self.sequence = (self.sequence + 1) & 0xFF
        try:
            self.port.write(encode(Frame(kind, self.sequence, payload)))
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None
        return self.sequence

    def _receive(self, deadline: float) -> list[Frame] | None:
        """The frames of what has arrived, perhaps none; None after the deadline."""
        try:
            data = self.port.read(max(1, self.port.in_waiting))
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from None
        frames = self.decoder.feed(data)
        return None if not frames and time.monotonic() > deadline else frames

    def _lost(self, error: Exception) -> LinkError:
        return LinkError(f"the port '{self.url}' must stay open, but: {error}. Check the cable and run again.")


def _name(status: Frame) -> str:
    code = status.payload[0] if status.payload else -1
    return Fault(code).name if code in set(Fault) else f"unknown code {code}"
