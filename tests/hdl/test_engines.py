"""Every engine equals `evaluate` under stalls and after a reset, and its control twin has every cycle."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.device import Device, device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Dense
from lutwright.hdl.emit import rtlil
from lutwright.hdl.engines import folded
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.synth import resources
from lutwright.hdl.timing import measure, simulate

from .harness import run

DEVICE = device("ecp5-85k")
OTHERS = (device("xc7"), device("ice40-up5k"), device("gw2a-18"))
Kind = tuple[str, int, int, Sequence[int]]
Case = tuple[Kind, int, int, tuple[int, ...], str]
KINDS: list[Kind] = [
    ("xnor", 0, 1, (-1, 1)),
    ("addsub", 0, 1, (-1, 0, 1)),
    ("addsub", 0, 9, (-1, 1)),
    ("addsub", -1, 1, (-1, 0, 1)),
    ("addsub", -5, 3, (-1, 1)),
    ("bitserial", 0, 3, (-1, 1)),
    ("bitserial", -5, 3, (-1, 1)),
    ("bitserial", 0, 100, (-1, 0, 1)),
    ("bitserial", -2, 1, (-1, 0, 1)),
    ("multiply", 0, 1, (-3, 0, 3)),
    ("multiply", -4, 3, (-8, 7)),
    ("multiply", 2, 5, (0, 1, 5)),
    ("multiply", -1, 0, (-1, 2)),
    ("multiply_dsp", 0, 7, (-3, 3)),
    ("multiply_dsp", -4, 3, (-8, 7)),
    ("multiply_dsp", 2, 5, (3, 5)),
    ("shift", 0, 7, (-4, -2, -1, 0, 1, 2, 4)),
    ("shift", -4, 3, (-64, -8, 0, 1, 32)),
    ("shift", 0, 1, (0, 3, -7, 21)),
    ("shift", -1, 0, (0, 2)),
    ("spatial", 0, 1, (-1, 1)),
    ("spatial", 0, 1, (-1, 0, 1)),
    ("spatial", -1, 0, (-1, 1)),
    ("spatial", 0, 9, (-1, 0, 1)),
    ("spatial", -5, 3, (-7, -3, 0, 5)),
    ("spatial", 0, 0, (3,)),
    ("spatial", 2, 5, (0,)),
]
SHAPES = [
    # N, K, leading dimensions, foldings
    (1, 1, (), ["1x1"]),
    (3, 4, (), [f"{pe}x{simd}" for pe in range(1, 4) for simd in range(1, 5)]),
    (7, 5, (2,), ["7x1", "3x2", "1x5"]),
    (5, 11, (2, 2), ["2x7"]),
    (4, 40, (), ["3x33"]),
]
CASES = [
    (kind, rows, columns, leading, fold)
    for kind in KINDS
    for rows, columns, leading, foldings in SHAPES
    for fold in (foldings if kind[0] != "spatial" else [f"{rows}x{columns}"])
]
STALLS = [(0.0, 0.0), (0.7, 0.0), (0.0, 0.7), (0.3, 0.3)]
STALLED = [(case, STALLS[0]) for case in CASES] + [
    (case, STALLS[1 + index % 3]) for index, case in enumerate(CASES) if index % 2
]
FREE = [
    case
    for kind in KINDS
    for case in [
        (kind, 3, 4, (), "3x2"),
        (kind, 3, 4, (), "1x4"),
        (kind, 7, 5, (2,), "3x2"),
        (kind, 5, 11, (2, 2), "2x7"),
    ]
    if kind[0] != "spatial"
]


def layer(kind: Kind, rows: int, columns: int, leading: tuple[int, ...]) -> tuple[Dense, Type]:
    rng = np.random.default_rng(rows * 1000 + columns)
    _, lo, hi, weights = kind
    source = Input("x", (), Type((*leading, columns), lo, hi))
    bias = rng.integers(-9, 9, rows) if columns % 2 else None
    return Dense.of("dense", source, rng.choice(weights, (rows, columns)), bias), source.type


def frames(node: Dense, x: Type, count: int, seed: int) -> Array:
    """Random frames, among them the all-lowest, the all-highest, and those that drive a row to its ends."""
    drawn = np.random.default_rng(seed).integers(x.lo, x.hi + 1, (count, *x.shape))
    drawn[0], drawn[1] = x.lo, x.hi
    drawn[2] = np.where(node.weight[0] > 0, x.hi, x.lo)
    drawn[3] = np.where(node.weight[-1] > 0, x.lo, x.hi)
    return drawn


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registers of every layer never wait, not only those of layers that have hundreds."""
    monkeypatch.setattr(folded, "wide", lambda *_: True)


@pytest.mark.parametrize(("case", "stalls"), STALLED)
def test_engine_is_evaluate(case: Case, stalls: tuple[float, float]) -> None:
    is_evaluate(case, stalls)


@pytest.mark.parametrize(
    ("case", "stalls"), [(case, STALLS[(index + index // 4) % 4]) for index, case in enumerate(FREE)]
)
def test_registers_that_never_wait(case: Case, stalls: tuple[float, float], free: None) -> None:
    component = is_evaluate(case, stalls)
    assert component.free and component.cuts_ready


def is_evaluate(case: Case, stalls: tuple[float, float]) -> StreamComponent:
    kind, rows, columns, leading, fold = case
    node, x = layer(kind, rows, columns, leading)
    folding = Folding(*map(int, fold.split("x")))
    engine = engines()[kind[0]]
    assert engine.supports(node, x, DEVICE) is None
    component = engine.build(node, x, folding, DEVICE)
    samples = frames(node, x, 6, seed=len(fold))
    ran = run(component, samples, stalls, seed=5, before=7 if any(stalls) else 0)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples))
    if not any(stalls):
        per_in, per_out = component.i_beats.per_frame, component.o_beats.per_frame
        assert simulate(component.tokens(), per_in, per_out, 6) == ran.times
        cycles = engine.cost(node, x, folding, DEVICE).cycles
        assert measure(component.tokens(), per_in, per_out).interval == cycles
        assert ran.last_out[-1] - ran.last_out[-2] == cycles
    return component


@pytest.mark.parametrize("chip", OTHERS, ids=lambda chip: chip.family)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind[0] not in ("spatial", "multiply_dsp")])
@pytest.mark.parametrize(("rows", "columns", "fold"), [(5, 11, "2x7"), (4, 40, "3x33"), (3, 4, "3x2"), (18, 8, "2x4")])
def test_the_forms_of_other_families(kind: Kind, rows: int, columns: int, fold: str, chip: Device) -> None:
    """Lanes, accumulators and starts of LUT6, and of LUT4 beside plain carries; test_products has the DSP blocks'."""
    node, x = layer(kind, rows, columns, ())
    component = engines()[kind[0]].build(node, x, Folding(*map(int, fold.split("x"))), chip)
    samples = frames(node, x, 5, seed=rows)
    ran = run(component, samples, (0.3, 0.3), seed=5, before=7)
    np.testing.assert_array_equal(ran.outputs, node.evaluate(samples))


GROUPED = [(kind, groups) for kind in KINDS if kind[0] != "spatial" and any(kind[3]) for groups in (2, 6)]


@pytest.mark.parametrize(("kind", "groups"), GROUPED)
def test_groups_at_every_folding(kind: Kind, groups: int) -> None:
    """A grouped layer is its groups one after the other, or some of them at once; its memory holds no other weights."""
    rng, (name, lo, hi, weights) = np.random.default_rng(groups), kind
    source = Input("x", (), Type((2, 4 * groups), lo, hi))
    weight = np.zeros((2 * groups, 4 * groups), np.int64)
    for group in range(groups):
        weight[2 * group : 2 * group + 2, 4 * group : 4 * group + 4] = rng.choice(weights, (2, 4))
        weight[2 * group, 4 * group + 3] = weight[2 * group + 1, 4 * group] = max(weights)
    node = Dense.of("dense", source, weight, rng.integers(-9, 9, 2 * groups))
    engine = engines()[name]
    foldings = list(engine.foldings(node, source.type))
    assert {str(folding) for folding in foldings} >= {"1x1", "2x4", "4x8", f"{2 * groups}x{4 * groups}"}
    for index, folding in enumerate(foldings):
        component = engine.build(node, source.type, folding, DEVICE)
        samples, stalls = frames(node, source.type, 5, index), STALLS[index % 4]
        ran = run(component, samples, stalls, seed=5, before=7 if any(stalls) else 0)
        np.testing.assert_array_equal(ran.outputs, node.evaluate(samples), err_msg=str(folding))
        per_in, per_out = component.i_beats.per_frame, component.o_beats.per_frame
        if not any(stalls):
            assert simulate(component.tokens(), per_in, per_out, 5) == ran.times
        planes = source.type.width if name == "bitserial" else 1
        cycles = planes * 2 * (2 * 4 * groups) // (folding.pe * folding.simd // max(1, folding.simd // 4))
        assert measure(component.tokens(), per_in, per_out).interval == cycles
        assert engine.cost(node, source.type, folding, DEVICE).cycles == cycles


@pytest.mark.parametrize("name", ["ice40-up5k", "gw2a-18", "ecp5-25k"])
def test_accumulators_cost_what_is_predicted(name: str) -> None:
    """Of narrow lanes, where they are most of a layer."""
    costs_what_is_predicted(device(name))


@pytest.mark.parametrize("name", ["ice40-up5k", "gw2a-18", "ecp5-25k"])
def test_a_slice_behind_them_costs_what_is_predicted(name: str, free: None) -> None:
    assert costs_what_is_predicted(device(name)).free


def costs_what_is_predicted(chip: Device) -> StreamComponent:
    node, x = layer(("xnor", 0, 1, (-1, 1)), 16, 256, ())
    engine, folding = engines()["xnor"], Folding(16, 1)
    cost, component = engine.cost(node, x, folding, chip), engine.build(node, x, folding, chip)
    found = resources(rtlil(component, "dut"), "dut", chip)
    print(f"{chip.name}: {cost}, {found}")
    assert abs(cost.luts - found.sites) <= 0.1 * found.sites
    assert abs(cost.ffs - found.ff) <= 0.1 * found.ff
    return component


@pytest.mark.parametrize("folding", ["2x3", "3x4", "2x8", "4x4", "1x12", "10x20"])
def test_a_folding_divides_a_group_or_is_some(folding: str) -> None:
    weight = np.kron(np.eye(6, dtype=np.int64), np.full((2, 4), 3))
    node = Dense.of("dense", Input("x", (), Type((24,), 0, 3)), weight)
    with pytest.raises(PlanError, match=f"'dense', 6 groups of 2x4, must divide a group or be .*, not {folding}"):
        engines()["multiply"].build(node, Type((24,), 0, 3), Folding(*map(int, folding.split("x"))), DEVICE)


@pytest.mark.parametrize(
    ("name", "lo", "hi", "weights", "reason"),
    [
        ("xnor", 0, 1, (-1, 0, 1), "weights must be -1 or 1"),
        ("xnor", 0, 2, (-1, 1), "found [0, 2]"),
        ("addsub", 0, 2, (-2, 1), "found magnitudes up to 2"),
        ("bitserial", 0, 1, (-1, 1), "two bits or more, found [0, 1]"),
        ("bitserial", 0, 2, (-2, 1), "found magnitudes up to 2"),
        ("multiply_dsp", 0, 2, (-1, 0), "products of 2 by 1 bits"),
        ("multiply_dsp", 0, 2**20, (-9, 9), "at most 16 bits, found 21 and 5"),
    ],
)
def test_an_engine_says_why_not(name: str, lo: int, hi: int, weights: Sequence[int], reason: str) -> None:
    node, x = layer((name, lo, hi, weights), 6, 9, ())
    said = engines()[name].supports(node, x, DEVICE)
    assert said is not None
    assert reason in said


def test_multiply_dsp_needs_dsps() -> None:
    node, x = layer(("multiply_dsp", 0, 255, (-9, 9)), 2, 3, ())
    assert engines()["multiply_dsp"].supports(node, x, device("ice40-hx8k")) == "ice40-hx8k has no DSP blocks"
    assert engines()["multiply_dsp"].supports(node, x, device("ice40-up5k")) is None


def test_spatial_has_one_folding() -> None:
    node, x = layer(("spatial", 0, 1, (-1, 1)), 4, 6, ())
    assert list(engines()["spatial"].foldings(node, x)) == [Folding(4, 6)]
    with pytest.raises(PlanError, match="must be folded 4x6, not 2x6"):
        engines()["spatial"].build(node, x, Folding(2, 6), DEVICE)
