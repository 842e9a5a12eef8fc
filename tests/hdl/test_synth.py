"""Counts of mapped netlists, and what costs have to equal in them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lutwright.frontend.device import device
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.emit import rtlil
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.packing import dsp_blocks
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.synth import counted, resources, synthesize


def cell(kind: str, **nets: int | str) -> dict[str, Any]:
    return {"type": kind, "connections": {name: [net] for name, net in nets.items()}}


def test_a_carry_without_its_lut_takes_a_site() -> None:
    cells = {
        "sum": cell("SB_LUT4", I0="0", I1=2, I2=3, I3="0", O=5),
        "beside": cell("SB_CARRY", I0=2, I1=3, CI="0", CO=6),
        "again": cell("SB_CARRY", I0=2, I1=3, CI="0", CO=7),
        "alone": cell("SB_CARRY", I0=2, I1=3, CI=6, CO=8),
    }
    found = counted({"cells": cells})
    assert (found.lut, found.carry, found.sites) == (1, 3, 3)


def test_a_net_that_enters_a_chain_takes_a_site() -> None:
    cells = {
        "sum": cell("SB_LUT4", I0="0", I1=2, I2=3, I3=4, O=5),
        "beside": cell("SB_CARRY", I0=2, I1=3, CI=4, CO=6),
    }
    assert counted({"cells": cells}).sites == 2


@pytest.mark.parametrize(
    ("x", "weight", "name", "blocks"),
    [
        (16, 16, "ice40-up5k", 1),
        (17, 9, "ice40-up5k", 1),
        (18, 9, "ice40-up5k", 2),
        (18, 18, "ecp5-25k", 1),
        (3, 9, "gw1n-9", 0),
        (8, 1, "ecp5-25k", 0),
    ],
)
def test_blocks_of_a_product(x: int, weight: int, name: str, blocks: int) -> None:
    assert dsp_blocks(x, weight, device(name).family) == blocks


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ice40-up5k", "ecp5-25k", "gw1n-9"])
@pytest.mark.parametrize(
    ("engine", "x", "weights", "rows", "columns", "fold"),
    [
        ("multiply", (0, 1), (-1, 1), 10, 128, "1x16"),  # the lower bit of a weight never varies
        ("multiply", (-8, 7), (-8, 7, 3), 90, 8, "5x8"),
        ("addsub", (0, 15), (-1, 1), 256, 64, "3x32"),  # 32 bits of its starts vary
        ("multiply_dsp", (0, 255), (-99, 5, 127), 24, 576, "2x4"),
    ],
)
def test_blocks_of_layers_are_those_of_synthesis(
    engine: str, x: tuple[int, int], weights: tuple[int, ...], rows: int, columns: int, fold: str, name: str
) -> None:
    source = Input("x", (), Type((columns,), *x))
    node = Dense.of("dense", source, np.random.default_rng(0).choice(weights, (rows, columns)), None)
    pe, simd = map(int, fold.split("x"))
    chip, built = device(name), engines()[engine]
    cost = built.cost(node, source.type, Folding(pe, simd), chip)
    part = built.build(node, source.type, Folding(pe, simd), chip)
    found = synthesize(rtlil(part, "top"), "top", chip).total
    assert (found.bram, found.dsp) == (cost.brams, cost.dsps)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ice40-up5k", "ecp5-25k", "gw2a-18"])
@pytest.mark.parametrize(
    ("engine", "groups", "columns", "fold"),
    [
        ("multiply", 8, 9, "8x72"),  # all weights at once: constants
        ("multiply", 8, 9, "4x36"),
        ("multiply", 8, 9, "2x18"),
        ("spatial", 5, 25, "5x125"),  # few rows share a complement
    ],
)
def test_luts_of_grouped_layers_are_near_those_of_synthesis(
    engine: str, groups: int, columns: int, fold: str, name: str
) -> None:
    """An estimate, which the planner compares options by: what synthesis makes of constant weights is not counted."""
    rng, ends = np.random.default_rng(0), (-128, 127) if engine == "spatial" else (-8, 7)
    weight = np.zeros((groups, groups, columns), np.int64)
    weight[range(groups), range(groups)] = rng.integers(
        *((-2, 2) if engine == "spatial" else (-8, 8)), (groups, columns)
    )
    source = Input("x", (), Type((groups * columns,), *ends))
    node = Dense.of("dense", source, weight.reshape(groups, -1), rng.integers(-300, 300, groups))
    folding, chip = Folding(*map(int, fold.split("x"))), device(name)
    part = engines()[engine].build(node, source.type, folding, chip)
    found = resources(rtlil(part, "top"), "top", chip)
    cost = engines()[engine].cost(node, source.type, folding, chip)
    assert cost.luts == pytest.approx(found.sites, rel=0.25)
    assert cost.ffs == pytest.approx(found.ff, rel=0.25)
