"""Exact divisions modulo a power of two, and biases."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array, Type
from lutwright.hdl.winograd.quotient import Quotient, steps

from .checks import check


def wrapped(values: Array, y: Type) -> Array:
    low = values & ((1 << y.width) - 1)
    return low - ((low >> y.width - 1) << y.width) if y.signed else low


@pytest.mark.parametrize("odd", [1, 3, 5, 9, 45, 81, 2025])
@pytest.mark.parametrize("width", [1, 2, 5, 16, 31])
def test_steps_divide(odd: int, width: int) -> None:
    product = 1
    for shift, sign in steps(odd, width):
        product *= 1 + sign * (1 << shift)
    assert product * odd % (1 << width) == 1


@pytest.mark.parametrize("odd", [1, 9, 81])
@pytest.mark.parametrize("y", [Type((), -2048, 2047), Type((), 0, 1000)], ids=str)
@pytest.mark.parametrize("folds", [1, 3])
def test_quotient(odd: int, y: Type, folds: int) -> None:
    x = Type((2, folds, 4, 2), -(1 << 11), (1 << 11) - 1)
    bias = np.random.default_rng(0).integers(-99, 100, (folds, 2))
    inverse = pow(odd, -1, 1 << y.width)
    check(
        lambda: Quotient(x, odd, bias, y),
        lambda x: wrapped(x * inverse + bias[:, np.newaxis], y),
        seed=1,
        frames=2,
    )


def test_refusal() -> None:
    with pytest.raises(PlanError, match="a product of numbers 1"):
        steps(7, 12)
