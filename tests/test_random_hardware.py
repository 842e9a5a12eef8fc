"""Random models of every dialect, planned at random foldings: their Verilog equals the golden model in Verilator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from .frontend.graphs import DIALECTS
from .random_hardware import drawn, outcome

DRAWN, WANTED = 60, 4  # of each dialect; benchmarks/random_networks.py runs many more


@pytest.mark.parametrize("dialect", DIALECTS)
def test_verilog_equals_the_golden_model(dialect: str, tmp_path: Path) -> None:
    """So many models in simulation, and none that is different."""
    found = Counter[str]()
    for number, case in enumerate(drawn(dialect, DRAWN)):
        if found["simulated"] < WANTED:
            found += outcome(case, tmp_path, number)
    print(dialect, dict(found))
    assert found["simulated"] == WANTED, found
