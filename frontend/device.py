"""The FPGAs that plans are made for: their sizes, from the vendors' data sheets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lutwright.errors import OptionError

Family = Literal["ice40", "ecp5", "gowin", "xc7"]


@dataclass(frozen=True)
class Device:
    """An FPGA: `brams` blocks of `bram_bits` bits each, `dsps` multipliers; None where only synthesis is offered."""

    name: str
    family: Family
    luts: int | None
    brams: int | None
    bram_bits: int
    dsps: int | None


DEVICES = {
    device.name: device
    for device in (
        Device("ice40-up5k", "ice40", 5280, 30, 4096, 8),
        Device("ice40-hx8k", "ice40", 7680, 32, 4096, 0),
        Device("ecp5-25k", "ecp5", 24288, 56, 18432, 28),
        Device("ecp5-45k", "ecp5", 43848, 108, 18432, 72),
        Device("ecp5-85k", "ecp5", 83640, 208, 18432, 156),
        Device("gw1n-9", "gowin", 8640, 26, 18432, 20),
        Device("gw2a-18", "gowin", 20736, 46, 18432, 48),
        Device("xc7", "xc7", None, None, 36864, None),
    )
}


def device(name: str) -> Device:
    """The device of that name; OptionError with the known names otherwise."""
    if name not in DEVICES:
        raise OptionError(f"device must be one of {', '.join(DEVICES)}, not '{name}'")
    return DEVICES[name]
