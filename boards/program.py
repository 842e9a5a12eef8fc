"""Loading a bitstream onto a board."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lutwright.boards.base import Board
from lutwright.errors import ToolError


def program(bitstream: Path, board: Board) -> None:
    """Load the bitstream through openFPGALoader; ToolError where that is missing or fails."""
    loader = shutil.which("openFPGALoader")
    if loader is None:
        raise ToolError(
            "openFPGALoader must be on PATH to program a board, and was not found. Install your system's package "
            f"'openfpgaloader', or load {bitstream} with another tool."
        )
    done = subprocess.run(
        [loader, "-b", board.loader, str(bitstream)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ToolError(
            f"openFPGALoader must load {bitstream} onto '{board.name}', but failed: {done.stdout.strip()[-500:]}. "
            "Check the cable, the board's power, and the permissions of its USB device."
        )
