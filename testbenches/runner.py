"""Frames through Verilog: what a simulator makes of a stream module in cocotb, and in which cycles."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lutwright.errors import ToolError
from lutwright.frontend.ir import Array
from lutwright.hdl.beats import Beats
from lutwright.testbenches.cocotb_run import Job, Simulator, run_cocotb
from lutwright.testbenches.memories import with_files


@dataclass(frozen=True)
class Speed:
    """What a simulation took: its build, then `cycles` in all processes together."""

    build_seconds: float
    run_seconds: float
    cycles: int
    processes: int

    @property
    def cycles_per_second(self) -> int:
        return round(self.cycles / self.run_seconds)


@dataclass(frozen=True)
class Simulation:
    """What came out: outputs int64 [samples, *shape], and for each frame the cycles of its first and last beat.

    `slices`: so many frames in a row began with a reset, with which their cycles begin; the first slice is a longest.
    """

    outputs: Array
    first_in: Array
    last_out: Array
    slices: tuple[int, ...]
    speed: Speed | None = None

    @property
    def last_beats(self) -> Array:
        """[samples]: the cycle of each frame's last beat out, after the first beat in of its slice."""
        starts: Array = np.repeat(self.first_in[np.cumsum((0, *self.slices[:-1]))], self.slices)
        return self.last_out - starts

    @property
    def latency(self) -> int:
        """Cycles from the first beat in to the last beat out, of the first frame."""
        return int(self.last_out[0] - self.first_in[0])

    @property
    def interval(self) -> int | None:
        """Cycles between the last beats of the first slice's last two frames; None for a single frame."""
        ends = self.last_out[: self.slices[0]]
        return int(ends[-1] - ends[-2]) if len(ends) > 1 else None


def simulate(
    verilog: str,
    top: str,
    i_beats: Beats,
    o_beats: Beats,
    samples: Array,
    *,
    simulator: Simulator = "verilator",
    stalls: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    frame_cycles: int = 100_000,
) -> Simulation:
    """Run `samples` [n, *i_beats.type.shape] through the module `top` with the ports of `lutwright.hdl.emit`.

    `stalls`: the probability that the source or the sink stalls in a cycle.
    `frame_cycles`: how many cycles a frame may take at the most before the module counts as hung.
    Raises ToolError if the module hangs, breaks a rule of streams, or marks `last` in the wrong place.
    """
    with tempfile.TemporaryDirectory(prefix="lutwright-") as name:
        folder = Path(name)
        source = folder / "dut.v"
        source.write_text(with_files(verilog, folder))
        words = (f"{word:x}" for sample in samples for word in i_beats.pack(sample))
        (folder / "inputs.txt").write_text("\n".join(words) + "\n")
        slack = 1 / (1 - min(0.99, max(stalls)))
        plusargs = {
            **{name: folder / f"{name}.txt" for name in ("inputs", "outputs", "fed")},
            "wanted": len(samples) * o_beats.per_frame,
            "source": round(stalls[0] * 1024),
            "sink": round(stalls[1] * 1024),
            "seed": seed + 1,
            "limit": round((len(samples) + 2) * frame_cycles * 2 * slack),
        }
        run_cocotb(
            Job(
                sources=[source, Path(__file__).with_name("stream_harness.sv")],
                top="stream_harness",
                test_module="lutwright.testbenches.stream_bench",
                folder=folder,
                simulator=simulator,
                parameters={"W_IN": i_beats.bits, "W_OUT": o_beats.bits},
                defines={"DUT": top},
                plusargs=[f"+{name}={value}" for name, value in plusargs.items()],
            )
        )
        rows = [line.split() for line in (folder / "outputs.txt").read_text().splitlines()]
        fed = np.array((folder / "fed.txt").read_text().split(), dtype=np.int64)
    cycles = np.array([int(cycle) for _, cycle in rows], dtype=np.int64).reshape(len(samples), o_beats.per_frame)
    beats = [int(word, 16) for word, _ in rows]
    frames = [beats[start : start + o_beats.per_frame] for start in range(0, len(beats), o_beats.per_frame)]
    for index, frame in enumerate(frames):
        if list(o_beats.lasts(frame)) != [False] * (o_beats.per_frame - 1) + [True]:
            raise ToolError(f"'last' must mark the last beat of a frame and no other, but not so in frame {index}")
    return Simulation(
        np.array([o_beats.unpack(frame) for frame in frames]),
        fed.reshape(-1, i_beats.per_frame)[: len(samples), 0],
        cycles[:, -1],
        (len(samples),),
    )
