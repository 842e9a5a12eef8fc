"""Why a plan is as it is: what each node takes, what binds, and what more speed would need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from lutwright.frontend.planning import Fps, Goal, Latency, Smallest
from lutwright.frontend.search import Search, Solution
from lutwright.hdl.assembly import Assembly, Placed
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
    timing, cost, cycles = network.timing(), network.cost, chosen.cost.cycles
    at_clock = f", {clock_mhz * 1e6 / timing.interval:,.0f} frames/s at {clock_mhz:g} MHz" if clock_mhz else ""
    yield f"Interval {timing.interval} cycles{at_clock}, latency {timing.latency} cycles."
    yield f"Bottleneck: {chosen.bottleneck.node.name} with {cycles} cycles a frame."
    if timing.interval > cycles:
        yield f"Nodes wait for one another, which takes {timing.interval - cycles} cycles of the interval."
    shares = search.shares(cost)
    binding = max(shares, key=lambda name: shares[name])
    yield f"Of what is left for the network on the device: {_percent(shares)}; {binding} binds."
    count = sum(step.cost.cycles == cycles for step in chosen.steps)
    yield f"The next step: {count} of {len(chosen.steps)} nodes have to be faster; it {_faster(search, cycles - 1)}."
    yield f"Twice the speed {_faster(search, cycles // 2, elsewhere=True)}."


def _faster(search: Search, cycles: int, elsewhere: bool = False) -> str:
    """What it needs that no node takes more than so many cycles: of the whole network, but for queues."""
    solution = search.solve(cycles) if cycles else None
    if solution is None:
        slow = search.slower(cycles)
        return f"is more than {'any engine gives ' + ', '.join(slow) if slow else 'the nodes together can have'}"
    queues = dict.fromkeys(Assembly(solution.graph, solution.bare).queues, 0)
    cost = Network(solution.graph, replace(solution.bare, queues=queues)).cost
    need = f"takes {solution.cost.cycles} cycles and needs {_percent(search.shares(cost))}"
    if search.fits(cost):
        return need
    need += f", which does not fit by {search.overdrawn(cost)}"
    if not elsewhere:
        return need
    others = search.elsewhere(cycles)
    return f"{need}; it fits {', '.join(others) if others else 'none of the known devices'}"


def _joins(network: Network, queue: Placed) -> bool:
    """Whether streams meet in the node behind a queue."""
    (reader,) = (place for place in network.placed if any(wire.part == queue.number for wire in place.takes))
    part = reader.part.component
    return _joins(network, reader) if isinstance(part, Slice) else isinstance(part, Joint)


def _percent(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
