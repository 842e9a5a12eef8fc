"""The ways to build a node: every engine and component that can, at every folding that may be the best of some plan."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.device import Device
from lutwright.frontend.ir import Graph, Node, Type
from lutwright.frontend.lowering import WINOGRAD, takes_conv
from lutwright.frontend.nodes import Conv, Dense, Embedding, Pool, Unfold
from lutwright.hdl.cost import unit_cost
from lutwright.hdl.depthwise import depthwise_cost, grouped, in_bursts
from lutwright.hdl.engines.base import Cost, Folding
from lutwright.hdl.engines.foldings import useful_parts
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.line_window import PARALLEL
from lutwright.hdl.moves import Move, move_lanes
from lutwright.hdl.units import units
from lutwright.hdl.winograd.engine import ENGINES, foldings, winograd_cost


@dataclass(frozen=True)
class Option:
    """One way to build a node, which takes so many lanes."""

    engine: str
    folding: Folding
    lanes: int
    cost: Cost


@dataclass(frozen=True)
class Ways:
    """The options of nodes on a device; `engines` and `folds` pin some of them."""

    device: Device
    engines: Mapping[str, str]
    folds: Mapping[str, Folding]

    def options(self, node: Node, x: Type) -> list[Option] | None:
        """None for a node that is done at the lanes of its neighbours. PlanError if a pin leaves none."""
        if isinstance(node, Conv) and takes_conv(self.engines.get(node.name, "")):
            return self.tiles(node, x)
        if isinstance(node, Dense | Conv):
            return self._options(node, x)
        if isinstance(node, Unfold | Pool):
            return self._windows(node, x)
        if isinstance(node, Move):
            return self._moves(node, x)
        if isinstance(node, Embedding):
            return self._embeddings(node, x)
        self._check_fold(node, x)
        return None

    def _options(self, node: Dense | Conv, x: Type) -> list[Option]:
        """The engines'; of a depthwise Conv those for the Dense that it unfolds to, and its own component's."""
        pinned, fold = self.engines.get(node.name), self.folds.get(node.name)
        found: list[Option] = []
        reasons: list[str] = []
        dense, under = (node, x) if isinstance(node, Dense) else grouped(node, x)
        if isinstance(node, Conv):
            for name in units(node, x):
                if pinned in (None, name) and (fold is None or fold.pe == fold.simd):
                    lanes = useful_parts(x.channels) if fold is None else [fold.simd]
                    found += self._equal(node, x, name, lanes)
                elif pinned in (None, name):
                    reasons.append(f"{name}: must have as many lanes out as in, not {fold}")
        for name, engine in engines().items():
            if pinned not in (None, name):
                continue
            if reason := engine.supports(dense, under, self.device):
                reasons.append(f"{name}: {reason}")
                continue
            try:
                for folding in [fold] if fold is not None else engine.foldings(dense, under):
                    if isinstance(node, Conv) and fold is None and in_bursts(node, folding):
                        continue
                    if isinstance(node, Dense):
                        found.append(Option(name, folding, folding.simd, engine.cost(node, x, folding, self.device)))
                    else:
                        found.append(Option(name, folding, *depthwise_cost(node, x, engine, folding, self.device)))
            except PlanError as error:  # the pinned folding is not one of this engine's
                reasons.append(f"{name}: {error}")
        if not found:
            raise PlanError(
                f"no engine can build '{node.name}': {'; '.join(reasons) or 'none is installed'}. "
                "Change --engine or --fold, or the model"
            )
        return found

    def _equal(self, node: Node, x: Type, name: str, lanes: Iterable[int]) -> list[Option]:
        """A component with as many lanes out as in."""
        return [Option(name, Folding(n, n), n, unit_cost(node, (x,), n, self.device, name)) for n in lanes]

    def _windows(self, node: Unfold | Pool, x: Type) -> list[Option]:
        """As many lanes out as in, those of an Unfold divide a group; or, of a parallel one, those of some groups."""
        fold, pinned = self.folds.get(node.name), self.engines.get(node.name)
        lanes = useful_parts(x.channels) if fold is None else [fold.simd] if fold.pe == fold.simd else []
        groups = node.groups if isinstance(node, Unfold) else 1
        if isinstance(node, Unfold):
            lanes = [count for count in lanes if x.channels // groups % count == 0]
        parts = [part for part in range(groups, 0, -1) if groups % part == 0]  # of a vector, of some groups each
        whole = [Folding(node.type.channels // part, x.channels // part) for part in parts]
        found = list[Option]()
        for name in units(node, x):
            if pinned not in (None, name):
                continue
            if name == PARALLEL:
                foldings = [folding for folding in whole if fold in (None, folding)]
                costs = (unit_cost(node, (x,), folding.simd, self.device, name) for folding in foldings)
                found += [Option(name, f, f.simd, cost) for f, cost in zip(foldings, costs, strict=True)]
            else:
                found += self._equal(node, x, name, lanes)
        if not found:
            more = ""
            if isinstance(node, Unfold):
                more = (
                    f", which divide its {x.channels // groups} channels, or be {' or '.join(map(str, whole))} with "
                    f"--engine {node.name}={PARALLEL}"
                )
            raise PlanError(f"--fold {node.name} must have as many lanes out as in{more}, not {fold}")
        return found

    def tiles(self, node: Conv, x: Type) -> list[Option]:
        """A Conv that its engine takes as it is, by any of the filters that there are, unless a pin names one."""
        pinned, fold = self.engines.get(node.name, WINOGRAD), self.folds.get(node.name)
        found, reasons = list[Option](), list[str]()
        for name in ENGINES if pinned == WINOGRAD else (pinned,):
            try:
                for each in foldings(node, name) if fold is None else (fold,):
                    cost = winograd_cost(node, x, name, each, self.device)
                    found.append(Option(name, each, each.simd, cost))
            except (PlanError, GraphError) as error:  # too many taps, or sums that 64 bits do not hold
                reasons.append(f"{name}: {error}")
        if not found and node.name in self.engines:
            raise PlanError(f"no engine can build '{node.name}': {'; '.join(reasons)}. Change --engine or --fold")
        return found

    def _moves(self, node: Move, x: Type) -> list[Option]:
        """As many lanes out as in, which keep beats whole."""
        fold, possible = self.folds.get(node.name), move_lanes(node, x)
        lanes = [count for count in useful_parts(x.channels) if count in possible] if fold is None else [fold.simd]
        if fold is not None and (fold.pe != fold.simd or fold.simd not in possible):
            raise PlanError(
                f"--fold {node.name} must have as many lanes out as in, one of {possible}, which keep beats whole, "
                f"not {fold}"
            )
        (name,) = units(node, x)
        return self._equal(node, x, name, lanes)

    def _embeddings(self, node: Embedding, x: Type) -> list[Option]:
        """One index at a time, and any elements of its vector."""
        fold = self.folds.get(node.name)
        if fold is not None and fold.simd != 1:
            raise PlanError(f"--fold {node.name} must take one index at a time, such as {fold.pe}x1, not {fold}")
        lanes = useful_parts(node.type.channels) if fold is None else [fold.pe]
        (name,) = units(node, x)
        return [Option(name, Folding(n, 1), 1, unit_cost(node, (x,), n, self.device, name)) for n in lanes]

    def _check_fold(self, node: Node, x: Type) -> None:
        """PlanError if a node without options is pinned to give other lanes than its own."""
        fold = self.folds.get(node.name)
        if fold is not None and fold.pe != (pe := lanes_out(node, x, fold.simd)):
            raise PlanError(f"--fold {node.name} must give {pe} for {fold.simd} lanes, {pe}x{fold.simd}, not {fold}")


def lanes_out(node: Node, x: Type, lanes: int) -> int:
    """Those of a node without options: as many as it takes; of one channel, one."""
    return 1 if node.type.channels == 1 and x.channels > 1 else lanes


def check_pins(graph: Graph, steps: Sequence[Node], names: Mapping[str, str], folds: Mapping[str, Folding]) -> None:
    """PlanError if a pin names a node that is not there, or what can't be."""
    nodes = {node.name: (node, graph.types(node)[0]) for node in steps}
    for option, pins in (("--engine", names), ("--fold", folds)):
        for name in pins:
            if name not in nodes:
                raise PlanError(f"{option} must name a node of the network, not '{name}'. They are {', '.join(nodes)}")
    for name, engine in names.items():
        node, x = nodes[name]
        known = () if isinstance(node, Dense) else units(node, x)
        known += tuple(engines()) if isinstance(node, Dense | Conv) else ()
        if engine not in known:
            raise PlanError(f"the engine of '{name}' must be one of {', '.join(known)}, not '{engine}'")
    for name, fold in folds.items():
        node, x = nodes[name]
        columns, simd = x.channels, "input channels"
        if isinstance(node, Conv):
            columns, simd = columns * math.prod(node.window.kernel), "those under the kernel"
        if not (1 <= fold.pe <= node.type.channels and 1 <= fold.simd <= columns):
            raise PlanError(
                f"--fold {name} must lie between 1x1 and {node.type.channels}x{columns}, not {fold}: "
                f"PE are output channels, SIMD {simd}"
            )
