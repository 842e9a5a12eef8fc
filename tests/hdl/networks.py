"""Random chains of nodes with random foldings."""

from __future__ import annotations

import random

import numpy as np

from lutwright.frontend.device import device
from lutwright.frontend.ir import Array, Graph, Input, Node, Type, verify
from lutwright.frontend.nodes import ArgMax, Dense, Reshape, Table, Threshold
from lutwright.frontend.planning import NodePlan, Plan
from lutwright.hdl.engines.base import Folding

DEVICE = device("ecp5-85k")


def drawn(x: Type, count: int, seed: int) -> Array:
    return np.random.default_rng(seed).integers(x.lo, x.hi + 1, (count, *x.shape))


def threshold(name: str, source: Node, steps: int, rng: np.random.Generator) -> Threshold:
    x = source.type
    thresholds = np.sort(rng.integers(x.lo, x.hi + 2, (x.channels, steps)), axis=1)
    step = rng.choice((-1, 1), x.channels)
    return Threshold.of(name, source, thresholds, np.where(step < 0, steps, 0), step)


def random_network(seed: int) -> tuple[Graph, Plan]:
    """A chain of random nodes with random foldings; now and then without thresholds, with reshapes, tables."""
    rng, choose = np.random.default_rng(seed), random.Random(seed)
    leading = choose.choice([(), (), (2,), (3,)])
    lo, hi = choose.choice([(0, 1), (0, 3), (-4, 3)])
    nodes: list[Node] = [Input("in", (), Type((*leading, choose.randint(1, 12)), lo, hi))]
    folds: dict[str, NodePlan] = {}

    def add(node: Node, engine: str, pe: int, simd: int) -> None:
        nodes.append(node)
        folds[node.name] = NodePlan(engine, Folding(pe, simd))

    for layer in range(choose.randint(1, 3)):
        x = nodes[-1].type
        if choose.random() < 0.25:
            nodes.append(
                Reshape.of(f"reshape.{layer}", nodes[-1], choose.choice([(x.size,), (x.size, 1), (1, *x.shape)]))
            )
            x = nodes[-1].type
        rows = choose.randint(1, 12)
        signs = choose.random() < 0.5
        weight = rng.choice((-1, 1) if signs else (-3, 0, 2), (rows, x.channels))
        engine = "multiply" if not signs else "xnor" if (x.lo, x.hi) == (0, 1) else "addsub"
        dense = Dense.of(f"dense{layer}", nodes[-1], weight)
        if choose.random() < 0.2:
            add(dense, "spatial", rows, x.channels)
        else:
            add(dense, engine, choose.randint(1, rows), choose.randint(1, x.channels))
        lanes = choose.randint(1, 6)
        kind = choose.choice(["threshold", "threshold", "threshold", "table", "none"])
        if kind == "threshold":
            add(threshold(f"threshold{layer}", dense, choose.choice([1, 1, 3]), rng), "", lanes, lanes)
        elif kind == "table" and dense.type.hi - dense.type.lo < 200:
            values = rng.integers(-2, 3, (1, dense.type.hi - dense.type.lo + 1))
            add(Table.of(f"table{layer}", dense, values), "", lanes, lanes)
    if choose.random() < 0.5:
        add(ArgMax.of("argmax", nodes[-1]), "", 1, choose.randint(1, 6))
    if choose.random() < 0.3:
        nodes.append(Reshape.of("flat", nodes[-1], (nodes[-1].type.size,)))
    return verify(Graph(tuple(nodes), nodes[-1].name)), Plan(DEVICE, folds)
