"""ULX3S with an ECP5-85F: 25 MHz, UART through the USB bridge."""

from amaranth_boards.ulx3s import ULX3S_85F_Platform

from lutwright.boards.base import Board

BOARD = Board(
    name="ulx3s_85f",
    device="ecp5-85k",
    platform=ULX3S_85F_Platform,
    input_mhz=25,
    clock_mhz=80,
    baud=1_000_000,
    nextpnr=("--85k", "--package", "CABGA381", "--speed", "6"),
    loader="ulx3s",
    pack=("--compress",),
)
