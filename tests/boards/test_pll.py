"""The PLL search: the nearest frequency from below, inside the data sheets' ranges."""

from __future__ import annotations

import pytest

from lutwright.boards.pll import GOWIN_ODIV, Pll, pll
from lutwright.errors import OptionError
from lutwright.frontend.device import Family

BEST: list[tuple[Family, float, float, float]] = [
    ("ice40", 12, 24, 24),
    ("ice40", 12, 25, 24.75),
    ("ice40", 12, 48, 48),
    ("ecp5", 25, 80, 80),
    ("ecp5", 25, 100, 100),
    ("ecp5", 25, 83, 82.8125),
    ("gowin", 27, 54, 54),
    ("gowin", 27, 50, 49.5),
]


def check(family: Family, found: Pll) -> None:
    """The frequency is what the settings make, and everything inside is in range."""
    source, mhz, settings = found.input_mhz, found.mhz, found.settings
    match family:
        case "ice40":
            detector = source / (settings["DIVR"] + 1)
            vco = detector * (settings["DIVF"] + 1)
            assert mhz == pytest.approx(vco / 2 ** settings["DIVQ"], rel=1e-12)
            assert 10 <= detector <= 133 and 533 <= vco <= 1066 and 16 <= mhz <= 275
            assert settings["DIVR"] < 16 and settings["DIVF"] < 128 and 1 <= settings["DIVQ"] <= 6
        case "ecp5":
            detector = source / settings["CLKI_DIV"]
            vco = detector * settings["CLKFB_DIV"] * settings["CLKOP_DIV"]
            assert mhz == pytest.approx(vco / settings["CLKOS_DIV"], rel=1e-12)
            assert 10 <= detector <= 400 and 400 <= vco <= 800 and 3.125 <= mhz <= 400
            assert all(1 <= value <= 128 for value in settings.values())
        case _:
            detector = source / (settings["IDIV_SEL"] + 1)
            assert mhz == pytest.approx(detector * (settings["FBDIV_SEL"] + 1), rel=1e-12)
            assert 3 <= detector <= 400 and 400 <= mhz * settings["ODIV_SEL"] <= 1200
            assert settings["ODIV_SEL"] in GOWIN_ODIV


@pytest.mark.parametrize(("family", "source", "wanted", "expected"), BEST)
def test_the_best_frequency(family: Family, source: float, wanted: float, expected: float) -> None:
    found = pll(family, source, wanted, 1_000_000)
    assert found is not None
    assert found.mhz == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("family", "source"), [("ice40", 12.0), ("ecp5", 25.0), ("gowin", 27.0)])
def test_every_frequency_is_below_and_near_and_in_range(family: Family, source: float) -> None:
    for wanted in range(int(source) + 6, 200, 7):
        found = pll(family, source, wanted, 1_000_000)
        assert found is not None
        check(family, found)
        assert 0.93 * wanted < found.mhz <= wanted


@pytest.mark.parametrize(("family", "source", "wanted"), [("ice40", 12, 12), ("ice40", 12, 15.8), ("ecp5", 25, 25)])
def test_no_pll_where_the_source_is_best(family: Family, source: float, wanted: float) -> None:
    assert pll(family, source, wanted, 1_000_000) is None


def test_a_frequency_that_makes_no_baud_rate_is_passed_over() -> None:
    found = pll("ice40", 12, 16.5, 1_000_000)
    assert found is not None
    assert found.mhz == 16.3125


@pytest.mark.parametrize(("family", "source"), [("ice40", 12), ("ecp5", 25), ("gowin", 27)])
def test_too_low_a_clock_is_refused(family: Family, source: float) -> None:
    with pytest.raises(OptionError, match="--clock must be at least"):
        pll(family, source, 1, 100_000)
