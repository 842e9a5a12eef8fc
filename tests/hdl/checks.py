"""What every stream component must pass."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from amaranth import Const, Module, Signal, Value

from lutwright.frontend.ir import Array
from lutwright.hdl.engines.base import StreamComponent
from lutwright.hdl.registers import Registers

from .harness import Bench


class Wires(Registers):
    """Wires in the place of registers, so that a pipeline is a function of what goes in."""

    def __init__(self, m: Module) -> None:
        super().__init__(m, Const(1))

    def __call__(self, value: Value, name: str, data: bool = True) -> Signal:
        wire = Signal.like(value, name=name)
        self.m.d.comb += wire.eq(value)
        return wire


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
