"""Random models of every dialect, planned at random foldings: their Verilog equals the golden model in Verilator."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .frontend.graphs import DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_verilog_equals_the_golden_model(dialect: str) -> None:
    """So many models in simulation, and none that is different.

    In a process of its own: hypothesis draws by the constants of all modules that are loaded.
    """
    root = Path(__file__).parents[1]
    command = [sys.executable, "-m", "tests.random_hardware", dialect]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
