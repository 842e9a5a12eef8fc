"""The cocotb test around `stream_harness.sv`: clock, reset, and the verdict. The harness moves the data."""

from __future__ import annotations

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import ClockCycles, First, RisingEdge, Timer

PERIOD_NS = 10


@cocotb.test()
async def stream_frames(dut: Any) -> None:
    limit = int(cocotb.plusargs["limit"])
    dut.rst.value = 1
    Clock(dut.clk, PERIOD_NS, unit="ns").start()
    await ClockCycles(dut.clk, 3)
    dut.rst.value = 0
    await First(RisingEdge(dut.done), RisingEdge(dut.broken), Timer(limit * PERIOD_NS, "ns"))
    assert not dut.broken.value, "o_valid or o_payload changed before o_ready"
    assert dut.done.value, f"hung: the wanted beats did not come out within {limit} cycles"
