"""What every stream component must pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lutwright.frontend.ir import Array
from lutwright.hdl.engines.base import StreamComponent

from .harness import Bench

STALLS = [(0.0, 0.0), (0.5, 0.5), (0.0, 0.7), (0.7, 0.0)]


def check(fresh: Callable[[], StreamComponent], evaluate: Callable[[Array], Array], seed: int, frames: int = 3) -> None:
    """Equal to `evaluate` on random frames, under stalls of either side, and after a reset amid traffic."""
    dut = fresh()
    x, bench = dut.i_beats.type, Bench(dut, seed)
    for index, stalls in enumerate(STALLS):
        samples = np.random.default_rng((seed, index)).integers(x.lo, x.hi + 1, (frames, *x.shape))
        found = bench.run(samples, stalls, before=index * 7).outputs
        golden = evaluate(samples).reshape(frames, *dut.o_beats.type.shape)
        np.testing.assert_array_equal(found, golden, err_msg=f"seed {seed}, stalls {stalls}")
