"""A layer that needs more DSP blocks than its device has: some rows in blocks, the others in LUTs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lutwright.frontend.device import Device, Family, device
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl import emit
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.folded import FoldedDense
from lutwright.hdl.engines.mixed import MixedLanes
from lutwright.hdl.engines.multiply import MultiplyDsp
from lutwright.hdl.engines.products import ProductLanes
from lutwright.hdl.synth import resources
from lutwright.hdl.timing import measure, simulate

from .harness import run

DEVICES = {"ecp5": "ecp5-85k", "ice40": "ice40-up5k", "gowin": "gw2a-18", "xc7": "xc7"}
KINDS = [  # weights, elements, rows, columns, folding
    ((-4, 3), (0, 255), 12, 14, Folding(6, 7)),
    ((-3, 3), (-4, 3), 11, 10, Folding(8, 6)),
    ((0, 15), (0, 15), 5, 9, Folding(5, 9)),
    ((0, 15), (-8, 7), 9, 6, Folding(5, 4)),
    ((-128, 127), (-128, 127), 4, 11, Folding(4, 4)),
    ((-8, 7), (0, 7), 16, 4, Folding(16, 1)),
]


def layer(weights: tuple[int, int], x: tuple[int, int], rows: int, columns: int) -> tuple[Dense, Type]:
    rng = np.random.default_rng(rows * columns)
    source = Input("x", (), Type((3, columns), *x))
    dense = rng.integers(weights[0], weights[1] + 1, (rows, columns))
    dense[0, 0], dense[-1, -1] = weights
    return Dense.of("dense", source, dense, rng.integers(-9, 9, rows)), source.type


def built(node: Dense, x: Type, fold: Folding, target: Device) -> FoldedDense:
    component = MultiplyDsp().build(node, x, fold, target)
    assert isinstance(component, FoldedDense)
    assert isinstance(component.lanes, MixedLanes)
    return component


@pytest.mark.parametrize("family", DEVICES)
@pytest.mark.parametrize(("weights", "x", "rows", "columns", "fold"), KINDS)
@pytest.mark.parametrize("stalls", [(0.0, 0.0), (0.4, 0.3)])
def test_a_layer_is_evaluate(
    weights: tuple[int, int],
    x: tuple[int, int],
    rows: int,
    columns: int,
    fold: Folding,
    family: Family,
    stalls: tuple[float, float],
) -> None:
    node, source = layer(weights, x, rows, columns)
    whole = replace(device(DEVICES[family]), dsps=1000)
    target = replace(whole, dsps=MultiplyDsp().cost(node, source, fold, whole).dsps * 2 // 3)
    component = built(node, source, fold, target)
    samples = np.random.default_rng(3).integers(source.lo, source.hi + 1, (5, *source.shape))
    samples[0], samples[1] = source.lo, source.hi
    samples[2] = np.where(node.weight[-1] > 0, source.lo, source.hi)
    ran = run(component, samples, stalls, seed=5)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples))
    if not any(stalls):
        per_in, per_out = component.i_beats.per_frame, component.o_beats.per_frame
        assert simulate(component.tokens(), per_in, per_out, 5) == ran.times
        cycles = MultiplyDsp().cost(node, source, fold, target).cycles
        assert measure(component.tokens(), per_in, per_out).interval == cycles


@pytest.mark.parametrize("name", ["ecp5-85k", "ice40-up5k"])
def test_as_many_blocks_as_there_are(name: str) -> None:
    """Resources as predicted; of the device's blocks most are taken, and none that it has not."""
    node, source = layer((-4, 3), (0, 255), 24, 16)
    fold = Folding(8, 8)
    target = replace(device(name), dsps=20)
    found = resources(emit.rtlil(built(node, source, fold, target), "dut"), "dut", target)
    cost = MultiplyDsp().cost(node, source, fold, target)
    assert (found.dsp, found.bram) == (cost.dsps, cost.brams)
    assert 14 <= found.dsp <= 20
    assert abs(cost.luts / found.sites - 1) < 0.15


def test_when_rows_are_in_blocks_alone() -> None:
    """Where the device has as many as they need; where there is not room for one; in a layer of groups."""
    node, source = layer((-8, 7), (0, 15), 8, 8)
    whole, fold = device("ecp5-85k"), Folding(4, 8)
    blocks = MultiplyDsp().cost(node, source, fold, whole).dsps
    for dsps in (blocks, 1):
        component = MultiplyDsp().build(node, source, fold, replace(whole, dsps=dsps))
        assert isinstance(component, FoldedDense)
        assert component.lanes == ProductLanes()
    built(node, source, fold, replace(whole, dsps=blocks - 1))
    mask = np.kron(np.eye(2, dtype=np.int64), np.ones((4, 4), np.int64))
    grouped = Dense.of("dense", Input("x", (), source), node.weight * mask)
    component = MultiplyDsp().build(grouped, source, Folding(4, 4), replace(whole, dsps=1))
    assert isinstance(component, FoldedDense)
    assert (component.node.groups, component.lanes) == (2, ProductLanes())
