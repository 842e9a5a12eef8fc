"""A proof by exhaustion: from every state that any stalls lead to, a beat comes out once nothing stalls any more.

The token model's control is finite, so all its reachable states are visited, under every choice of source and sink in
every cycle. That the components step as the model does is shown in `test_timing` and `test_branch`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from lutwright.frontend.ir import Graph, Type
from lutwright.frontend.nodes import Add, Concat, Conv, Dense, Pool
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.engines import folded
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.network import Network
from lutwright.hdl.pool import SEPARATE
from lutwright.hdl.sizing import goes_on
from lutwright.hdl.steps import Machine
from lutwright.hdl.timetable import Timetable
from lutwright.hdl.timing import measure
from lutwright.hdl.tokens import Kind, Tokens, Weaver, fork, join, pipeline, queue, schedule
from lutwright.hdl.window import SlidingWindow

from .test_branch import Built

CHOICES = [(source, sink) for source in (False, True) for sink in (False, True)]
MOST = 400_000  # states


def residual(seed: int) -> tuple[Graph, Plan]:
    """x + conv(x) over a row: the conv gives nothing before it has seen two places."""
    net = Built((3, 1), 0, 1, seed)
    net.folds["conv_window"] = NodePlan("unfold", Folding(1, 1))
    window = Window((3,), (1,), (1,), ((1, 1),))
    weight = net.rng.integers(-2, 3, (1, 3, 1))
    conv = net(Conv.of("conv", net.nodes[0], weight, np.zeros(1, np.int64), window), 1, 3, "multiply")
    net(Add.of("add", (net.nodes[0], conv), np.array([[1, 1]])), 1, 1)
    return net.done()


def pyramid(seed: int) -> tuple[Graph, Plan]:
    """The maximum before what it is of: the join takes nothing of one branch until the other has ended."""
    net = Built((3, 1), 0, 1, seed)
    pool = net(Pool.of("pool", net.nodes[0], "max", Window((3,), (1,), (1,), ((0, 0),))), 1, 1)
    net(Concat.of("concat", (pool, net.nodes[0]), 0), 1, 1)
    return net.done()


def lanes(seed: int) -> tuple[Graph, Plan]:
    """Branches of unequal lanes."""
    net = Built((3,), 0, 1, seed)
    slow = net(Dense.of("slow", net.nodes[0], net.rng.integers(-2, 3, (3, 3))), 1, 1, "multiply")
    net(Add.of("add", (net.nodes[0], slow), np.array([[1, 1]])), 3, 3)
    return net.done()


def bursts(seed: int) -> tuple[Graph, Plan]:
    """A chain with a queue, as the last row of the pool's windows gives its beats faster than the layer takes them."""
    net = Built((2, 6, 1), 0, 1, seed)
    pool = net(Pool.of("pool", net.nodes[0], "max", Window((2, 1), (2, 1), (1, 1), ((0, 0), (0, 0)))), 1, 1, SEPARATE)
    net(Dense.of("dense", pool, net.rng.integers(-2, 3, (2, 1))), 1, 1, "multiply")
    return net.done(even=True)


def gaps(seed: int) -> tuple[Graph, Plan]:
    """A branch whose pipeline holds less where stalls leave gaps in it, while the concat takes the other branch."""
    net = Built((3, 1), 0, 1, seed)
    scaled = net(Add.of("scaled", (net.nodes[0],), np.array([[3]])), 1, 1)
    net(Concat.of("concat", (net.nodes[0], scaled), 0), 1, 1)
    return net.done()


NETWORKS: dict[str, Callable[[int], tuple[Graph, Plan]]] = {
    "residual": residual,
    "pyramid": pyramid,
    "lanes": lanes,
    "bursts": bursts,
    "gaps": gaps,
}


class Explored:
    """All states that can be reached, each with its next one when nothing stalls, and whether a beat then comes out.

    A source that has offered a beat keeps offering it, so that is a part of the state.
    """

    def __init__(self, tokens: Tokens) -> None:
        self.machine = Machine(tokens)
        start = (self.machine.state.tobytes(), False)
        self.numbers = {start: 0}
        self.free: list[tuple[int, bool]] = []
        waiting = [start]
        while waiting:
            reached = list[tuple[int, bool]]()
            for state in waiting:
                for following, given, stalls in self._steps(state):
                    if following not in self.numbers:
                        self.numbers[following] = len(self.numbers)
                        reached.append(following)
                    if not stalls:
                        self.free.append((self.numbers[following], given))
            assert len(self.numbers) < MOST
            waiting = reached

    def _steps(self, state: tuple[bytes, bool]) -> Iterator[tuple[tuple[bytes, bool], bool, bool]]:
        kept, offered = state
        machine = self.machine
        for source, sink in CHOICES:
            if offered and not source:
                continue
            machine.state[:] = np.frombuffer(kept, np.int64).reshape(machine.state.shape)
            valid, ready = machine.settle(source, sink)
            machine.tick()
            yield (machine.state.tobytes(), source and not ready), valid and sink, not (source and sink)

    @property
    def dead(self) -> int:
        """States from which no beat ever comes out though nothing stalls."""
        alive = [given for _, given in self.free]
        changed = True
        while changed:
            found = [own or alive[following] for own, (following, _) in zip(alive, self.free, strict=True)]
            changed, alive = found != alive, found
        return alive.count(False)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_state_goes_on(name: str) -> None:
    always_goes_on(name)


@pytest.mark.parametrize("name", ["residual", "lanes", "bursts"])
def test_every_state_goes_on_where_registers_never_wait(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folded, "wide", lambda *_: True)
    assert any(stage.kind is Kind.FREE for stage in always_goes_on(name).stages)


def always_goes_on(name: str) -> Tokens:
    graph, plan = NETWORKS[name](0)
    tokens = Network(graph, plan).tokens()
    explored = Explored(tokens)
    print(f"{name}: {len(explored.numbers)} states, queues {dict(plan.queues)}")
    assert len(explored.free) == len(explored.numbers) and explored.dead == 0
    return tokens


@pytest.mark.parametrize("name", ["residual", "pyramid", "gaps"])
def test_shallower_queues_have_dead_states(name: str) -> None:
    graph, plan = NETWORKS[name](0)
    shallow = Network(graph, replace(plan, queues=dict.fromkeys(plan.queues, 0)))
    assert Explored(shallow.tokens()).dead


def test_a_network_that_only_stalls_can_stop() -> None:
    """A pipeline without gaps keeps what is to wait, so without stalls a shallower queue seems to do."""
    graph, plan = gaps(0)
    shallow = Network(graph, replace(plan, queues={**plan.queues, "concat:1": 0}))
    beats = shallow.i_beats.per_frame, shallow.o_beats.per_frame
    assert measure(shallow.tokens(), *beats) == Network(graph, plan).timing()
    assert Explored(shallow.tokens()).dead


@pytest.mark.parametrize("name", ["pyramid", "lanes", "bursts", "gaps"])
def test_frames_one_by_one_tell_whether_there_are_dead_states(name: str) -> None:
    graph, plan = NETWORKS[name](0)
    names = [name for name, depth in plan.queues.items() if depth]
    found = set[bool]()
    for depths in product(*([0, *range(2, plan.queues[name] + 1)] for name in names)):
        network = Network(graph, replace(plan, queues={**plan.queues, **dict(zip(names, depths, strict=True))}))
        alive = goes_on(Machine(network.tokens().tight), network.i_beats.per_frame, network.o_beats.per_frame)
        assert alive == (Explored(network.tokens()).dead == 0), depths
        found.add(alive)
    print(f"{name}: {found}")


def test_room_that_is_there_for_a_while_only_keeps_nothing_going() -> None:
    """A window so wide that its buffer has less room at a row's start than at the end of that before.

    A fast source fills it while there is room, a slow one finds that gone, and what the other branch waits for outside.
    """
    frame, columns = 10, 8
    window = SlidingWindow(Type((5, 2, 1), 0, 3), Window((1, 7), (1, 1), (1, 1), ((0, 0), (6, 6))), 1, 0)
    needs = np.minimum(np.arange(5 * columns) + 1, frame)
    found = set[tuple[bool, bool]]()
    for depth in (0, *range(2, frame)):
        weaver = Weaver()
        wide, whole = weaver.through(fork(2), 0)
        wide = weaver.along((*(queue(depth) if depth else ()), *window.control(), *pipeline(1, every=7)), wide)
        whole = weaver.along(schedule(Timetable.row(needs, needs - 1), 2, frame), whole)
        tokens = weaver.tokens(*weaver.through(join(2), wide, whole))
        goes = goes_on(Machine(tokens.tight), frame, 5 * columns)
        dead = Explored(tokens).dead
        assert not (goes and dead), depth
        found.add((goes, dead > 0))
    assert {(True, False), (False, True)} <= found
