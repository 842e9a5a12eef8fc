"""A board without the board: the real driver talks through a socket to the simulated pins of the board's top."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from amaranth.back import rtlil

from lutwright.boards.driver import Board, HostConfig
from lutwright.boards.top import Top
from lutwright.errors import LinkError
from lutwright.frontend.ir import Array
from lutwright.hdl import emit
from lutwright.hdl.engines.base import StreamComponent
from lutwright.testbenches.cocotb_run import Job, Simulator, run_cocotb

CLOCK_HZ, BAUD = 8_000_000, 1_000_000  # 8 clocks a bit: few, so that the simulation is short


@contextmanager
def simulated_board(
    core: StreamComponent, digest: int, *, window: int = 2, simulator: Simulator = "verilator"
) -> Iterator[tuple[str, HostConfig]]:
    """The URL where a simulated board with the core listens, to one client after another, and its host config."""
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        folder = Path(name)
        text = rtlil.convert(Top(core, CLOCK_HZ, BAUD, digest, window), name="board_top")
        (folder / "board_top.v").write_text(emit.to_verilog(text))
        job = Job(
            sources=[folder / "board_top.v", Path(__file__).with_name("uart_harness.sv")],
            top="uart_harness",
            test_module="lutwright.testbenches.uart_bench",
            folder=folder,
            simulator=simulator,
            parameters={"DIVISOR": CLOCK_HZ // BAUD},
            defines={"DUT": "board_top"},
            plusargs=[f"+folder={folder}"],
        )
        errors: list[Exception] = []

        def simulate() -> None:
            try:
                run_cocotb(job)
            except Exception as error:  # raised again in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=simulate, daemon=True)
        thread.start()
        try:
            while not (folder / "port").exists() and thread.is_alive():
                time.sleep(0.02)
            if thread.is_alive():
                port = (folder / "port").read_text()
                yield f"socket://127.0.0.1:{port}", HostConfig.of(core, digest, BAUD, window, 0.0)
        except LinkError:
            if thread.is_alive():  # otherwise the simulation's own error says more
                raise
        finally:
            (folder / "stop").touch()
            thread.join()
        if errors:
            raise errors[0]


def simulate_board(
    core: StreamComponent,
    samples: Array,
    *,
    digest: int = 0x4C555457,
    simulator: Simulator = "verilator",
    patience: float = 300.0,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Outputs int64 [n, …] of `samples` [n, …], sent as bytes through the simulated pins by the driver.

    `patience`: seconds that the simulation may take for a sample.
    """
    with (
        simulated_board(core, digest, simulator=simulator) as (url, config),
        Board(url, config, patience=patience) as board,
    ):
        return board.run(samples, progress)
    raise AssertionError("a simulation that ends early has raised its error")
