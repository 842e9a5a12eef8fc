"""Whole data sets through Verilog: a simulator of nothing but compiled code, in several processes at once."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from lutwright.errors import ToolError
from lutwright.frontend.ir import Array
from lutwright.hdl.beats import Beats
from lutwright.testbenches.cocotb_run import LOG, environment, log_tail, watched
from lutwright.testbenches.memories import with_files
from lutwright.testbenches.runner import Simulation, Speed
from lutwright.testbenches.words import lasts, pack_words, unpack_words, word_count

FRAMES_EACH = 4  # frames of a process at the least
# Of the C++ compiler. -O2 and more build longer and run no faster, on every network measured; -O0 builds large networks
# three times as fast as -O1, and a million cycles take as much longer as that saves.
OPTIMIZE, HURRY = "-O1", "-O0"
BROKEN = {3: "hung: no beat came in or out within {} cycles", 4: "o_valid or o_payload changed before o_ready"}
POLL = 0.2  # seconds

Report = Callable[[int, int, float], None]


def stream_frames(
    verilog: str,
    top: str,
    i_beats: Beats,
    o_beats: Beats,
    samples: Array,
    *,
    stalls: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    frame_cycles: int = 100_000,
    processes: int | None = None,
    optimize: bool = True,
    report: Report = lambda done, total, speed: None,
) -> Simulation:
    """Run `samples` [n, *i_beats.type.shape] through the module `top` with the ports of `lutwright.hdl.emit`.

    `stalls`: the probability that the source or the sink stalls in a cycle; `frame_cycles`: how many cycles may move no
    beat, in which the module counts as hung, and twice and more so many with stalls; `processes`: that share the
    samples, one each at the least (None: one a processor); `optimize`: whether a faster simulation is worth a longer
    build; `report` gets the samples done and in all, and cycles a second.
    Raises ToolError if the module hangs, breaks a rule of streams, or marks `last` in the wrong place.
    """
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        folder = Path(name)
        started = time.monotonic()
        bench = _build(verilog, top, folder, OPTIMIZE if optimize else HURRY)
        built = time.monotonic()
        share = min(processes, len(samples)) if processes else min(os.cpu_count() or 1, len(samples) // FRAMES_EACH)
        parts = np.array_split(samples, max(1, share))
        patience = round(2 * frame_cycles / (1 - min(0.99, max(stalls))))
        settings = [i_beats.per_frame, o_beats.per_frame, i_beats.bits, *(round(share * 1024) for share in stalls)]
        commands = list[list[str]]()
        for index, part in enumerate(parts):
            pack_words(i_beats, part).tofile(folder / f"inputs{index}")
            paths = [f"{kind}{index}" for kind in ("inputs", "outputs", "cycles")]
            commands.append([str(bench), *paths, *map(str, [*settings, seed + index + 1, patience])])
        running = time.monotonic()
        cycles = _run(commands, folder, len(samples), patience, report)
        ended = time.monotonic()
        words = np.concatenate([np.fromfile(folder / f"outputs{index}", np.uint32) for index in range(len(parts))])
        times = np.concatenate([np.fromfile(folder / f"cycles{index}", np.int64) for index in range(len(parts))])
    beats = words.reshape(-1, word_count(o_beats.bits))
    marked = lasts(o_beats, beats)
    wrong = np.flatnonzero((marked != (np.arange(o_beats.per_frame) == o_beats.per_frame - 1)).any(axis=1))
    if len(wrong):
        raise ToolError(f"'last' must mark the last beat of a frame and no other, but not so in frame {wrong[0]}")
    first_in, last_out = times.reshape(-1, 2).T
    return Simulation(
        unpack_words(o_beats, beats), first_in, last_out, tuple(map(len, parts)),
        Speed(built - started, ended - running, cycles, len(parts)),
    )  # fmt: skip


def _build(verilog: str, top: str, folder: Path, optimize: str) -> Path:
    """The program of `stream_main.cpp` around the module."""
    (folder / "dut.v").write_text(with_files(verilog, folder))
    # What has no initial value is drawn at random.
    options = ["-O3", "--x-assign", "fast", "--x-initial", "unique", "--noassert", "--no-timing", "-Wno-fatal"]
    command = ["verilator", "--cc", "--exe", "--build", "-j", "0", *options, "-Wno-lint", "-Wno-style"]
    # One translation unit takes the least processor time; several pay where they optimize on several cores.
    parallel = int(optimize == OPTIMIZE and (os.cpu_count() or 1) > 2)
    command += ["-MAKEFLAGS", f"OPT_FAST={optimize} VM_PARALLEL_BUILDS={parallel}"]
    command += ["--prefix", "Vdut", "--top-module", top, "-Mdir", "built"]
    command += ["dut.v", str(Path(__file__).with_name("stream_main.cpp"))]
    if watched(command, folder, environment("verilator"), "verilator"):
        raise ToolError(f"verilator must build the simulator without an error, but:\n{log_tail(folder / LOG)}")
    return folder / "built" / "Vdut"


def _run(commands: Sequence[Sequence[str]], folder: Path, total: int, patience: int, report: Report) -> int:
    """Run all at once, which end with this call, and return how many cycles they took together."""
    started = time.monotonic()
    logs = [folder / f"log{index}.txt" for index in range(len(commands))]
    with ExitStack() as stack:
        running = list[subprocess.Popen[bytes]]()
        for command, log in zip(commands, logs, strict=True):
            out = stack.enter_context(log.open("wb"))
            running.append(
                stack.enter_context(subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT))
            )
            stack.callback(running[-1].kill)
        while True:
            busy = [process for process in running if process.poll() is None]
            for code, log in [(process.returncode, log) for process, log in zip(running, logs, strict=True)]:
                if code:
                    reason = BROKEN.get(code, f"it ended with {code}:\n{log_tail(log)}").format(patience)
                    raise ToolError(f"the simulated module must take and give every beat, but {reason}")
            done, cycles = np.sum([_progress(log) for log in logs], axis=0).tolist()
            report(done, total, cycles / (time.monotonic() - started))
            if not busy:
                return int(cycles)
            with suppress(subprocess.TimeoutExpired):
                busy[0].wait(POLL)


def _progress(log: Path) -> tuple[int, int]:
    """The frames and the cycles of the last whole line that a process has written."""
    lines = [line.split() for line in log.read_text(errors="replace").splitlines(keepends=True) if line.endswith("\n")]
    counts = [line for line in lines if len(line) == 2 and line[0].isdecimal() and line[1].isdecimal()]
    return (int(counts[-1][0]), int(counts[-1][1])) if counts else (0, 0)
