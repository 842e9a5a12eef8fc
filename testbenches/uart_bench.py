"""The cocotb test around `uart_harness.sv`: bytes between the simulated pins and a TCP socket."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles

PERIOD_NS = 10
POLL_CYCLES = 400
BYTES = 128  # the harness' buffers


@cocotb.test()
async def bridge(dut: Any) -> None:
    folder = Path(cocotb.plusargs["folder"])
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    await ClockCycles(dut.clk, 8)
    dut.rst.value = 0
    tail = 0
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        (folder / "port.new").write_text(str(server.getsockname()[1]))
        (folder / "port.new").replace(folder / "port")
        while not (folder / "stop").exists():
            try:
                client, _ = server.accept()
            except TimeoutError:
                continue
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                client.setblocking(False)
                tail = await _serve(dut, client, tail)


async def _serve(dut: Any, client: socket.socket, tail: int) -> int:
    """Until the client leaves. `tail`: how many bytes of the board were read before."""
    turn = int(dut.down_turn.value)
    while True:
        if int(dut.down_done.value) == turn:
            try:
                data = client.recv(BYTES)
                if not data:
                    return tail
            except BlockingIOError:
                data = b""
            except OSError:
                return tail
            if data:
                turn ^= 1
                dut.down_data.value = int.from_bytes(data, "little")
                dut.down_count.value = len(data)
                dut.down_turn.value = turn
        await ClockCycles(dut.clk, POLL_CYCLES)
        head = int(dut.up_head.value)
        if head != tail:
            ring = int(dut.up_data.value).to_bytes(BYTES, "little")
            try:
                client.sendall(bytes(ring[index % BYTES] for index in range(tail, head)))
            except OSError:
                return head
            tail = head
