"""The cocotb test that stands between a TCP connection and a simulated board's UART pins."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

BYTES = 64
PERIOD_NS = 10


@cocotb.test()
async def bridge(dut: Any) -> None:
    """Serves one connection, until it is closed. The port's number goes into the file `+port=`."""
    divisor = int(cocotb.plusargs["divisor"])
    dut.rst.value, dut.put.value, dut.take.value = 1, 0, 0
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        published = Path(cocotb.plusargs["port"])
        published.with_suffix(".new").write_text(str(server.getsockname()[1]))
        published.with_suffix(".new").rename(published)
        server.settimeout(60)
        connection, _ = server.accept()
    put = take = 0
    with connection:
        connection.setblocking(False)
        while True:
            if dut.idle.value:
                with contextlib.suppress(BlockingIOError):
                    received = connection.recv(BYTES)
                    if not received:
                        break
                    put ^= 1
                    dut.put_bytes.value = int.from_bytes(received, "little")
                    dut.put_count.value, dut.put.value = len(received), put
            take ^= 1
            dut.take.value = take
            await ClockCycles(dut.clk, 2)
            count = int(dut.got_count.value)
            if count:
                connection.setblocking(True)
                connection.sendall(int(dut.got_bytes.value).to_bytes(BYTES, "little")[:count])
                connection.setblocking(False)
            await ClockCycles(dut.clk, 200 * divisor)
