"""A board without the board: the real driver talks through a socket to the simulated pins of the board's top."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lutwright.boards.driver import BoardDriver, HostConfig
from lutwright.boards.top import Top
from lutwright.errors import LinkError
from lutwright.frontend.ir import Array
from lutwright.hdl.emit import pins_verilog
from lutwright.hdl.engines.base import StreamComponent
from lutwright.testbenches.cocotb_run import Job, Simulator, run_cocotb

DIGEST = 0x6C757477
DIVISOR = 4  # clocks a bit: the fewest, so that the simulation is short
BAUD = 1_000_000  # only tells the driver how long to wait


@contextmanager
def simulated_board(
    core: StreamComponent, digest: int, *, window: int = 2, simulator: Simulator = "verilator"
) -> Iterator[tuple[str, HostConfig]]:
    """The URL where a simulated board with the core listens, to one client after another, and its host config."""
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        folder = Path(name)
        (folder / "board_top.v").write_text(pins_verilog(Top(core, DIVISOR, digest, window), "board_top"))
        job = Job(
            sources=[folder / "board_top.v", Path(__file__).with_name("uart_harness.sv")],
            top="uart_harness",
            test_module="lutwright.testbenches.uart_bench",
            folder=folder,
            simulator=simulator,
            parameters={"DIVISOR": DIVISOR},
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
                yield f"socket://127.0.0.1:{port}", HostConfig(core.i_beats, core.o_beats, digest, BAUD)
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
    progress: Callable[[int, int], None] | None = None,
    *,
    simulator: Simulator = "verilator",
    patience: float = 300.0,
) -> Array:
    """Outputs int64 [n, …] of `samples` [n, …], sent as bytes through the simulated pins by the driver.

    `patience`: seconds that the simulation may take for a sample.
    """
    with (
        simulated_board(core, DIGEST, simulator=simulator) as (url, config),
        BoardDriver(url, config, patience=patience) as board,
    ):
        return board.run(samples, progress)
    raise AssertionError("a simulation that ends early has raised its error")
