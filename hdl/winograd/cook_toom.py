"""Minimal filters F(m, r) in integers: m outputs of a filter with r taps from m + r - 1 products.

y = A (G w * B x) / scale, with x of m + r - 1 elements, w of r, and y[p] = sum over k of w[k] * x[p + k]; `*` is
element by element. The matrices come from a polynomial's values at m + r - 2 points and at infinity.

Sources: Toom 1963 and Cook 1966; Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast
Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from lutwright.errors import PlanError
from lutwright.frontend.ir import Array

Row = list[Fraction]
POINTS = tuple(Fraction(point) for point in ("0", "1", "-1", "2", "-2", "1/2", "-1/2", "4", "-4", "1/4", "-1/4"))


@dataclass(frozen=True, eq=False)
class Filter:
    """F(m, r) with integer matrices: A [m, t], G [t, r] and B [t, t] of t = m + r - 1, and what y is divided by.

    What makes the rational matrices integers is moved to where it costs least: powers of two into A, where they are
    wires, odd factors and signs into G, which is applied to constants. The last number of each row of B is positive.
    """

    m: int
    r: int
    a: Array
    g: Array
    b: Array
    scale: int

    @property
    def t(self) -> int:
        return self.m + self.r - 1

    @property
    def shift(self) -> int:
        """The power of two in `scale`."""
        return (self.scale & -self.scale).bit_length() - 1

    @property
    def odd(self) -> int:
        """What is left of `scale` then."""
        return self.scale >> self.shift


@lru_cache(maxsize=32)
def minimal_filter(m: int, r: int) -> Filter:
    """F(m, r) at the points 0, ±1, ±2, ±1/2, …; F(m, 1) and F(1, r) are the plain products."""
    if min(m, r) < 1 or m + r - 2 > len(POINTS):
        raise PlanError(f"F(m, r) must have m and r of at least 1 and {len(POINTS) + 2} at most together, not {m}, {r}")
    a, g, b = rational(m, r, POINTS[: m + r - 2])
    factors, parts = [Fraction(1)] * len(b), list[Array]()
    for rows in ([list(column) for column in zip(*a, strict=True)], g, b):
        contents = [_content(row) for row in rows]
        parts.append(np.array([[int(x / c) for x in row] for row, c in zip(rows, contents, strict=True)], np.int64))
        factors = [factor * content for factor, content in zip(factors, contents, strict=True)]
    columns, of_weights, of_data = parts
    scale = math.lcm(*(factor.denominator for factor in factors))
    for index, factor in enumerate(factors):
        whole = int(factor * scale)
        power, sign = abs(whole) & -abs(whole), np.sign(of_data[index][np.flatnonzero(of_data[index])[-1]])
        columns[index] *= power
        of_weights[index] *= sign * whole // power
        of_data[index] *= sign
    return Filter(m, r, columns.T.copy(), of_weights, of_data, scale)


def rational(m: int, r: int, points: Sequence[Fraction]) -> tuple[list[Row], list[Row], list[Row]]:
    """A [m, t], G [t, r] and B [t, t] with y = A (G w * B x), where B is of integers if the points are."""
    a = [[point**power for point in points] + [Fraction(power == m - 1)] for power in range(m)]
    g, b = list[Row](), list[Row]()
    for index, point in enumerate(points):
        others = [other for place, other in enumerate(points) if place != index]
        norm = math.prod((point - other for other in others), start=Fraction(1))
        g.append([point**power / norm for power in range(r)])
        b.append([*_polynomial(others), Fraction(0)])
    g.append([Fraction(power == r - 1) for power in range(r)])
    b.append(_polynomial(points))
    return a, g, b


def _polynomial(roots: Sequence[Fraction]) -> Row:
    """The coefficients of the product of x - root, the constant one first."""
    found = [Fraction(1)]
    for root in roots:
        found = [low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)]
    return found


def _content(row: Row) -> Fraction:
    """The positive number that a row is a multiple of, in integers without a common factor."""
    over = math.lcm(*(value.denominator for value in row))
    return Fraction(math.gcd(*(int(value * over) for value in row)), over)
