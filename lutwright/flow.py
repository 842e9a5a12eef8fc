"""The flow from a model file to a bitstream, as the command line and library users call it.

Every function returns the plain object that `--json` prints. Progress goes to a callback, errors are typed.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from lutwright import report
from lutwright.boards import program as loader
from lutwright.boards.base import board
from lutwright.boards.build import build as build_bitstream
from lutwright.boards.driver import BoardDriver, HostConfig
from lutwright.design import Design, Options, Progress, design, target
from lutwright.errors import DataError, OptionError
from lutwright.facts import Facts, design_facts, link_rate, measured_parts, part_rows, predicted
from lutwright.files import Samples, load_samples, staged
from lutwright.frontend.compare import compare_reference
from lutwright.frontend.describe import describe
from lutwright.frontend.ir import Array
from lutwright.frontend.model import Model, load
from lutwright.hdl import emit
from lutwright.hdl.network import Network
from lutwright.hdl.synth import resources, synthesize
from lutwright.proof import Comparison, accuracy, compare_cycles
from lutwright.testbenches.board_runner import simulate_board
from lutwright.testbenches.compiled import stream_frames
from lutwright.testbenches.netlist import plain
from lutwright.testbenches.runner import Simulation
from lutwright.testbenches.runner import simulate as simulate_verilog

DEFAULT_DEVICE = "ecp5-85k"
REPORT_VERSION = 1
TOP = "network"
PROOF_FRAMES = 32  # random frames that a build without samples is proved on
PROOF_STALLS = (0.2, 0.2)
MANY_CYCLES = 1_000_000  # that are worth an optimized simulator

__all__ = ["Facts", "Options", "build", "compile_model", "inspect", "program", "run", "simulate", "synth"]


def inspect(path: Path, grid: str | None) -> Facts:
    """What the importer makes of a model: nodes, types, scales, the host's share, and every refusal."""
    return {"model": str(path)} | describe(path, grid).as_dict()


def compile_model(path: Path, options: Options, out: Path, progress: Progress) -> Facts:
    """Write network.v, pre.onnx, post.onnx and plan.json into `out`."""
    made = design(path, options, progress)
    with staged(out) as stage:
        progress("emit Verilog")
        _write_network(made, stage)
        facts = design_facts(made, path) | {"verilog": str(out / "network.v")}
        (stage / "plan.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


def simulate(path: Path, options: Options, inputs: Path, limit: int | None, what: str, progress: Progress) -> Facts:
    """Run samples through `what` and compare with the golden model, and that with the reference outputs."""
    started = time.monotonic()
    samples = load_samples(inputs, limit)
    target(options, DEFAULT_DEVICE)
    made = None if what == "golden" else design(path, options, progress, DEFAULT_DEVICE)
    model = made.model if made else load(path, options.grid)
    planned = round(time.monotonic() - started, 3)
    progress("golden model")
    x = model.encode(samples.inputs)
    golden = model.graph.evaluate(x)
    compared_with = made is not None or samples.outputs is not None
    facts: Facts = {"with": what, "samples": len(samples), "elements_compared": golden.size if compared_with else 0}
    facts |= {"failed": None, "mismatches": 0, "cycles_per_frame": None, "latency_cycles": None}
    facts |= _against_reference(model, golden, samples)
    if made is not None:
        facts |= {"device": made.device.name, "predicted": predicted(made.network.cost), "plan_seconds": planned}
        facts |= _against_golden(what, made, x, golden, progress)
    return facts | {"seconds": round(time.monotonic() - started, 3)}


def _against_golden(what: str, made: Design, x: Array, golden: Array, progress: Progress) -> Facts:
    """What the hardware makes of `x`, and in which cycles, against the golden model and the prediction."""
    timing = made.timing
    facts: Facts = {"predicted_cycles_per_frame": timing.interval, "predicted_latency_cycles": timing.latency}
    if what == "board":
        frames = x.reshape(len(x), *made.network.i_beats.type.shape)
        progress("simulate the board", 0, len(x))
        outputs = simulate_board(made.network, frames, lambda *counts: progress("simulate the board", *counts))
        facts |= {"cycles_per_frame": timing.interval, "latency_cycles": timing.latency}  # a UART hides them
    else:
        ran = _simulated(what, made, x, progress)
        outputs, cycles = ran.outputs, compare_cycles(made.course, ran)
        facts |= {"cycles_per_frame": ran.interval, "latency_cycles": ran.latency}
        facts["cycle_mismatches"] = cycles.mismatches
        facts |= {"failed": str(cycles.first)} if cycles.first else {}
        facts |= _speed(ran)
    compared = Comparison.of(f"node '{made.model.graph.output}'", golden, outputs.reshape(golden.shape))
    facts["mismatches"] = compared.mismatches
    return facts | ({"failed": str(compared.first)} if compared.first else {})


def synth(path: Path, options: Options, progress: Progress) -> Facts:
    """Resources of the network by synthesis, in all and by part."""
    started = time.monotonic()
    made = design(path, options, progress)
    facts = design_facts(made, path)
    rtlil = emit.rtlil(made.network, TOP)
    progress("synthesize")
    total = resources(rtlil, TOP, made.device)
    facts["nodes"] = part_rows(made, measured_parts(made, rtlil, TOP))
    return facts | asdict(total) | {"seconds": round(time.monotonic() - started, 3)}


def build(path: Path, options: Options, inputs: Path | None, limit: int | None, out: Path, progress: Progress) -> Facts:
    """Everything: Verilog and its proof, bitstream, report.json, report.txt and host.json in `out`."""
    started = time.monotonic()
    if options.board is None:
        raise OptionError("--board must be given: a bitstream is for a board.")
    samples = load_samples(inputs, limit) if inputs is not None else None
    made = design(path, options, progress)
    assert made.board is not None and made.clock_mhz is not None
    verification = _prove(made, samples, progress)
    digest = int(made.model.digest[:8], 16)
    with staged(out) as stage:
        _write_network(made, stage)
        shutil.copy(path, stage / "model.onnx")
        built = build_bitstream(
            Network(made.model.graph, made.plan), made.board, made.clock_mhz, digest, stage, progress
        )
        progress("resources by node")
        clock, timing = built.clock_mhz, made.timing
        facts: Facts = {"version": REPORT_VERSION} | design_facts(made, path)
        facts["nodes"] = part_rows(
            made, measured_parts(made, emit.rtlil(Network(made.model.graph, made.plan), TOP), TOP)
        )
        facts |= asdict(built.resources)
        facts |= {
            "share": {name: {"used": used, "available": there} for name, (used, there) in built.placed.items()},
            "fmax_mhz": built.fmax_mhz,
            "critical_path": built.critical_path,
            "clock_mhz": round(clock, 4),
            "frames_per_second": round(clock * 1e6 / timing.interval, 1),
            "latency_us": round(timing.latency / clock, 3),
            "link_frames_per_second": round(link_rate(made, made.board.baud), 1),
            "verification": verification,
            "tools": built.tools,
            "tool_seconds": built.seconds,
            "bitstream": str(out / built.bitstream.name),
            "seconds": round(time.monotonic() - started, 3),
        }
        wait = timing.latency / clock * 1e-6
        config = HostConfig(made.network.i_beats, made.network.o_beats, digest, made.board.baud, wait)
        host = config.to_json() | {"board": made.board.name, "grid": options.grid, "bitstream": built.bitstream.name}
        (stage / "host.json").write_text(json.dumps(host, indent=2) + "\n")
        (stage / "report.txt").write_text(report.plain(report.build_text(facts)))
        (stage / "report.json").write_text(json.dumps(facts, indent=2) + "\n")
    return facts


def program(folder: Path) -> Facts:
    """Load the bitstream of a build folder onto its board."""
    host = _host(folder)
    loader.program(folder / host["bitstream"], board(host["board"]))
    return {"board": host["board"], "bitstream": str(folder / host["bitstream"])}


def run(folder: Path, inputs: Path, limit: int | None, port: str, progress: Progress) -> Facts:
    """Send samples to a programmed board, and compare its answers with the golden model."""
    host = _host(folder)
    samples = load_samples(inputs, limit)
    model = load(folder / "model.onnx", host["grid"])
    x = model.encode(samples.inputs)
    golden = model.graph.evaluate(x)
    started = time.monotonic()
    with BoardDriver(port, HostConfig.from_json(host)) as driver:
        found = driver.run(_framed(x, driver.config), lambda done, total: progress("frames", done, total))
    seconds = time.monotonic() - started
    compared = Comparison.of(f"node '{model.graph.output}'", golden, found.reshape(golden.shape))
    facts: Facts = {"samples": len(samples), "elements_compared": compared.elements}
    facts |= {"mismatches": compared.mismatches, "failed": None} | _against_reference(model, golden, samples)
    facts["failed"] = str(compared.first) if compared.first else facts["failed"]
    return facts | {"resent": driver.resent, "seconds": round(seconds, 3)}


def _framed(x: Array, config: HostConfig) -> Array:
    return x.reshape(len(x), *config.input.type.shape)


def _host(folder: Path) -> Facts:
    try:
        host = json.loads((folder / "host.json").read_text())
        if not isinstance(host, dict):
            raise ValueError("not an object")
        HostConfig.from_json(host)
        return {"board": host["board"], "grid": host["grid"], "bitstream": host["bitstream"]} | host
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"'{folder}' must be a folder that `lutwright build` wrote, but its host.json can't be used: {error!r}. "
            "Name the folder given to build's -o."
        ) from None


def _write_network(made: Design, stage: Path) -> None:
    (stage / "network.v").write_text(emit.verilog(made.network, TOP))
    (stage / "pre.onnx").write_bytes(made.model.pre.SerializeToString())
    (stage / "post.onnx").write_bytes(made.model.post.SerializeToString())


def _simulated(
    what: str, made: Design, x: Array, progress: Progress, stalls: tuple[float, float] = (0.0, 0.0)
) -> Simulation:
    """The network's Verilog, or its netlist, or the Verilog in Icarus, on samples."""
    network = made.network
    if what == "netlist":
        progress("synthesize")
        verilog = plain(synthesize(emit.rtlil(network, TOP), TOP, made.device).netlist, TOP, made.device.family)
    else:
        progress("emit Verilog")
        verilog = emit.verilog(network, TOP)
    beats, frames = (network.i_beats, network.o_beats), x.reshape(len(x), *network.i_beats.type.shape)
    stage = f"simulate {len(x)} frames"
    if what == "icarus":
        progress(stage)
        return simulate_verilog(verilog, TOP, *beats, frames, simulator="icarus", frame_cycles=_frame_cycles(made))
    progress("build the simulator")

    def report(done: int, total: int, speed: float) -> None:
        progress(stage, done, total, f"at {speed:,.0f} cycles/s")

    return stream_frames(
        verilog, TOP, *beats, frames, stalls=stalls, frame_cycles=_frame_cycles(made),
        optimize=made.timing.interval * len(x) > MANY_CYCLES, report=report,
    )  # fmt: skip


def _speed(ran: Simulation) -> Facts:
    if ran.speed is None:
        return {}
    facts = {name: round(value, 3) for name, value in asdict(ran.speed).items()}
    return facts | {"cycles_per_second": ran.speed.cycles_per_second}


def _frame_cycles(made: Design) -> int:
    return 4 * (made.timing.latency + made.timing.interval) + 1000


def _prove(made: Design, samples: Samples | None, progress: Progress) -> Facts:
    """Rung 2 on the user's samples, cycles too, or on random frames with stalls; raises Mismatch."""
    model = made.model
    if samples is not None:
        x, stalls = model.encode(samples.inputs), (0.0, 0.0)
    else:
        kind = model.graph.input.type
        x = np.random.default_rng(0).integers(kind.lo, kind.hi + 1, (PROOF_FRAMES, *kind.shape))
        stalls = PROOF_STALLS
    golden = model.graph.evaluate(x)
    ran = _simulated("verilator", made, x, progress, stalls)
    compared = Comparison.of(f"node '{model.graph.output}'", golden, ran.outputs.reshape(golden.shape))
    cycles = compare_cycles(made.course, ran) if stalls == (0.0, 0.0) else None
    for first in (compared.first, cycles.first if cycles else None):
        if first is not None:
            raise first
    facts: Facts = {"rung": 2, "simulator": "verilator", "samples": len(x), "elements_compared": compared.elements}
    facts |= {"mismatches": 0, "reference_mismatches": None, "accuracy": None, "failed": None} | _speed(ran)
    if samples is not None:
        facts |= _against_reference(model, golden, samples)
        if facts["failed"]:
            raise DataError(f"the model must give the reference outputs, but: {facts['failed']}")
    del facts["failed"]
    return facts


def _against_reference(model: Model, golden: Array, samples: Samples) -> Facts:
    facts: Facts = {"reference_mismatches": None, "accuracy": None, "failed": None}
    if samples.outputs is not None:
        count, first = compare_reference(model, golden, samples.outputs)
        facts |= {"reference_mismatches": count, "failed": str(first) if first else None}
    if samples.labels is not None:
        facts["accuracy"] = accuracy(model.decode(golden)[model.output_names[0]], samples.labels)
    return facts
