"""A stream component as RTLIL (for synthesis) and as Verilog (for simulation and for other people's designs)."""

from __future__ import annotations

import gc
import re
import tempfile
from pathlib import Path

from amaranth.back import rtlil as back
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from lutwright.hdl import yosys
from lutwright.hdl.engines.base import StreamComponent

MEMORY = re.compile(r"^  attribute \\no_rw_check 1\n(?:  attribute .*\n)*  memory .* (\\\S+)\n", re.MULTILINE)
EXACT, UNDEFINED = (rf"    parameter \COLLISION_X_MASK 1'{bit}" for bit in "01")


def convert(top: wiring.Component | Module, name: str, ports: dict[str, tuple[Signal, None]]) -> str:
    """RTLIL of a module with the given ports, as `synthesizable` makes it."""
    collecting = gc.isenabled()
    gc.disable()  # the netlist is built once and dropped: collecting it costs a quarter of the time
    try:
        text: str = back.convert(top, name=name, ports=ports)
    finally:
        if collecting:
            gc.enable()
    return synthesizable(text)


def synthesizable(rtlil: str) -> str:
    """The same for synthesis, which takes names `a[n]` for bits of `a` on ECP5, and fails: they become `a.n`.

    What a memory with the attribute no_rw_check gives at an address that is written in the same cycle is undefined:
    otherwise synthesis would put two registers for each of its bits around it.
    """
    modules = rtlil.split("\nmodule ")
    text = "\nmodule ".join(_undefined(module) if MEMORY.search(module) else module for module in modules)
    return re.sub(r"\\\S*\[\d+\]", lambda found: found[0].replace("[", ".").replace("]", ""), text)


def _undefined(module: str) -> str:
    for name in MEMORY.findall(module):
        others, clocked = r"(?:    parameter .*\n)*", r"    parameter \\CLK_ENABLE 1\n"
        port = rf'    parameter \\MEMID "\\{re.escape(name)}"\n{others}{clocked}'
        module = re.sub(port, lambda match: match[0].replace(EXACT, UNDEFINED), module)
    return module


def to_verilog(rtlil: str) -> str:
    """Verilog of the same modules, memory contents included."""
    with tempfile.TemporaryDirectory(prefix="lutwright-") as folder:
        stage = Path(folder)
        (stage / "in.il").write_text(rtlil.replace(UNDEFINED, EXACT))
        # `proc` and `write_verilog` instead of Amaranth's own backend, whose always-blocks can miss time 0. `pmuxtree`
        # because Icarus takes the functions that are written for parallel multiplexers for system functions.
        script = "read_rtlil in.il\nproc\nmemory_collect\npmuxtree\nopt_clean\nwrite_verilog -noattr -norename out.v\n"
        yosys.run(script, stage)
        return (stage / "out.v").read_text()


def rtlil(component: StreamComponent, name: str) -> str:
    """RTLIL of a module `name` with the ports clk, rst, i_payload, i_valid, i_ready, o_payload, o_valid and o_ready.

    A payload holds the beat's lanes, lane 0 lowest, then `last`. `rst` is synchronous and high-active.
    """
    m = Module()
    m.submodules.core = component
    ports: dict[str, tuple[Signal, None]] = {}
    for side, flows_in in (("i", True), ("o", False)):
        stream = getattr(component, side)
        for member, inward in (("payload", flows_in), ("valid", flows_in), ("ready", not flows_in)):
            inner = getattr(stream, member)
            value = inner.as_value() if member == "payload" else inner
            port = Signal(len(value), name=f"{side}_{member}")
            m.d.comb += value.eq(port) if inward else port.eq(value)
            ports[port.name] = (port, None)
    return convert(m, name, ports)


def verilog(component: StreamComponent, name: str) -> str:
    """Verilog of the module of `rtlil`, one module a submodule."""
    return to_verilog(rtlil(component, name))


def pins_verilog(top: wiring.Component, name: str) -> str:
    """Verilog of any component whose ports are plain signals, under their names, with clk and rst."""
    ports = {port: (getattr(top, port), None) for port in top.signature.members}
    return to_verilog(convert(top, name, ports))
