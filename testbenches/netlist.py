"""Rung 3: a mapped netlist as one plain Verilog module, whose cells are replaced by what their models do."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path

from lutwright.errors import OptionError, ToolError
from lutwright.frontend.device import Family
from lutwright.hdl import yosys

MODELS = Path(__file__).parent / "models"
# The LUTs of the families whose netlists can be simulated.
LUTS: dict[Family, str] = {"ice40": "SB_LUT4", "ecp5": "LUT4", "gowin": "LUT[1-4]"}
# A LUT: its cell type and name, its only parameter with the value.
INSTANCE = r"(?m)^  cell \\({}) (\S+)\n    parameter \\(\w+) (\S+)\n"


def plain(netlist: str, top: str, family: Family) -> str:
    """Verilog of `top` alone, fit for any simulator, from a netlist (RTLIL) of the family's cells.

    The cells mean what Yosys models say, or those in `models/` where it has none. Simulators take
    minutes for thousands of small modules, and seconds for one; so does Yosys for a LUT whose contents are a parameter,
    not a port. ToolError that names the cells that have no model.
    """
    if family not in LUTS:
        raise OptionError(
            f"netlists are simulated on {', '.join(LUTS)}, not on {family}. Use another device, or verilator"
        )
    library = yosys.share() / family
    sources = [library / "cells_sim.v", MODELS / "block_ram.v", MODELS / f"{family}.v"]
    reading = "".join(
        f"read_verilog -defer -overwrite -I{library} {source}\n" for source in sources if source.is_file()
    )
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        folder = Path(name)
        (folder / "netlist.il").write_text(_ports(netlist, LUTS[family]))
        yosys.run(
            f"{reading}read_rtlil netlist.il\nhierarchy -check -top {top}\nproc\nflatten\nopt_clean\n"
            "tee -q -o stat.json stat -json\nwrite_verilog -noattr plain.v\n",
            folder,
        )
        left = json.loads((folder / "stat.json").read_text())["design"]["num_cells_by_type"]
        unknown = sorted(cell for cell in left if not cell.startswith("$"))
        if unknown:
            raise ToolError(f"every cell must have a simulation model, but {', '.join(unknown)} of {family} has none")
        return (folder / "plain.v").read_text()


def _ports(netlist: str, luts: str) -> str:
    """The netlist with LUTs of our models, which take their contents at a port."""
    return re.sub(INSTANCE.format(luts), r"  cell \\lutwright_\1 \2\n    connect \\\3 \4\n", netlist)
