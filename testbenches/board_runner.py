"""Rung 4: samples through the real host driver into the simulated UART pins of the board top."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lutwright.boards.driver import BoardDriver, HostConfig
from lutwright.boards.top import Top
from lutwright.errors import ToolError
from lutwright.frontend.ir import Array
from lutwright.hdl.emit import pins_verilog
from lutwright.hdl.engines.base import StreamComponent
from lutwright.testbenches.cocotb_run import Job, run_cocotb

DIVISOR = 4  # clock cycles a bit: the fewest, so that little time is spent on the wire
DIGEST = 0x6C757477


def simulate_board(core: StreamComponent, samples: Array, progress: Callable[[int, int], None] | None = None) -> Array:
    """The outputs for `samples` [n, *core.i_beats.type.shape], as the host driver gets them from the pins.

    ToolError if the simulation can't be built or fails, LinkError if the driver gets no good answer.
    """
    config = HostConfig(core.i_beats, core.o_beats, DIGEST, 1_000_000)
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        folder = Path(name)
        (folder / "top.v").write_text(pins_verilog(Top(core, DIVISOR, DIGEST), "board_top"))
        port = folder / "port"
        job = Job(
            sources=[folder / "top.v", Path(__file__).with_name("uart_harness.sv")],
            top="uart_harness",
            test_module="lutwright.testbenches.uart_bench",
            folder=folder,
            parameters={"DIVISOR": DIVISOR},
            defines={"DUT": "board_top"},
            plusargs=[f"+port={port}", f"+divisor={DIVISOR}"],
        )
        failures: list[ToolError] = []

        def simulation() -> None:
            try:
                run_cocotb(job)
            except ToolError as error:
                failures.append(error)

        thread = threading.Thread(target=simulation)
        thread.start()
        while not port.exists() and thread.is_alive():
            time.sleep(0.05)
        try:
            if not port.exists():
                raise failures[0]
            # The simulation is slower than a board by far, and its clock is the host's: wait long.
            with BoardDriver(f"socket://127.0.0.1:{port.read_text()}", config, timeout=120) as board:
                outputs = board.run(samples, progress)
        finally:
            thread.join()
        if failures:
            raise failures[0]
    return outputs
