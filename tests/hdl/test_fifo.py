"""A queue and a register slice pass every beat on, in order."""

from __future__ import annotations

import pytest

from lutwright.errors import OptionError
from lutwright.frontend.ir import Type
from lutwright.hdl.beats import Beats
from lutwright.hdl.fifo import Fifo, Slice

from .checks import check

BEATS = Beats(Type((3, 5), -3, 9), 2)


@pytest.mark.parametrize("depth", [2, 3, 4, 9, 64])
def test_fifo(depth: int) -> None:
    check(lambda: Fifo(BEATS, depth), lambda samples: samples, seed=depth)


@pytest.mark.parametrize("depth", [2, 3, 4, 6, 11])
def test_slice(depth: int) -> None:
    check(lambda: Slice(BEATS, depth), lambda samples: samples, seed=depth)


def test_too_shallow() -> None:
    with pytest.raises(OptionError, match="at least 2, not 1"):
        Fifo(BEATS, 1)
