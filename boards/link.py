"""The device's end of the host link: frames in, samples to the core, results and refusals out. See `framing`."""

from __future__ import annotations

from typing import Any

from amaranth import Array as Choice
from amaranth import Cat, Const, Module, Mux, Signal, signed
from amaranth.hdl import Value
from amaranth.lib import stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from lutwright.boards.framing import ESCAPE, FLAG, FLIP, STATUS_BYTES, VERSION, Fault, Kind
from lutwright.boards.payload import beat_bytes, sample_bytes
from lutwright.hdl.beats import Beats

HEADER, CRC = 4, 2  # bytes
ROWS = 2048  # bytes of a block RAM of the largest kind


class Deframer(wiring.Component):
    """Judges each frame of a stream of bytes, and writes RUN payloads of `size` bytes into a buffer.

    `i_data`, `i_valid`: bytes, at least 2 cycles apart. `full`: nothing may be written now; a RUN frame that met it is
    BUSY. `w_address`, `w_data`, `w_enable`: the buffer. `o_valid`: a frame has ended; `kind`, `sequence` and `fault`
    are its own.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(
            {
                "i_data": In(8),
                "i_valid": In(1),
                "full": In(1),
                "w_address": Out(range(size)),
                "w_data": Out(8),
                "w_enable": Out(1),
                "o_valid": Out(1),
                "kind": Out(8),
                "sequence": Out(8),
                "fault": Out(Fault),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740(data_width=8).create()
        end = self.size + CRC  # the position after a good frame; the one past it means too long
        position = Signal(signed((end + 1).bit_length() + 1), init=-HEADER)  # of the payload
        header, escaped, lost = Signal(8 * HEADER), Signal(), Signal()
        length = header[:16]
        m.d.comb += [
            Cat(self.sequence, self.kind).eq(header[16:]),
            self.w_data.eq(self.i_data ^ (escaped * FLIP)),
            self.w_address.eq(position),
            crc.data.eq(self.w_data),
        ]
        with m.If(self.i_valid & (self.i_data == FLAG)):
            m.d.comb += [self.o_valid.eq(position != -HEADER), crc.start.eq(1)]
            m.d.sync += [position.eq(-HEADER), escaped.eq(0), lost.eq(0)]
        with m.Elif(self.i_valid & (self.i_data == ESCAPE)):
            m.d.sync += escaped.eq(1)
        with m.Elif(self.i_valid):
            m.d.comb += crc.valid.eq(1)
            m.d.sync += escaped.eq(0)
            with m.If(position != end + 1):
                m.d.sync += position.eq(position + 1)
            with m.If(position < 0):
                m.d.sync += header.eq(Cat(self.w_data, header))
            with m.Elif(position < self.size):
                m.d.comb += self.w_enable.eq(~self.full)
                m.d.sync += lost.eq(lost | self.full)
        run = self.kind == Kind.RUN
        with m.If(position == end + 1):
            m.d.comb += self.fault.eq(Fault.LENGTH)
        with m.Elif(~crc.match_detected):
            m.d.comb += self.fault.eq(Fault.CRC)
        with m.Elif(~run & (self.kind != Kind.INFO)):
            m.d.comb += self.fault.eq(Fault.KIND)
        with m.Elif((length != Mux(run, self.size, 0)) | (position != Mux(run, end, CRC))):
            m.d.comb += self.fault.eq(Fault.LENGTH)
        with m.Elif(run & lost):
            m.d.comb += self.fault.eq(Fault.BUSY)
        return m


class Feeder(wiring.Component):
    """Gives a sample of the buffer to the core, a beat in `3 * bytes + 1` cycles.

    `start`: a sample is there. `address`, `data`: of the buffer, two cycles later. `done`: the sample's last
    beat was taken.
    """

    def __init__(self, beats: Beats) -> None:
        self.beats = beats
        self.size, self.bytes = sample_bytes(beats), beat_bytes(beats)
        super().__init__(
            {
                "start": In(1),
                "done": Out(1),
                "address": Out(range(self.size)),
                "data": In(8),
                "o": Out(beats.signature),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        shift, count = Signal(8 * self.bytes), Signal(range(self.bytes))
        last = self.address == self.size - 1
        m.d.comb += self.o.payload.as_value().eq(Cat(shift[: self.beats.bits - 1], last))
        with m.FSM():
            with m.State("read"), m.If(self.start):
                m.next = "wait"
            with m.State("wait"):
                m.next = "take"
            with m.State("take"):
                m.d.sync += shift.eq(Cat(shift, self.data)[8:])
                with m.If(count == self.bytes - 1):
                    m.d.sync += count.eq(0)
                    m.next = "give"
                with m.Else():
                    m.d.sync += [count.eq(count + 1), self.address.eq(self.address + 1)]
                    m.next = "read"
            with m.State("give"):
                m.d.comb += self.o.valid.eq(1)
                with m.If(self.o.ready):
                    m.d.comb += self.done.eq(last)
                    m.d.sync += self.address.eq(Mux(last, 0, self.address + 1))
                    m.next = "read"
        return m


class Framer(wiring.Component):
    """Sends frames: a result as soon as the core gives one, else a status where `status` asks for it.

    So refusals, however many, can't keep results from leaving.

    `status`, `fault`, `status_sequence`: taken when `status_taken`. `sequence`: the next result's, until `result_done`.
    """

    def __init__(self, beats: Beats, digest: int, window: int) -> None:
        self.beats, self.digest, self.window = beats, digest, window
        super().__init__(
            {
                "status": In(1),
                "fault": In(Fault),
                "status_sequence": In(8),
                "status_taken": Out(1),
                "sequence": In(8),
                "result_done": Out(1),
                "i": In(beats.signature),
                "o": Out(stream.Signature(8)),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740(data_width=8).create()
        size, beat = sample_bytes(self.beats), beat_bytes(self.beats)
        byte, free, plain, escaped = Signal(8), Signal(init=1), Signal(), Signal()
        special = ~plain & ~escaped & ((byte == FLAG) | (byte == ESCAPE))
        m.d.comb += [
            self.o.valid.eq(~free),
            self.o.payload.eq(Mux(special, ESCAPE, byte ^ (escaped * FLIP))),
            crc.data.eq(byte_in := Signal(8)),
        ]
        with m.If(self.o.valid & self.o.ready):
            m.d.sync += [escaped.eq(special), free.eq(~special)]

        index, is_status = Signal(range(max(beat, STATUS_BYTES))), Signal()
        sequence, fault = Signal(8), Signal(8)
        header = Cat(
            Mux(is_status, Const(Kind.STATUS, 8), Const(Kind.RESULT, 8)),
            sequence,
            Mux(is_status, _bytes(STATUS_BYTES, 2), _bytes(size, 2)),
        )
        status = Cat(fault, Const(VERSION, 8), Const(self.window, 8), _bytes(self.digest, 4))
        lanes = Cat(self.i.payload.data, Const(0, 8 * beat - self.beats.bits + 1))

        def send(value: Value | int) -> None:
            m.d.comb += byte_in.eq(value)
            m.d.sync += [byte.eq(byte_in), free.eq(0), plain.eq(0)]

        with m.FSM():
            with m.State("idle"), m.If(free & (self.status | self.i.valid)):
                send(FLAG)
                m.d.comb += [crc.start.eq(1), self.status_taken.eq(~self.i.valid)]
                m.d.sync += [is_status.eq(~self.i.valid), fault.eq(self.fault), plain.eq(1)]
                m.d.sync += sequence.eq(Mux(self.i.valid, self.sequence, self.status_sequence))
                m.next = "header"
            with m.State("header"), m.If(free):
                send(header.word_select(index[:2], 8))
                m.d.comb += crc.valid.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == HEADER - 1):
                    m.d.sync += index.eq(0)
                    m.next = "payload"
            with m.State("payload"), m.If(free & (is_status | self.i.valid)):
                send(Mux(is_status, status.word_select(index, 8), lanes.word_select(index, 8)))
                m.d.comb += crc.valid.eq(1)
                m.d.sync += index.eq(index + 1)
                with m.If(index == Mux(is_status, STATUS_BYTES - 1, beat - 1)):
                    m.d.comb += self.i.ready.eq(~is_status)
                    m.d.sync += index.eq(0)
                    with m.If(is_status | self.i.payload.last):
                        m.next = "crc high"
            with m.State("crc high"), m.If(free):
                send(crc.crc[8:])
                m.next = "crc low"
            with m.State("crc low"), m.If(free):
                send(crc.crc[:8])
                m.next = "end"
            with m.State("end"), m.If(free):
                send(FLAG)
                m.d.sync += plain.eq(1)
                m.d.comb += self.result_done.eq(~is_status)
                m.next = "idle"
        return m


def _bytes(value: int, count: int) -> Const:
    """The number as bytes in the order of the line, high byte first."""
    return Const(int.from_bytes(value.to_bytes(count, "big"), "little"), 8 * count)


def buffer_bytes(beats: Beats, window: int) -> int:
    """The depth of the memory that holds `window` samples."""
    size = sample_bytes(beats)
    return (window - 1) * (1 << (size - 1).bit_length()) + size


class SampleBuffer(wiring.Component):
    """So many bytes, in memories of ROWS each with a register behind it: what selects one is not behind a block RAM.

    `data`: the byte at `address`, once that has stayed for two cycles.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        address = range(max(2, depth))
        super().__init__(
            {
                "w_address": In(address),
                "w_data": In(8),
                "w_enable": In(1),
                "address": In(address),
                "data": Out(8),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        row_bits = (ROWS - 1).bit_length()
        held = [Signal(8, name=f"held{start // ROWS}", reset_less=True) for start in range(0, self.depth, ROWS)]
        for number, register in enumerate(held):
            memory = Memory(shape=8, depth=min(ROWS, self.depth - number * ROWS), init=[])
            m.submodules[f"memory{number}"] = memory
            write, read = memory.write_port(), memory.read_port()
            m.d.comb += [
                write.addr.eq(self.w_address[:row_bits]),
                write.data.eq(self.w_data),
                write.en.eq(self.w_enable & (self.w_address >> row_bits == number)),
                read.addr.eq(self.address[:row_bits]),
            ]
            m.d.sync += register.eq(read.data)
        m.d.comb += self.data.eq(Choice(held)[self.address >> row_bits])
        return m


class Link(wiring.Component):
    """Bytes of requests in, bytes of answers out, the core between `to_core` and `from_core`.

    `i_data`, `i_valid`: bytes from the host. `o`: bytes to the host. Holds `window` samples (1 or 2): with 2, one
    arrives while another is computed.
    """

    def __init__(self, i_beats: Beats, o_beats: Beats, digest: int, window: int = 2) -> None:
        self.i_beats, self.o_beats, self.digest, self.window = i_beats, o_beats, digest, window
        super().__init__(
            {
                "i_data": In(8),
                "i_valid": In(1),
                "o": Out(stream.Signature(8)),
                "to_core": Out(i_beats.signature),
                "from_core": In(o_beats.signature),
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        size = sample_bytes(self.i_beats)
        m.submodules.deframer = deframer = Deframer(size)
        m.submodules.feeder = feeder = Feeder(self.i_beats)
        m.submodules.framer = framer = Framer(self.o_beats, self.digest, self.window)
        m.submodules.buffer = buffer = SampleBuffer(buffer_bytes(self.i_beats, self.window))
        wiring.connect(m, wiring.flipped(self.to_core), feeder.o)
        wiring.connect(m, framer.i, wiring.flipped(self.from_core))
        wiring.connect(m, wiring.flipped(self.o), framer.o)

        # Requests accepted, given to the core, and answered: the low bit is the bank of the next one.
        accepted, fed, answered = (
            Signal(self.window.bit_length(), name=name) for name in ("accepted", "fed", "answered")
        )
        sequences = Signal(8 * self.window)

        def bank(count: Signal) -> Value:
            return count[: self.window - 1]

        m.d.comb += [
            deframer.i_data.eq(self.i_data),
            deframer.i_valid.eq(self.i_valid),
            deframer.full.eq((accepted - answered)[: len(accepted)] == self.window),
            buffer.w_address.eq(Cat(deframer.w_address, bank(accepted))),
            buffer.w_data.eq(deframer.w_data),
            buffer.w_enable.eq(deframer.w_enable),
            feeder.start.eq(fed != accepted),
            buffer.address.eq(Cat(feeder.address, bank(fed))),
            feeder.data.eq(buffer.data),
            framer.sequence.eq(sequences.word_select(bank(answered), 8)),
        ]
        m.d.sync += [fed.eq(fed + feeder.done), answered.eq(answered + framer.result_done)]

        # One status at a time: a later one replaces it, the host asks again.
        status, fault, sequence = Signal(), Signal(Fault), Signal(8)
        with m.If(framer.status_taken):
            m.d.sync += status.eq(0)
        with m.If(deframer.o_valid):
            with m.If((deframer.kind == Kind.RUN) & (deframer.fault == Fault.NONE)):
                m.d.sync += [accepted.eq(accepted + 1), sequences.word_select(bank(accepted), 8).eq(deframer.sequence)]
            with m.Else():
                m.d.sync += [status.eq(1), fault.eq(deframer.fault), sequence.eq(deframer.sequence)]
        m.d.comb += [
            framer.status.eq(status & ((fault != Fault.NONE) | (accepted == answered))),
            framer.fault.eq(fault),
            framer.status_sequence.eq(sequence),
        ]
        return m
