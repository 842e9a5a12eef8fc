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

    def may_hold_more(self, other: Device) -> bool:
        """Whether a network that `other` has no room for may fit: not where it has less of everything.

        Families' LUTs and blocks are not quite alike: another family has fewer LUTs with half as many.
        """
        if self is other or self.luts is None or self.brams is None or self.dsps is None:
            return False
        if other.luts is None or other.brams is None or other.dsps is None:
            return True
        return (
            self.luts * (1 if self.family == other.family else 2) > other.luts
            or self.brams * self.bram_bits > other.brams * other.bram_bits
            or self.dsps > other.dsps
        )


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
