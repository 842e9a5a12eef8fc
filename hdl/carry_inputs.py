"""LUTs in front of ECP5's carry cells, put into the cells, in a netlist that Yosys has mapped.

Half of a CCU2C adds a bit of two operands: a LUT of four inputs says whether they differ, and where they do not the
carry is the first. Yosys leaves its third input idle. So where a LUT of two inputs makes one of the operands, the half
takes both of them instead.
"""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

CARRY, LUT = "CCU2C", "LUT4"
ADDS = 0x96AA  # with D at 1: A xor B xor C, and A is what is carried
INPUTS = "ABCD"

Bit = int | str


def absorb(module: dict[str, Any]) -> None:
    """Every carry cell takes the LUTs that it can; `module`: of Yosys' JSON. What it computes stays the same."""
    cells: dict[str, Any] = module["cells"]
    makers = {cell["connections"]["Z"][0]: name for name, cell in cells.items() if cell["type"] == LUT}
    reads = Counter(bit for port in module["ports"].values() for bit in port["bits"])
    for cell in cells.values():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] != "output":
                reads.update(bits)
    for cell in [cell for cell in cells.values() if cell["type"] == CARRY]:
        for half in "01":
            nets = {pin: cell["connections"][f"{pin}{half}"] for pin in INPUTS}
            if int(cell["parameters"][f"INIT{half}"], 2) != ADDS or nets["C"] != ["0"] or nets["D"] != ["1"]:
                continue
            for pin, other in ("BA", "AB"):
                name = makers.get(nets[pin][0])
                function = _of_two(cells[name]) if name is not None and reads[nets[pin][0]] == 1 else None
                if function is None:
                    continue
                (one, two), values = function
                init = ADDS & 0xFF
                for a, b, c in product((0, 1), repeat=3):
                    init |= (a ^ values[b, c]) << (8 | a | b << 1 | c << 2)
                cell["parameters"][f"INIT{half}"] = f"{init:016b}"
                cell["connections"] |= {f"A{half}": nets[other], f"B{half}": [one], f"C{half}": [two]}
                assert name is not None
                del cells[name]
                break


def _of_two(lut: dict[str, Any]) -> tuple[tuple[Bit, Bit], dict[tuple[int, int], int]] | None:
    """The two inputs of a LUT that are no constants, and its value for both of theirs; None if it has more or fewer."""
    nets = {pin: lut["connections"][pin][0] for pin in INPUTS}
    free = [pin for pin in INPUTS if isinstance(nets[pin], int)]
    if len(free) != 2:
        return None
    init, values = int(lut["parameters"]["INIT"], 2), dict[tuple[int, int], int]()
    for one, two in product((0, 1), repeat=2):
        given = dict(zip(free, (one, two), strict=True))
        values[one, two] = (
            init >> sum(given.get(pin, int(nets[pin] == "1")) << place for place, pin in enumerate(INPUTS)) & 1
        )
    return (nets[free[0]], nets[free[1]]), values
