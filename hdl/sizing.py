"""The depths of the queues before nodes where streams meet, from the token model.

The network is a Kahn process network: every component takes and gives beats in an order that no timing changes, and a
bounded queue is one more such order. So whether it deadlocks does not depend on when anything stalls: a network that
runs for ever with source and sink that never stall (which is seen, as its state repeats) runs at any stalls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, partial

from lutwright.errors import PlanError
from lutwright.frontend.ir import Graph
from lutwright.frontend.planning import Plan
from lutwright.hdl.assembly import Assembly, Placed, weave
from lutwright.hdl.timing import Timing, measure

AMPLE = 4  # frames in a queue that never hinders
SHALLOWEST = 2


def sized(graph: Graph, plan: Plan) -> Plan:
    """The plan with the least depths at which latency and interval are those of queues without bounds.

    No single depth can be less; 0 is no queue.
    """
    assembly = Assembly(graph, plan)
    depths = {name: AMPLE * beats.per_frame + SHALLOWEST for name, beats in assembly.queues.items()}
    if not depths:
        return plan
    best = _timing(assembly.placed(depths))

    @cache  # the last round asks what the one before asked
    def all_enough(tried: tuple[int, ...]) -> bool:
        try:
            timing = _timing(assembly.placed(dict(zip(depths, tried, strict=True))))
        except PlanError:  # a deadlock
            return False
        return timing.latency <= best.latency and timing.interval <= best.interval

    def enough(name: str, depth: int) -> bool:
        return all_enough(tuple((depths | {name: depth}).values()))

    settled = dict.fromkeys(depths, -1)
    while depths != settled:  # a queue may do with less once another has become less
        settled = dict(depths)
        for name in depths:
            depths[name] = _least(depths[name], partial(enough, name))
    return replace(plan, queues=depths)


def _least(high: int, enough: Callable[[int], bool]) -> int:
    """The least depth that is enough, where `high` is: first upwards, since most are shallow."""
    if high == 0 or enough(0):
        return 0
    low, reach = SHALLOWEST, SHALLOWEST
    while low < high:
        tried = min(reach, high - 1) if reach else (low + high) // 2
        if enough(tried):
            high, reach = tried, 0
        else:
            low, reach = tried + 1, 2 * reach
    return high


def _timing(parts: Sequence[Placed]) -> Timing:
    first, last = parts[0].part.component, parts[-1].part.component
    return measure(weave(parts)[0], first.i_beats.per_frame, last.o_beats.per_frame)
