"""What a board is, and the registry of them. Other packages add boards by the entry-point group `lutwright.boards`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from lutwright.errors import OptionError

BUILT_IN = ("icebreaker", "ulx3s_85f", "tang_nano_9k")


@dataclass(frozen=True)
class Board:
    """A board, declared: the FPGA (a name of `frontend.device`), its pin map, its clocks, and its UART.

    `clock_mhz`: the core's clock unless another is asked for. `nextpnr` and `pack`: arguments of place and route and of
    the packer, which name the part. `loader`: the name by which openFPGALoader knows the board.
    """

    name: str
    device: str
    platform: Callable[[], Any]
    input_mhz: float
    clock_mhz: float
    baud: int
    nextpnr: tuple[str, ...]
    loader: str
    pack: tuple[str, ...] = ()


@cache
def boards() -> dict[str, Board]:
    """Every board by name; OptionError names a plug-in that can't be loaded."""
    found: dict[str, Board] = {name: import_module(f"lutwright.boards.{name}").BOARD for name in BUILT_IN}
    for entry in entry_points(group="lutwright.boards"):
        try:
            found[entry.name] = entry.load()
        except Exception as error:  # whatever a foreign package raises while it is imported
            raise OptionError(
                f"the board '{entry.name}' of entry point '{entry.value}' must load: {error!r}. "
                "Mend or uninstall the package that brings it."
            ) from error
    return found


def board(name: str) -> Board:
    """The board of that name; OptionError with the known names otherwise."""
    if name not in boards():
        raise OptionError(f"--board must be one of {', '.join(boards())}, not '{name}'")
    return boards()[name]
