"""An engine of another package, found by its entry point, planned and built like those of ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "out_of_tree"
SCRIPT = """
import numpy as np
from lutwright.frontend.device import device
from lutwright.frontend.ir import Graph, Input, Type, verify
from lutwright.frontend.nodes import Conv, Dense
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.plan import plan
from lutwright.hdl.engines.base import Folding
from lutwright.hdl.engines.registry import engines
from lutwright.hdl.network import Network
from tests.hdl.harness import run

rng, source = np.random.default_rng(1), Input("x", (), Type((2, 10), {lo}, {hi}))
dense = Dense.of("dense", source, rng.choice((0, {weight}), (7, 10)))
graph, chip = verify(Graph((source, dense), "dense")), device("{device}")
assert list(engines())[-1] == "halves"
made = plan(graph, chip, engines={{"dense": "halves"}}, folds={{"dense": Folding(3, 4)}})
assert made.nodes["dense"].engine == "halves"
samples = rng.integers({lo}, {hi} + 1, (5, 2, 10))
samples[0], samples[1] = {lo}, {hi}
for stalls in ((0, 0), (0.3, 0.3)):
    outputs = run(Network(graph, made), samples, stalls, seed=3).outputs
    np.testing.assert_array_equal(outputs, dense.evaluate(samples))

image = Input("x", (), Type((4, 3, 4), {lo}, {hi}))
conv = Conv.of("conv", image, rng.choice((0, {weight}), (4, 2, 2, 1)), rng.integers(-9, 9, 4), Window.of((2, 2)), 4)
made = plan(Graph((image, conv), "conv"), chip, engines={{"conv": "halves"}}, folds={{"conv": Folding(2, 8)}})
samples = rng.integers({lo}, {hi} + 1, (3, 4, 3, 4))
outputs = run(Network(Graph((image, conv), "conv"), made), samples, (0.3, 0.3), seed=3).outputs
np.testing.assert_array_equal(outputs, conv.evaluate(samples))
"""


@pytest.mark.parametrize(
    ("lo", "hi", "weight", "device"), [(0, 7, 4, "ecp5-25k"), (-4, 3, 1, "xc7"), (-1, 0, 2, "gw1n-9")]
)
def test_an_engine_of_another_package(lo: int, hi: int, weight: int, device: str) -> None:
    root = Path(__file__).parents[2]
    script = SCRIPT.format(lo=lo, hi=hi, weight=weight, device=device)
    environment = os.environ | {"PYTHONPATH": f"{FOLDER}{os.pathsep}{root}"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
