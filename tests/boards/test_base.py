"""The boards there are: each is consistent with its device, its platform and its UART."""

from __future__ import annotations

import pytest

from lutwright.boards.base import board, boards
from lutwright.boards.pll import pll
from lutwright.errors import OptionError
from lutwright.frontend.device import device


@pytest.mark.parametrize("name", boards())
def test_board_is_consistent(name: str) -> None:
    chosen = board(name)
    platform = chosen.platform()
    family = device(chosen.device).family
    assert chosen.name == name
    assert platform.default_clk_frequency == chosen.input_mhz * 1e6
    assert ("uart", 0) in platform.resources
    clock = pll(family, chosen.input_mhz, chosen.clock_mhz, chosen.baud)
    assert clock is not None
    assert chosen.clock_mhz * 0.95 < clock.mhz <= chosen.clock_mhz


def test_an_unknown_board_is_refused_with_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"icebreaker, ulx3s_85f, tang_nano_9k.*not 'ulx4s'"):
        board("ulx4s")
