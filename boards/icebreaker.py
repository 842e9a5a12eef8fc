"""iCEBreaker: iCE40UP5K, 12 MHz, UART through the USB bridge."""

from amaranth_boards.icebreaker import ICEBreakerPlatform

from lutwright.boards.base import Board

BOARD = Board(
    name="icebreaker",
    device="ice40-up5k",
    platform=ICEBreakerPlatform,
    input_mhz=12,
    clock_mhz=30,
    baud=1_000_000,
    nextpnr=("--up5k", "--package", "sg48"),
    loader="ice40_generic",
)
