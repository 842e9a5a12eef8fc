"""Side by side with NNgen: the same int8 networks by both, simulated, synthesized and placed alike, as Markdown.

Run: python benchmarks/versus_nngen.py [--environment FOLDER]. It needs Icarus Verilog, and installs
NNgen by pip into an environment of its own: a temporary one, or FOLDER, which is kept.

Every row's Verilog ran the same frames, and gave the same integers as lutwright's golden model: otherwise the command
fails. Synthesis and place and route are one function for both, on an ECP5-85F. LUT: LUT4 cells, LUT RAM and carry
cells; time: a frame's cycles at Fmax, which is missing where the device has no room; gain: LUT x time of NNgen's best
row, divided by this row's.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from versus_nngen_network import Net, networks, samples, write_onnx, write_peer
from versus_nngen_place import CORE, Ports, fits, mapped, placed, synthesized

from lutwright.design import Design, Options, design
from lutwright.errors import ToolError
from lutwright.frontend.device import device
from lutwright.frontend.ir import Array
from lutwright.frontend.model import load
from lutwright.frontend.planning import Fps, Smallest
from lutwright.hdl import emit
from lutwright.hdl.network import Network
from lutwright.hdl.synth import Resources
from lutwright.proof import Comparison
from lutwright.testbenches.runner import simulate

NNGEN = "nngen==1.3.4"
DEVICE = device("ecp5-85k")
PLANS = {
    "--smallest": Options(device=DEVICE.name, goal=Smallest()),
    "--fps 200000 --clock 100": Options(device=DEVICE.name, goal=Fps(200_000), clock_mhz=100),
    "without a goal": Options(device=DEVICE.name),
}
FRAMES = 4
HEAD = ("network", "tool", "cycles a frame", "latency", "LUT", "FF", "BRAM", "DSP", "Fmax, MHz", "µs a frame",
        "LUT x ms", "gain")  # fmt: skip


@dataclass(frozen=True)
class Row:
    """`interval`: cycles from frame to frame; `fmax` None where place and route took too long or found no room."""

    tool: str
    interval: int
    latency: int
    resources: Resources
    fmax: float | None

    @property
    def micros(self) -> float | None:
        return None if self.fmax is None else self.interval / self.fmax

    @property
    def product(self) -> float | None:
        """LUT x milliseconds a frame."""
        return None if self.micros is None else self.resources.sites * self.micros / 1000


def environment(folder: Path) -> Path:
    """The Python of an environment in `folder` that has NNgen, made if there is none."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", NNGEN], check=True)
    return python


def parsed(printed: str) -> tuple[int, Array]:
    """(cycles of the slowest run, outputs int64 [runs, outputs]) of what NNgen's bench prints, run by run."""
    cycles, outputs = [], []
    for line in printed.splitlines():
        match line.split():
            case ["cycles", number]:
                cycles.append(int(number))
                outputs.append([])
            case ["out", byte]:
                outputs[-1].append((int(byte) + 128) % 256 - 128)
    if not cycles:
        raise ToolError(f"NNgen's core must finish a frame, but its bench printed only:\n{printed[-2000:]}")
    return max(cycles), np.array(outputs, np.int64)


def proved(tool: str, golden: Array, found: Array) -> None:
    """Raises Mismatch."""
    first = Comparison.of(tool, golden, found.reshape(golden.shape)).first
    if first is not None:
        raise first


def achieved(folder: Path, clock: str, resources: Resources, ports: Ports) -> float | None:
    """Fmax; None where the device has no room, or place and route took too long."""
    return placed(folder, clock, ports, DEVICE) if fits(resources, DEVICE) else None


def nngen(python: Path, net: Net, golden: Array, parallel: int, folder: Path) -> Row:
    tool = f"NNgen, {parallel}x{parallel}"
    write_peer(net, FRAMES, folder / "net.npz")
    command = [python, Path(__file__).with_name("versus_nngen_peer.py"), "net.npz", str(parallel)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{tool} must finish, but it failed:\n{done.stderr[-2000:]}")
    cycles, outputs = parsed(done.stdout)
    proved(tool, golden, outputs)
    resources, ports = mapped(folder / "core.v", "CLK", DEVICE)
    return Row(tool, cycles, cycles, resources, achieved(folder, "CLK", resources, ports))


def ours(net: Net, made: Design, tool: str, golden: Array, folder: Path) -> Row:
    network = made.network
    x = made.model.encode(samples(net, FRAMES)).reshape(FRAMES, *network.i_beats.type.shape)
    ran = simulate(emit.verilog(network, CORE), CORE, network.i_beats, network.o_beats, x)
    proved(tool, golden, ran.outputs)
    assert ran.interval is not None
    resources, ports = synthesized(Network(made.model.graph, made.plan), DEVICE, folder)
    return Row(tool, ran.interval, ran.latency, resources, achieved(folder, "clk", resources, ports))


def rows(net: Net, python: Path, root: Path) -> Iterator[Row]:
    """Each in a folder of its own in `root`."""
    path = root / "model.onnx"
    write_onnx(net, path)
    model = load(path)
    golden = model.graph.evaluate(model.encode(samples(net, FRAMES)))
    for channels in net.parallel:
        folder = root / str(channels)
        folder.mkdir()
        yield nngen(python, net, golden, channels, folder)
    for name, options in PLANS.items():
        folder = root / name
        folder.mkdir()
        made = design(path, options, lambda *_: None)
        yield ours(net, made, f"lutwright, {name}", golden, folder)


def cells(net: Net, row: Row, best: float | None) -> list[str]:
    """`best`: NNgen's least LUT x time."""

    def number(value: float | None, digits: int = 0) -> str:
        return "-" if value is None else f"{value:,.{digits}f}"

    found, product = row.resources, row.product
    gain = best / product if best is not None and product is not None else None
    return [
        net.name, row.tool, *map(number, (row.interval, row.latency, found.sites, found.ff, found.bram, found.dsp)),
        number(row.fmax, 1), number(row.micros, 2), number(product), number(gain, 2),
    ]  # fmt: skip


def collected(net: Net, python: Path, root: Path) -> list[Row]:
    """All rows; each is told on standard error as it comes, for the whole takes long."""
    found = []
    for row in rows(net, python, root):
        print(f"{net.name}, {row.tool}: {row.fmax} MHz, {row.product} LUT x ms", file=sys.stderr, flush=True)
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, help="a folder that keeps NNgen's environment")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        python = environment(asked.environment or Path(name) / "environment").absolute()
        print("| " + " | ".join(HEAD) + " |\n" + "|" + " --- |" * len(HEAD))
        nets = networks()
        roots = [Path(name) / str(index) for index in range(len(nets))]
        for root in roots:
            root.mkdir()
        with ThreadPoolExecutor() as pool:
            tables = pool.map(lambda net, root: collected(net, python, root), nets, roots)
            for net, found in zip(nets, tables, strict=True):
                best = min((row.product for row in found if row.product and row.tool.startswith("NNgen")), default=None)
                for row in found:
                    print("| " + " | ".join(cells(net, row, best)) + " |", flush=True)


if __name__ == "__main__":
    main()
