"""Scales and zero points: what they guarantee for any data."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.frontend.quantize.scheme import (
    LARGEST_BIAS,
    activation_scheme,
    least_error,
    weight_scheme,
    with_room_for,
)

BITS = range(2, 9)


def weights(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(6, 4, 3, 3)) * np.exp2(rng.integers(-6, 3, (6, 1, 1, 1)))).astype(np.float32)


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("bits", BITS)
def test_no_weight_is_off_by_more_than_half_a_step(bits: int, axis: int | None, power_of_two: bool) -> None:
    w = weights()
    scheme = weight_scheme(w, bits, axis, power_of_two, search=False)
    scale = scheme.spread(w.ndim).astype(np.float64)
    q = scheme.levels(w)
    assert (np.abs(w / scale - q) <= 0.5).all()
    assert np.abs(q).max() <= 2 ** (bits - 1) - 1
    assert scheme.scale.shape == (() if axis is None else (w.shape[axis],))


@pytest.mark.parametrize("bits", range(2, 7))
def test_search_lowers_the_squared_error_of_every_channel(bits: int) -> None:
    w = weights()
    errors = []
    for search in (False, True):
        scheme = weight_scheme(w, bits, 0, False, search)
        errors.append(((scheme.real(scheme.levels(w)).astype(np.float64) - w) ** 2).sum(axis=(1, 2, 3)))
    assert (errors[1] <= errors[0]).all()
    assert (errors[1] < errors[0]).any()


def test_channels_of_zeros_get_a_scale() -> None:
    w = weights()
    w[2] = 0
    scheme = weight_scheme(w, 8, 0, False, search=True)
    assert scheme.scale.min() > 0
    assert not scheme.levels(w)[2].any()
    assert weight_scheme(np.zeros((2, 3), np.float32), 4, 0, True, search=True).scale.tolist() == [1, 1]


@pytest.mark.parametrize("power_of_two", [False, True])
def test_scales_leave_room_for_the_bias(power_of_two: bool) -> None:
    w, bias = np.asarray([[1e-12], [1.0]], np.float32), np.asarray([3.0, 3.0])
    scheme = weight_scheme(w, 8, 0, power_of_two, search=False)
    wider = with_room_for(bias, scheme, 0.01, power_of_two)
    assert wider.scale[1] == scheme.scale[1]
    assert wider.scale[0] > scheme.scale[0]
    assert np.rint(bias / (0.01 * wider.scale.astype(np.float64))).max() <= LARGEST_BIAS


RANGES = [(0.0, 3.7), (0.1, 3.7), (-1.2, 3.7), (-5.0, -1.0), (-1e-3, 10.0), (-2.0, 0.0), (0.0, 1e-30), (0.0, 0.0)]


@pytest.mark.parametrize("power_of_two", [False, True])
@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("low", "high"), RANGES)
def test_activations_keep_zero_and_their_range(low: float, high: float, bits: int, power_of_two: bool) -> None:
    scheme = activation_scheme(low, high, bits, power_of_two)
    assert scheme.lo <= scheme.zero_point <= scheme.hi
    assert scheme.hi - scheme.lo == 2**bits - 1
    assert scheme.levels(np.asarray(0.0)) == scheme.zero_point
    ends = np.asarray([min(low, 0), max(high, 0)], np.float32)
    step = 1.0 if scheme.zero_point or scheme.signed else 0.5  # a zero point is rounded too
    assert (np.abs(scheme.real(scheme.levels(ends)) - ends) <= step * scheme.scale).all()
    assert not power_of_two or scheme.zero_point == 0
    assert scheme.signed == (power_of_two and low < 0)


@pytest.mark.parametrize("bits", range(2, 7))
def test_least_error_is_better_than_the_whole_range(bits: int) -> None:
    x = np.random.default_rng(0).normal(size=4000) ** 3
    low, high = float(x.min()), float(x.max())
    found = [least_error(x, np.ones_like(x), low, high, bits, False), activation_scheme(low, high, bits, False)]
    errors = [((scheme.real(scheme.levels(x)) - x) ** 2).sum() for scheme in found]
    assert errors[0] < errors[1]
