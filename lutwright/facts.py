"""What reports and `--json` say of a design: totals, and a row for every part of its network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import lutwright
from lutwright.design import Design
from lutwright.hdl.engines.base import Cost
from lutwright.hdl.synth import Resources, synthesize_parts

Facts = dict[str, Any]


def design_facts(made: Design, path: Path) -> Facts:
    """What is known of a design before its synthesis."""
    timing, clock = made.timing, made.clock_mhz
    return {
        "lutwright": lutwright.__version__,
        "model": {"path": str(path), "digest": made.model.digest},
        "board": made.board.name if made.board else None,
        "device": made.device.name,
        "clock_mhz": clock,
        "interval_cycles": timing.interval,
        "cycles_per_frame": timing.interval,
        "latency_cycles": timing.latency,
        "frames_per_second": round(clock * 1e6 / timing.interval, 1) if clock else None,
        "latency_us": round(timing.latency / clock, 3) if clock else None,
        "nodes": part_rows(made, {}),
        "explanation": list(made.plan.explanation),
    }


def part_rows(made: Design, measured: Mapping[str, Resources]) -> list[Facts]:
    """A row a part of the network: the nodes, and the adapters between them. Its LUTs are sites."""
    rows = []
    for part in made.network.parts:
        choice = made.plan.nodes[part.node] if part.node is not None else None
        node = made.model.graph[part.node] if part.node is not None else None
        counted = measured.get(part.name)
        rows.append(
            {
                "name": part.name,
                "node": part.node,
                "kind": type(node).__name__ if node is not None else part.kind,
                "engine": choice.engine if choice else None,
                "folding": str(choice.folding) if choice else None,
                "input": str(part.component.i_beats.type),
                "output": str(part.component.o_beats.type),
                "weight_bits": _weight_bits(node),
                "cycles_per_frame": part.cycles,
                "predicted": predicted(part.cost),
                "measured": {"lut": counted.sites, "ff": counted.ff, "bram": counted.bram, "dsp": counted.dsp}
                if counted
                else None,
            }
        )  # fmt: skip
    return rows


def predicted(cost: Cost) -> Facts:
    """A cost's resources, under the names of reports."""
    return {"lut": cost.luts, "ff": cost.ffs, "bram": cost.brams, "dsp": cost.dsps}


def _weight_bits(node: Any) -> int:
    """Bits of a dense node's weights: one each for ±1, else those of the narrowest two's complement."""
    weight = getattr(node, "weight", None)
    if weight is None:
        return 0
    if np.isin(weight, (-1, 1)).all():
        return int(weight.size)
    return int(weight.size) * int(node.weight_type.width)


def measured_parts(made: Design, rtlil: str, top: str) -> dict[str, Resources]:
    """What synthesis makes of every part of the network `top`."""
    return synthesize_parts(rtlil, top, made.device, [part.name for part in made.network.parts])


def link_rate(made: Design, baud: int) -> float:
    """Frames a second that the UART carries: ten bits a byte, the longer of request and reply, without escapes."""
    sizes = [
        beats.per_frame * -(-beats.lanes * beats.type.width // 8) + 8
        for beats in (made.network.i_beats, made.network.o_beats)
    ]
    return baud / 10 / max(sizes)
