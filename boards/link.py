"""The board's side of the host link: frames in, beats through the core, frames out. The format is in `framing`."""

from __future__ import annotations

from amaranth import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.crc.catalog import CRC16_IBM_3740
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from lutwright.boards.framing import CRC, END, ESC, ESC_END, ESC_ESC, HEADER, VERSION, ErrorCode, Type
from lutwright.hdl.beats import Beats

REPLY = data.StructLayout({"type": 8, "sequence": 8, "code": 3})
QUEUE = 4  # requests that wait for their reply
INFO_BYTES = 5  # version and digest


def beat_bytes(beats: Beats) -> int:
    """Whole bytes that hold the lanes of a beat."""
    return -(-beats.lanes * beats.type.width // 8)


class RequestReader(wiring.Component):
    """Takes bytes, checks frames, feeds the payload of good INFER frames to the core, and asks for replies.

    A payload is kept in a memory until its CRC was seen, so the core never gets a byte of a bad frame. Bytes that come
    while the memory still feeds the core make their frame fail with BUSY. A frame whose reply has no place in the queue
    is dropped; the host asks again.
    """

    def __init__(self, beats: Beats) -> None:
        self.beats = beats
        self.size = beats.per_frame * beat_bytes(beats)
        super().__init__(
            {
                "data": In(8),
                "valid": In(1),
                "core": Out(beats.signature),
                "replies": Out(stream.Signature(REPLY)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740().create()
        m.submodules.buffer = buffer = Memory(shape=unsigned(8), depth=self.size, init=[])
        write, read = buffer.write_port(), buffer.read_port()
        feeding, escaped, broken, busy = Signal(), Signal(), Signal(), Signal()
        kind, sequence, length = Signal(8), Signal(8), Signal(16)
        most = HEADER + self.size + CRC
        count = Signal(range(most + 2))  # saturates above `most`
        byte, there, end = Signal(8), Signal(), Signal()
        m.d.comb += [
            end.eq(self.valid & (self.data == END)),
            there.eq(self.valid & ~end & (self.data != ESC)),
            byte.eq(Mux(escaped, Mux(self.data == ESC_END, END, ESC), self.data)),
            crc.start.eq(end),
            crc.data.eq(byte),
            crc.valid.eq(there),
            write.addr.eq(count - HEADER),
            write.data.eq(byte),
            write.en.eq(there & (count >= HEADER) & (count < HEADER + self.size) & ~feeding & ~busy),
        ]
        with m.If(self.valid):
            m.d.sync += escaped.eq(self.data == ESC)
            with m.If(escaped & (self.data != ESC_END) & (self.data != ESC_ESC)):
                m.d.sync += broken.eq(1)
        with m.If(there):
            m.d.sync += count.eq(Mux(count > most, count, count + 1))
            with m.Switch(count):
                for index, field in enumerate((kind, sequence, length[:8], length[8:])):
                    with m.Case(index):
                        m.d.sync += field.eq(byte)
            with m.If((count >= HEADER) & feeding):
                m.d.sync += busy.eq(1)

        infer, code = kind == Type.INFER, Signal(3)
        expected = Mux(infer, self.size, 0)
        with m.If(broken | ~crc.match_detected):
            m.d.comb += code.eq(ErrorCode.CRC)
        with m.Elif(~infer & (kind != Type.INFO)):
            m.d.comb += code.eq(ErrorCode.TYPE)
        with m.Elif((length != expected) | (count != expected + HEADER + CRC)):
            m.d.comb += code.eq(ErrorCode.LENGTH)
        with m.Elif(infer & (busy | feeding)):
            m.d.comb += code.eq(ErrorCode.BUSY)
        m.d.comb += [
            self.replies.valid.eq(end & (count != 0)),
            self.replies.payload.type.eq(Mux(code == 0, kind | 0x80, Type.ERROR)),
            self.replies.payload.sequence.eq(sequence),
            self.replies.payload.code.eq(code),
        ]
        start = Signal()
        m.d.comb += start.eq(self.replies.valid & self.replies.ready & infer & (code == 0))
        with m.If(end):
            m.d.sync += [count.eq(0), broken.eq(0), busy.eq(0)]

        # Feeding: one byte a cycle into a beat, then the beat to the core.
        per_beat = beat_bytes(self.beats)
        address, place = Signal(range(self.size + 1)), Signal(range(per_beat + 1))
        beat, fetched = Signal(8 * per_beat), Signal()
        taken = self.core.valid & self.core.ready
        shift = feeding & fetched & (~self.core.valid | self.core.ready)
        m.d.comb += [
            read.addr.eq(Mux(shift, address + 1, address)),
            read.en.eq(1),
            self.core.payload.data.eq(beat),
        ]
        with m.If(taken):
            m.d.sync += self.core.valid.eq(0)
            with m.If(self.core.payload.last):
                m.d.sync += feeding.eq(0)
        with m.If(start):
            m.d.sync += [feeding.eq(1), fetched.eq(0), address.eq(0), place.eq(0)]
        with m.If(feeding):
            m.d.sync += fetched.eq(1)
        with m.If(shift & ~(taken & self.core.payload.last)):
            m.d.sync += [
                beat.eq(Cat(beat[8:], read.data)),
                address.eq(address + 1),
                place.eq(Mux(place == per_beat - 1, 0, place + 1)),
            ]
            with m.If(place == per_beat - 1):
                m.d.sync += [self.core.valid.eq(1), self.core.payload.last.eq(address == self.size - 1)]
        return m


class ReplyWriter(wiring.Component):
    """Turns requests for replies, in their order, into the bytes of frames; a result waits for the core's beats."""

    def __init__(self, beats: Beats, digest: int) -> None:
        self.beats, self.digest = beats, digest
        self.size = beats.per_frame * beat_bytes(beats)
        super().__init__(
            {
                "replies": In(stream.Signature(REPLY)),
                "core": In(beats.signature),
                "bytes": Out(stream.Signature(unsigned(8))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.crc = crc = CRC16_IBM_3740().create()
        reply = self.replies.payload
        per_beat = beat_bytes(self.beats)
        plain, taken, escape = Signal(8), Signal(), Signal()
        held, left = Signal(8 * max(per_beat, INFO_BYTES)), Signal(range(max(per_beat, INFO_BYTES) + 1))
        index = Signal(2)
        info = Const(VERSION | self.digest << 8, 8 * INFO_BYTES)
        is_info, is_result = reply.type == Type.INFO_REPLY, reply.type == Type.INFER_REPLY
        length = Mux(is_result, self.size, Mux(is_info, INFO_BYTES, 1))
        last = Signal()
        m.d.comb += [crc.data.eq(plain), crc.valid.eq(taken)]

        def send(value: object) -> None:
            """Offer a byte inside the frame, escaped where it must be; `taken` in the cycle that ends it."""
            m.d.comb += [plain.eq(value), self.bytes.valid.eq(1)]
            special = (plain == END) | (plain == ESC)
            with m.If(special & ~escape):
                m.d.comb += self.bytes.payload.eq(ESC)
                with m.If(self.bytes.ready):
                    m.d.sync += escape.eq(1)
            with m.Else():
                m.d.comb += self.bytes.payload.eq(Mux(escape, Mux(plain == END, ESC_END, ESC_ESC), plain))
                with m.If(self.bytes.ready):
                    m.d.comb += taken.eq(1)
                    m.d.sync += escape.eq(0)

        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += [crc.start.eq(1), self.bytes.payload.eq(END)]
                m.d.sync += index.eq(0)
                with m.If(self.replies.valid):
                    m.d.comb += self.bytes.valid.eq(1)
                    with m.If(self.bytes.ready):
                        m.next = "HEADER"
            with m.State("HEADER"):
                header = data.ArrayLayout(8, 4)
                fields = Signal(header)
                m.d.comb += fields.as_value().eq(Cat(reply.type, reply.sequence, Const(0, 16) | length))
                send(fields[index])
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index == 3):
                        m.d.sync += [index.eq(0), left.eq(0)]
                        m.next = "RESULT"
                        with m.If(~is_result):
                            m.d.sync += [held.eq(Mux(is_info, info, reply.code)), left.eq(length), last.eq(1)]
            with m.State("RESULT"):
                with m.If(left == 0):
                    m.d.comb += self.core.ready.eq(1)
                    with m.If(self.core.valid):
                        m.d.sync += [held.eq(self.core.payload.data.as_value()), left.eq(per_beat)]
                        m.d.sync += last.eq(self.core.payload.last)
                with m.Else():
                    send(held[:8])
                    with m.If(taken):
                        m.d.sync += [held.eq(held[8:]), left.eq(left - 1)]
                        with m.If((left == 1) & last):
                            m.next = "CRC"
            with m.State("CRC"):
                # The checksum is held while its own two bytes go out.
                m.d.comb += crc.valid.eq(0)
                send(Mux(index[0], crc.crc[:8], crc.crc[8:]))
                with m.If(taken):
                    m.d.sync += index.eq(index + 1)
                    with m.If(index[0]):
                        m.next = "END"
            with m.State("END"):
                m.d.comb += [
                    self.bytes.valid.eq(1),
                    self.bytes.payload.eq(END),
                    self.replies.ready.eq(self.bytes.ready),
                ]
                with m.If(self.bytes.ready):
                    m.next = "IDLE"
        return m


class HostLink(wiring.Component):
    """The whole link between a UART's bytes and a core with Beats `i` in and `o` out."""

    def __init__(self, i: Beats, o: Beats, digest: int) -> None:
        self.reader, self.writer = RequestReader(i), ReplyWriter(o, digest)
        super().__init__(
            {
                "data": In(8),
                "valid": In(1),
                "bytes": Out(stream.Signature(unsigned(8))),
                "core_i": Out(i.signature),
                "core_o": In(o.signature),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.reader, m.submodules.writer = self.reader, self.writer
        m.submodules.queue = queue = SyncFIFO(width=REPLY.size, depth=QUEUE)
        m.d.comb += [
            self.reader.data.eq(self.data),
            self.reader.valid.eq(self.valid),
            queue.w_data.eq(self.reader.replies.payload.as_value()),
            queue.w_en.eq(self.reader.replies.valid),
            self.reader.replies.ready.eq(queue.w_rdy),
            self.writer.replies.payload.as_value().eq(queue.r_data),
            self.writer.replies.valid.eq(queue.r_rdy),
            queue.r_en.eq(self.writer.replies.ready),
        ]
        wiring.connect(m, self.reader.core, wiring.flipped(self.core_i))
        wiring.connect(m, wiring.flipped(self.core_o), self.writer.core)
        wiring.connect(m, self.writer.bytes, wiring.flipped(self.bytes))
        return m
