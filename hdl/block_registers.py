"""Registers beside ECP5's multiplier blocks, put into the blocks' own, in a netlist that Yosys has mapped.

A block may lie half a device away from what it multiplies. Registers of its own cut the way there off from the
multiplication; those in logic cells end up anywhere in between. A product's go into the block's pipeline registers,
between multiplication and output: the place and route tool writes no enable for the output registers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

FAMILIES = ("ecp5",)  # whose blocks take registers in
BLOCK, REGISTER = "MULT18X18D", "TRELLIS_FF"
FACTOR_BITS, PRODUCT_BITS = 18, 36

Bit = int | str  # a net's number, or a constant
Cell = dict[str, Any]
Shared = tuple[Bit, Bit]


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
    """Every block takes the registers that all its factors come from, and then those that all of its product goes to.

    `module`: of Yosys' JSON. It does the same in each cycle; registers that nothing reads any more are taken out.
    """
    netlist = _Netlist(module)
    for name in [name for name, cell in netlist.cells.items() if cell["type"] == BLOCK]:
        if (shared := netlist.before(name)) is not None:
            netlist.behind(name, shared)


def _shared(registers: Iterable[Register | None]) -> Shared | None:
    """Clock and enable, if they are those of all registers."""
    found = {(register.clock, register.enable) if register else None for register in registers}
    return found.pop() if len(found) == 1 else None


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

    def before(self, block: str) -> Shared | None:
        """Clock and enable of the factors' registers, where the block has taken them."""
        nets = self.cells[block]["connections"]
        factors = [[f"{side}{bit}" for bit in range(FACTOR_BITS)] for side in "AB"]
        # Before the first enabled cycle the product must be 0, as it is in the block.
        if all(any(nets[pin] == ["1"] for pin in factor) for factor in factors):
            return None
        pins = [pin for factor in factors for pin in factor if isinstance(nets[pin][0], int)]
        sources = {pin: self.drivers.get(nets[pin][0]) for pin in pins}
        registers = {pin: Register.of(self.cells.get(source or "")) for pin, source in sources.items()}
        shared = _shared(registers.values())
        if shared is None:
            return None
        cell, (clock, enable) = self.cells[block], shared
        for pin, bit in (("CLK0", clock), ("CE0", enable), ("RST0", "0")):
            cell["port_directions"][pin] = "input"
            self._connect(block, pin, bit)
        self._turn_on(block, "INPUTA", "INPUTB")
        for pin, register in registers.items():
            assert register is not None
            self._connect(block, pin, register.data)
        for source in set(sources.values()):
            assert source is not None
            if not self.readers[self.cells[source]["connections"]["Q"][0]]:
                self._take_out(source)
        return shared

    def behind(self, block: str, shared: Shared) -> None:
        """All registers of a block have one clock and one enable, so that those of neighbours find room beside them."""
        nets = self.cells[block]["connections"]
        readers = {pin: self.readers[nets[pin][0]] for pin in (f"P{bit}" for bit in range(PRODUCT_BITS))}
        readers = {pin: those for pin, those in readers.items() if those}
        if any(len(those) > 1 or {pin for _, pin in those} != {"DI"} for those in readers.values()):
            return
        targets = {pin: name for pin, those in readers.items() for name, _ in those}
        if _shared(Register.of(self.cells.get(name)) for name in targets.values()) != shared:
            return
        self._turn_on(block, "PIPELINE")
        for pin, name in targets.items():
            nets[pin] = self.cells[name]["connections"]["Q"]
            self.drivers[nets[pin][0]] = block
            self._take_out(name)

    def _turn_on(self, block: str, *kinds: str) -> None:
        for kind in kinds:
            self.cells[block]["parameters"] |= {
                f"REG_{kind}_CLK": "CLK0",
                f"REG_{kind}_CE": "CE0",
                f"REG_{kind}_RST": "RST0",
            }

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
