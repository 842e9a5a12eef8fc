"""ArgMax units equal `evaluate`; narrow intervals make many ties."""

from __future__ import annotations

import pytest

from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import ArgMax
from lutwright.hdl.argmax import ArgMaxUnit

from .checks import check


@pytest.mark.parametrize(("lo", "hi"), [(0, 1), (-2, 1), (-9, -7), (0, 255), (-500, 500)])
@pytest.mark.parametrize("shape", [(10,), (1,), (3, 7), (2, 1), (2, 2, 5)])
@pytest.mark.parametrize("lanes", [1, 2, 3, 5, 10, 12])
def test_equals_evaluate(shape: tuple[int, ...], lanes: int, lo: int, hi: int) -> None:
    x = Type(shape, lo, hi)
    node = ArgMax.of("node", Input("x", (), x))
    check(lambda: ArgMaxUnit(node, x, lanes), node.evaluate, seed=lanes)
