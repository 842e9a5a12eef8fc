"""Adapters keep every element in its order, at any lanes and shapes."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import GraphError, PlanError
from lutwright.frontend.ir import Type
from lutwright.hdl.adapt import Packer, Serializer, adapters, common_lanes
from lutwright.hdl.beats import Beats
from lutwright.hdl.timing import measure

from .checks import check
from .harness import run

LANES = (1, 2, 3, 4, 6, 8)
DIVIDING = [(wide, narrow) for wide in LANES for narrow in LANES if wide > narrow and wide % narrow == 0]


@pytest.mark.parametrize("shape", [(1,), (7,), (2, 5), (3, 12)])
@pytest.mark.parametrize(("wide", "narrow"), DIVIDING)
def test_one_adapter(shape: tuple[int, ...], wide: int, narrow: int) -> None:
    x = Type(shape, -3, 9)
    check(lambda: Serializer(x, wide, narrow), lambda samples: samples, seed=wide)
    check(lambda: Packer(x, narrow, wide), lambda samples: samples, seed=wide)


@pytest.mark.parametrize("shape", [(7,), (2, 12)])
@pytest.mark.parametrize(("wide", "narrow"), DIVIDING)
def test_full_throughput(shape: tuple[int, ...], wide: int, narrow: int) -> None:
    x = Type(shape, 0, 1)
    most = Beats(x, narrow).per_frame
    for unit in (Serializer(x, wide, narrow), Packer(x, narrow, wide)):
        cycles = measure(unit.tokens(), unit.i_beats.per_frame, unit.o_beats.per_frame)
        assert cycles.interval == most


CHAINS = [
    # shape and lanes before, shape and lanes after, the lanes between
    ((12,), 8, (12,), 6, 2),
    ((7,), 3, (7,), 2, 1),
    ((3, 4), 2, (12,), 6, 2),
    ((3, 4), 4, (12,), 8, 4),
    ((3, 4), 3, (12,), 3, 1),
    ((12,), 6, (3, 4), 4, 2),
    ((12,), 4, (6, 2), 1, 1),
    ((2, 5), 5, (5, 2), 2, 1),
    ((2, 6), 3, (12,), 3, 3),
    ((1, 7), 3, (7,), 3, 3),
]


@pytest.mark.parametrize(("before", "i_lanes", "after", "o_lanes", "between"), CHAINS)
def test_chains(before: tuple[int, ...], i_lanes: int, after: tuple[int, ...], o_lanes: int, between: int) -> None:
    source, target = Beats(Type(before, -3, 9), i_lanes), Beats(Type(after, -3, 9), o_lanes)
    assert common_lanes(source, target) == between
    drawn = samples = np.random.default_rng(i_lanes).integers(-3, 10, (4, *before))
    for unit in adapters(source, target):
        samples = run(unit, samples.reshape(len(samples), *unit.i_beats.type.shape), (0.3, 0.3)).outputs
    np.testing.assert_array_equal(samples.reshape(len(samples), *after), drawn.reshape(len(samples), *after))


def test_refusals() -> None:
    x = Type((6,), 0, 3)
    with pytest.raises(GraphError, match="must have the same elements"):
        adapters(Beats(x, 2), Beats(Type((7,), 0, 3), 2))
    with pytest.raises(PlanError, match="3 does not divide 4"):
        Serializer(x, 4, 3)
    with pytest.raises(PlanError, match="4 is none of 3"):
        Packer(x, 3, 4)
