"""Why a plan is as it is: what each node takes, what binds, and what more speed would need."""

from __future__ import annotations

from collections.abc import Iterator

from lutwright.frontend.planning import Fps, Goal, Latency, Smallest
from lutwright.frontend.search import Search, Solution, amounts
from lutwright.hdl.assembly import Placed
from lutwright.hdl.branch import Joint
from lutwright.hdl.fifo import Fifo, Slice
from lutwright.hdl.network import Network

AIMS = {
    Fps: "the smallest plan that reaches the asked frames/s",
    Latency: "the lowest latency that fits",
    Smallest: "the fewest resources",
}


def explain(
    search: Search, chosen: Solution, network: Network, goal: Goal | None, clock_mhz: float | None
) -> Iterator[str]:
    """The lines of a plan's explanation."""
    device = search.device
    aim = AIMS.get(type(goal), "the fastest plan that leaves room on the device and is placed in minutes")
    yield f"Goal on {device.name}: {aim}."
    for step in chosen.steps:
        yield (
            f"{step.node.name}: {step.option.engine} {step.option.folding}, {step.cost.cycles} cycles a frame, "
            f"{step.cost.luts} LUT, {step.cost.brams} BRAM, {step.cost.dsps} DSP."
        )
    for place in network.placed:
        part = place.part
        if isinstance(part.component, Fifo):
            why = (
                "the other branch has caught up"
                if _joins(network, place)
                else "the node takes them, which come in bursts"
            )
            yield (
                f"{part.name}: {part.component.depth} beats of {part.component.i_beats.bits} bits wait until {why}, "
                f"{part.cost.brams} BRAM."
            )
    timing, cost = network.timing(), network.cost
    at_clock = f", {clock_mhz * 1e6 / timing.interval:,.0f} frames/s at {clock_mhz:g} MHz" if clock_mhz else ""
    yield f"Interval {timing.interval} cycles{at_clock}, latency {timing.latency} cycles."
    slow = chosen.bottleneck
    yield f"Bottleneck: {slow.node.name} with {slow.cost.cycles} cycles a frame."
    shares = search.shares(cost)
    binding = max(shares, key=lambda name: shares[name])
    yield f"Of what is left for the network on the device: {_percent(shares)}; {binding} binds."
    slowest = [step.cost.cycles for step in chosen.steps]
    limit = max([cycles for cycles in slowest if cycles < slow.cost.cycles], default=slow.cost.cycles)
    nodes = [step.node.name for step in chosen.steps if step.cost.cycles > chosen.cost.cycles // 2]
    yield (
        f"The next step: {slowest.count(slow.cost.cycles)} of {len(slowest)} nodes take {slow.cost.cycles} cycles; "
        f"were they faster, the next slowest would take {limit}."
    )
    twice = search.solve(max(1, chosen.cost.cycles // 2))
    if twice is None:
        yield f"Twice the speed: no engine makes {', '.join(nodes)} that fast."
        return
    need = search.shares(twice.cost)
    if search.fits(twice.cost):
        yield f"Twice the speed needs {_percent(need)}."
        return
    lacking = [f"{amounts(twice.cost)[name]} {name} of {search.limits[name]:.0f}" for name in need if need[name] > 1]
    others = search.elsewhere(chosen.cost.cycles // 2)
    on = f"it fits {', '.join(others)}" if others else "it fits none of the known devices"
    yield f"Twice the speed needs {_percent(need)}, which does not fit by {' and '.join(lacking)}; {on}."


def _joins(network: Network, queue: Placed) -> bool:
    """Whether streams meet in the node behind a queue."""
    (reader,) = (place for place in network.placed if any(wire.part == queue.number for wire in place.takes))
    part = reader.part.component
    return _joins(network, reader) if isinstance(part, Slice) else isinstance(part, Joint)


def _percent(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
