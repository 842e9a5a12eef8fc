"""Comparisons as sums, so that on devices whose carries have no inverter in front none is spent."""

from __future__ import annotations

from amaranth import Cat, Const, Value


def exceeds(x: Value, complement: Value) -> Value:
    """x > y, `complement` being the bits of ~y; x and y of one shape.

    x - y - 1 = x + ~y, one bit wider than x, is not negative.
    """
    above = complement if x.shape().signed else Cat(complement, Const(1, 1))
    return ~(x + above.as_signed())[len(x)]
