"""Tang Nano 9K: Gowin GW1NR-9C, 27 MHz, UART through the USB bridge."""

from amaranth_boards.tang_nano_9k import TangNano9kPlatform

from lutwright.boards.base import Board

BOARD = Board(
    name="tang_nano_9k",
    device="gw1n-9",
    platform=TangNano9kPlatform,
    input_mhz=27,
    clock_mhz=72,
    baud=1_000_000,
    nextpnr=("--device", "GW1NR-LV9QN88PC6/I5", "--vopt", "family=GW1N-9C"),
    loader="tangnano9k",
    pack=("-d", "GW1N-9C"),
)
