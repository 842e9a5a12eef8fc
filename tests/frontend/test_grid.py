"""Grids by name, by annotation, and samples that lie on them or not."""

from __future__ import annotations

import numpy as np
import pytest

from lutwright.errors import OptionError
from lutwright.frontend.grid import Grid, parse


@pytest.mark.parametrize(
    ("text", "grid"),
    [
        ("int8", Grid(-128, 127, 1.0)),
        ("UINT4", Grid(0, 15, 1.0)),
        ("uint1", Grid(0, 1, 1.0)),
        ("int16", Grid(-32768, 32767, 1.0)),
        ("fixed<16,6>", Grid(-32768, 32767, 2.0**-10)),
        ("FIXED<8, 8>", Grid(-128, 127, 1.0)),
        ("ufixed<8,0>", Grid(0, 255, 2.0**-8)),
        ("fixed<8,-1>", Grid(-128, 127, 2.0**-9)),
        ("ap_ufixed<8,10>", Grid(0, 255, 4.0)),
        ("BIPOLAR", Grid(0, 1, 2.0, -1.0)),
        ("binary", Grid(0, 1, 1.0)),
        ("ternary", Grid(-1, 1, 1.0)),
    ],
)
def test_parse(text: str, grid: Grid) -> None:
    assert parse(text) == grid


@pytest.mark.parametrize(
    "text", ["", "int", "int0", "int33", "float32", "fixed<16>", "fixed<0,0>", "uint8x", "-8", "ufixed<8,0"]
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(OptionError, match="grid must be one of"):
        parse(text)


@pytest.mark.parametrize("text", ["int8", "fixed<9,2>", "ufixed<8,0>", "bipolar"])
def test_quantizer_is_exact_on_the_grid(text: str) -> None:
    grid = parse(text)
    q = np.arange(grid.lo, grid.hi + 1)
    real = (q * grid.scale + grid.offset).astype(np.float32)
    assert np.array_equal(grid.quantizer().levels(real), q)
