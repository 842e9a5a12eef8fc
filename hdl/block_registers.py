"""Registers beside ECP5's multiplier blocks, put into the blocks' own, in a netlist that Yosys has mapped.

A block may lie half a device away from what it multiplies. Registers of its own cut the way there off from the
multiplication; those in logic cells end up anywhere in between. A product's stay in logic cells, the first ones beside
the block: the place and route tool writes no enable for a block's output registers, and times its pipeline registers,
between multiplication and output, as if they were none.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

FAMILIES = ("ecp5",)  # whose blocks take registers in
BLOCK, REGISTER = "MULT18X18D", "TRELLIS_FF"
FACTOR_BITS = 18

Bit = int | str  # a net's number, or a constant
Cell = dict[str, Any]


@dataclass(frozen=True)
class Register:
    """One that a block can have: without reset, 0 at the start, on a rising edge, enabled by a high level."""

    clock: Bit
    enable: Bit
    data: Bit

    @classmethod
    def of(cls, cell: Cell | None) -> Register | None:
        if cell is None or cell["type"] != REGISTER:
            return None
        parameters, nets = cell["parameters"], cell["connections"]
        enable = parameters.get("CEMUX", "1").strip()
        plain = (
            nets.get("LSR", ["0"]) == ["0"]
            and parameters.get("LSRMUX", "LSR") == "LSR"
            and parameters.get("CLKMUX", "CLK") == "CLK"
            and parameters.get("REGSET", "RESET") == "RESET"
            and enable in ("CE", "1")
        )
        return cls(nets["CLK"][0], nets["CE"][0] if enable == "CE" else "1", nets["DI"][0]) if plain else None


def absorb(module: dict[str, Any]) -> None:
    """Every block takes the registers that all its factors come from.

    `module`: of Yosys' JSON. It does the same in each cycle; registers that nothing reads any more are taken out.
    """
    netlist = _Netlist(module)
    for name in [name for name, cell in netlist.cells.items() if cell["type"] == BLOCK]:
        netlist.take(name)


class _Netlist:
    """A module of Yosys' JSON, with what drives each net and what reads it."""

    def __init__(self, module: dict[str, Any]) -> None:
        self.cells: dict[str, Cell] = module["cells"]
        self.drivers: dict[Bit, str] = {}
        self.readers: dict[Bit, set[tuple[str, str]]] = defaultdict(set)
        for name, port in module["ports"].items():
            for bit in port["bits"]:
                self.readers[bit].add(("", name))
        for name, cell in self.cells.items():
            for pin, bits in cell["connections"].items():
                for bit in bits:
                    if cell["port_directions"][pin] == "output":
                        self.drivers[bit] = name
                    else:
                        self.readers[bit].add((name, pin))

    def take(self, block: str) -> None:
        """The registers of the factors into the block, if they have one clock and one enable."""
        cell = self.cells[block]
        nets, factors = cell["connections"], [[f"{side}{bit}" for bit in range(FACTOR_BITS)] for side in "AB"]
        # Before the first enabled cycle the product must be 0, as it is in the block.
        if all(any(nets[pin] == ["1"] for pin in factor) for factor in factors):
            return
        pins = [pin for factor in factors for pin in factor if isinstance(nets[pin][0], int)]
        sources = {pin: self.drivers.get(nets[pin][0]) for pin in pins}
        found = {pin: Register.of(self.cells.get(source or "")) for pin, source in sources.items()}
        registers = {pin: register for pin, register in found.items() if register is not None}
        ways = {(register.clock, register.enable) for register in registers.values()}
        if len(registers) < len(found) or len(ways) != 1:
            return
        ((clock, enable),) = ways
        for pin, bit in (("CLK0", clock), ("CE0", enable), ("RST0", "0")):
            cell["port_directions"][pin] = "input"
            self._connect(block, pin, bit)
        for side in "AB":
            kind = f"REG_INPUT{side}"
            cell["parameters"] |= {f"{kind}_CLK": "CLK0", f"{kind}_CE": "CE0", f"{kind}_RST": "RST0"}
        for pin, register in registers.items():
            self._connect(block, pin, register.data)
        for source in set(sources.values()):
            assert source is not None
            if not self.readers[self.cells[source]["connections"]["Q"][0]]:
                self._take_out(source)

    def _connect(self, name: str, pin: str, bit: Bit) -> None:
        nets = self.cells[name]["connections"]
        for old in nets.get(pin, ()):
            self.readers[old].discard((name, pin))
        nets[pin] = [bit]
        self.readers[bit].add((name, pin))

    def _take_out(self, name: str) -> None:
        cell = self.cells.pop(name)
        for pin, bits in cell["connections"].items():
            for bit in bits:
                self.readers[bit].discard((name, pin))
