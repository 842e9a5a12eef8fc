"""Synthesis for a device: what a design needs, counted from the mapped netlist, before place and route."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lutwright.frontend.device import Device
from lutwright.hdl import block_registers, carry_inputs, yosys

# `-nowidelut`: wide-LUT multiplexers nearly double popcounts on these families.
COMMANDS: dict[str, str] = {
    "ice40-up5k": "synth_ice40 -device u -dsp",
    "ice40-hx8k": "synth_ice40 -device hx",
    "ecp5": "synth_ecp5 -nowidelut",
    "gowin": "synth_gowin -nowidelut -noiopads",
    "xc7": "synth_xilinx -family xc7 -flatten -noiopad -noclkbuf",
}
LUTS = {"SB_LUT4": 1, "LUT4": 1, "LUT3": 1, "LUT2": 1, "LUT1": 1, "LUT5": 1, "LUT6": 1, "SRL16E": 1, "SRLC32E": 1}
# Carry cells, and the sites of LUTs that each occupies; the others lie beside LUTs that are counted themselves, but for
# those of SB_CARRY whose LUT would have no use, as in comparisons.
CARRIES = {"SB_CARRY": 0, "CCU2C": 2, "ALU": 1, "CARRY4": 0}
# Memories made of LUTs, in LUTs.
LUT_RAMS = {"TRELLIS_DPR16X4": 4, "RAM16SDP4": 8, "RAM16SDP2": 4, "RAM16SDP1": 2, "RAM32M": 4, "RAM64M": 4}
FLIP_FLOPS = ("SB_DFF", "TRELLIS_FF", "DFF", "FDRE", "FDSE", "FDCE", "FDPE")
# Blocks of the device's size; xc7 counts RAMB36, of which a RAMB18 is half.
BRAMS = dict.fromkeys(
    ("SB_RAM40_4K", "DP16KD", "pROM", "pROMX9", "SP", "SPX9", "SDPB", "SDPX9B", "DPB", "DPX9B", "RAMB36E1"), 2
) | {"RAMB18E1": 1}
DSPS = ("SB_MAC16", "MULT18X18D", "MULT9X9", "MULT18X18", "MULT36X36", "DSP48E1")


@dataclass(frozen=True)
class Resources:
    """Counts of a mapped netlist.

    lut: LUT cells, LUT RAM included, carry cells not; carry: carry cells (SB_CARRY, CCU2C of two bits, ALU, CARRY4);
    sites: LUTs of the device that are taken, by LUT cells or by carry cells; bram: blocks; dsp: multiplier blocks;
    cells: every cell type's count.
    """

    lut: int
    carry: int
    sites: int
    ff: int
    bram: int
    dsp: int
    cells: Mapping[str, int]

    @classmethod
    def of(cls, cells: Mapping[str, int], lone_carries: int = 0) -> Resources:
        """Counts from the number of cells of each type. `lone_carries`: those at the site of a LUT that is not used."""

        def total(weights: Mapping[str, int]) -> int:
            return sum(weights.get(name, 0) * count for name, count in cells.items())

        luts = total(LUTS) + total(LUT_RAMS)
        return cls(
            lut=luts,
            carry=total(dict.fromkeys(CARRIES, 1)),
            sites=luts + total(CARRIES) + lone_carries,
            ff=sum(count for name, count in cells.items() if name.startswith(FLIP_FLOPS)),
            bram=-(-total(BRAMS) // 2),
            dsp=total(dict.fromkeys(DSPS, 1)),
            cells=dict(sorted(cells.items())),
        )


@dataclass(frozen=True)
class Synthesis:
    """`total` of the whole design, and the mapped netlist of its module as RTLIL, flat."""

    total: Resources
    netlist: str


def command(device: Device) -> str:
    """The Yosys synthesis command for a device."""
    return COMMANDS.get(device.name) or COMMANDS[device.family]


def mapped(folder: Path, source: str, top: str, device: Device, kept: Sequence[str] = ()) -> dict[str, Any]:
    """The modules of `folder`/`source`, RTLIL, in the device's cells, as Yosys' JSON; `netlist.json` has them too.

    The modules of the names `kept` stay modules of their own. On ECP5 multiplier blocks have taken registers in, and
    carry cells LUTs.
    """
    keep = "".join(f"setattr -mod -set keep_hierarchy 1 {module}\n" for module in kept)
    yosys.run(f"read_rtlil {source}\n{keep}{command(device)} -top {top}\nwrite_json netlist.json\n", folder)
    netlist: dict[str, Any] = json.loads((folder / "netlist.json").read_text())
    modules: dict[str, Any] = netlist["modules"]
    if device.family == "ecp5":
        for module in (top, *kept):
            block_registers.absorb(modules[module])
            carry_inputs.absorb(modules[module])
        (folder / "netlist.json").write_text(json.dumps(netlist))
    return modules


def counted(module: dict[str, Any]) -> Resources:
    """The resources of a module of `mapped`."""
    kinds = (cell["type"] for cell in module["cells"].values())
    return Resources.of(Counter(kind for kind in kinds if not kind.startswith("$")), _lone_carries(module))


def _lone_carries(module: dict[str, Any]) -> int:
    """Sites of carries without a LUT of the same operands and carry, and of those that bring a net into a chain."""

    def pins(kind: str, names: str) -> Counter[tuple[Any, ...]]:
        cells = (cell["connections"] for cell in module["cells"].values() if cell["type"] == kind)
        return Counter(tuple(cell.get(name, ["0"])[0] for name in names.split()) for cell in cells)

    carries = pins("SB_CARRY", "CI CO")
    chained = {out for _, out in carries} | {"0", "1"}
    fed = sum(count for (into, _), count in carries.items() if into not in chained)
    return fed + (pins("SB_CARRY", "I0 I1 CI") - pins("SB_LUT4", "I1 I2 I3")).total()


@contextmanager
def _written(rtlil: str) -> Iterator[Path]:
    """A folder for a run of Yosys, with the RTLIL as `in.il`."""
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        (Path(name) / "in.il").write_text(rtlil)
        yield Path(name)


def resources(rtlil: str, top: str, device: Device) -> Resources:
    """What RTLIL (as from `lutwright.hdl.emit`) needs of `device`, mapped flat. ToolError if Yosys fails."""
    with _written(rtlil) as folder:
        return counted(mapped(folder, "in.il", top, device)[top])


def synthesize(rtlil: str, top: str, device: Device) -> Synthesis:
    """The same with its netlist."""
    with _written(rtlil) as folder:
        total = counted(mapped(folder, "in.il", top, device)[top])
        yosys.run(f"read_json netlist.json\nselect {top}\nwrite_rtlil -selected netlist.il\n", folder)
        return Synthesis(total, (folder / "netlist.il").read_text())


def synthesize_parts(rtlil: str, top: str, device: Device, parts: Sequence[str]) -> dict[str, Resources]:
    """Resources of each submodule in `parts` (of the component inside `top`), mapped with its borders kept.

    Their sum is a little more than the whole design's `total`, which is mapped across borders.
    """
    kept = {part: f"{top}.core.{part}" for part in parts}
    with _written(rtlil) as folder:
        modules = mapped(folder, "in.il", top, device, tuple(kept.values()))
    return {part: counted(modules[module]) for part, module in kept.items()}
