"""PLL settings: of all the frequencies a PLL can make, the highest that is not above the one asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from amaranth import Const, Instance, Signal, Value

from lutwright.boards.uart import fits
from lutwright.errors import OptionError
from lutwright.frontend.device import Family

GOWIN_ODIV = (2, 4, 8, 16, 32, 48, 64, 80, 96, 112, 128)


@dataclass(frozen=True)
class Pll:
    """`mhz` comes out of `input_mhz`; `settings` are the family's dividers."""

    input_mhz: float
    mhz: float
    settings: dict[str, int]


def _ice40(source: float) -> Iterator[Pll]:
    """SB_PLL40: f = source (DIVF+1) / (DIVR+1) / 2^DIVQ.

    Phase detector 10..133 MHz, VCO 533..1066 MHz, output 16..275 MHz (iCE40 data sheets, TN1251).
    """
    for divr in range(16):
        detector = source / (divr + 1)
        if 10 <= detector <= 133:
            ranges = sum(detector >= edge for edge in (17, 26, 44, 66, 101)) + 1
            for divf in range(128):
                vco = detector * (divf + 1)
                if 533 <= vco <= 1066:
                    for divq in range(1, 7):
                        if 16 <= vco / 2**divq <= 275:
                            settings = {"DIVR": divr, "DIVF": divf, "DIVQ": divq, "FILTER_RANGE": ranges}
                            yield Pll(source, vco / 2**divq, settings)


def _ecp5(source: float) -> Iterator[Pll]:
    """EHXPLLL: the VCO, source CLKOP_DIV / CLKI_DIV, is fed back through CLKOP; f = VCO / CLKOS_DIV.

    Phase detector 10..400 MHz, VCO 400..800 MHz, output 3.125..400 MHz (ECP5 data sheet, TN1263).
    """
    for divide in range(1, 129):
        detector = source / divide
        if 10 <= detector <= 400:
            for multiply in range(1, 129):
                vco = detector * multiply
                if 400 <= vco <= 800:
                    for output in range(1, 129):
                        if 3.125 <= vco / output <= 400:
                            settings = {"CLKI_DIV": divide, "CLKFB_DIV": 1, "CLKOP_DIV": multiply, "CLKOS_DIV": output}
                            yield Pll(source, vco / output, settings)


def _gowin(source: float) -> Iterator[Pll]:
    """rPLL: f = source (FBDIV+1) / (IDIV+1), VCO = f ODIV.

    Phase detector 3..400 MHz, VCO 400..1200 MHz, output 3.125..600 MHz (GW1NR data sheet, UG286).
    """
    for idiv in range(64):
        if 3 <= source / (idiv + 1) <= 400:
            for fbdiv in range(64):
                mhz = source * (fbdiv + 1) / (idiv + 1)
                for odiv in GOWIN_ODIV:
                    if 400 <= mhz * odiv <= 1200 and 3.125 <= mhz <= 600:
                        yield Pll(source, mhz, {"IDIV_SEL": idiv, "FBDIV_SEL": fbdiv, "ODIV_SEL": odiv})


SEARCHES = {"ice40": _ice40, "ecp5": _ecp5, "gowin": _gowin}


def pll(family: Family, source_mhz: float, wanted_mhz: float, baud: int) -> Pll | None:
    """Settings for the highest frequency up to `wanted_mhz` that makes the baud rate; None where that is the source."""
    direct = Pll(source_mhz, source_mhz, {})
    options = [option for option in (direct, *SEARCHES[family](source_mhz)) if fits(option.mhz * 1e6, baud)]
    best = max((option for option in options if option.mhz <= wanted_mhz), key=lambda option: option.mhz, default=None)
    if best is None:
        lowest = min(option.mhz for option in options)
        raise OptionError(f"--clock must be at least {lowest:.2f} MHz on this board's PLL, not {wanted_mhz:g}")
    return None if best.mhz == source_mhz else best


def instance(family: Family, chosen: Pll, pad: Value, clock: Signal, locked: Signal) -> Instance:
    """The PLL cell from the clock pad (for ice40 the pin itself, else its buffer's output) to `clock`."""
    settings = {f"p_{name}": value for name, value in chosen.settings.items()}
    match family:
        case "ice40":
            return Instance(
                "SB_PLL40_PAD", p_FEEDBACK_PATH="SIMPLE", **{**settings, "p_DIVR": Const(chosen.settings["DIVR"], 4),
                "p_DIVF": Const(chosen.settings["DIVF"], 7), "p_DIVQ": Const(chosen.settings["DIVQ"], 3),
                "p_FILTER_RANGE": Const(chosen.settings["FILTER_RANGE"], 3)},
                i_PACKAGEPIN=pad, i_RESETB=Const(1), i_BYPASS=Const(0), o_PLLOUTGLOBAL=clock, o_LOCK=locked,
            )  # fmt: skip
        case "ecp5":
            feedback = Signal()
            return Instance(
                "EHXPLLL", **settings, p_CLKOP_ENABLE="ENABLED", p_CLKOS_ENABLE="ENABLED", p_FEEDBK_PATH="CLKOP",
                p_CLKOP_CPHASE=chosen.settings["CLKOP_DIV"] - 1, p_CLKOP_FPHASE=0, p_OUTDIVIDER_MUXA="DIVA",
                p_CLKOS_CPHASE=chosen.settings["CLKOS_DIV"] - 1, p_CLKOS_FPHASE=0, p_OUTDIVIDER_MUXB="DIVB",
                p_PLLRST_ENA="DISABLED", p_INTFB_WAKE="DISABLED", p_STDBY_ENABLE="DISABLED", p_DPHASE_SOURCE="DISABLED",
                i_CLKI=pad, i_CLKFB=feedback, i_RST=Const(0), i_STDBY=Const(0), i_PHASESEL0=Const(0),
                i_PHASESEL1=Const(0), i_PHASEDIR=Const(0), i_PHASESTEP=Const(0), i_PHASELOADREG=Const(0),
                i_PLLWAKESYNC=Const(0), i_ENCLKOP=Const(0), i_ENCLKOS=Const(0), o_CLKOP=feedback, o_CLKOS=clock,
                o_LOCK=locked,
            )  # fmt: skip
        case _:
            return Instance(
                "rPLL", **settings, p_FCLKIN=f"{chosen.input_mhz:g}", p_DYN_IDIV_SEL="false", p_DYN_FBDIV_SEL="false",
                p_DYN_ODIV_SEL="false", p_DYN_DA_EN="false", p_PSDA_SEL="0000", p_DUTYDA_SEL="1000",
                p_CLKFB_SEL="internal", p_CLKOUT_BYPASS="false", p_CLKOUTP_BYPASS="false", p_CLKOUTD_BYPASS="false",
                p_DYN_SDIV_SEL=2, p_CLKOUTD_SRC="CLKOUT", p_CLKOUTD3_SRC="CLKOUT", p_DEVICE="GW1NR-9C",
                i_CLKIN=pad, i_CLKFB=Const(0), i_RESET=Const(0), i_RESET_P=Const(0), i_FBDSEL=Const(0, 6),
                i_IDSEL=Const(0, 6), i_ODSEL=Const(0, 6), i_PSDA=Const(0, 4), i_DUTYDA=Const(0, 4), i_FDLY=Const(0, 4),
                o_CLKOUT=clock, o_LOCK=locked,
            )  # fmt: skip
