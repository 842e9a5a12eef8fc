"""The matrices of components with windows span the grid: none shrinks unseen."""

from __future__ import annotations

from typing import Any

import pytest

from . import test_conv_network, test_depthwise, test_line_window, test_pool, test_reduce, test_window
from .grid import DILATIONS, KERNELS, STRIDES, WindowCase

MATRICES: dict[str, list[Any]] = {
    "window": test_window.MATRIX,
    "parallel window": test_line_window.MATRIX,
    "reduce": test_reduce.MATRIX,
    "depthwise": test_depthwise.MATRIX,
    "separate pool": test_pool.MATRIX,
    "conv": test_conv_network.CONVS,
    "conv transpose": test_conv_network.TRANSPOSED,
}
parametrized = pytest.mark.parametrize("name", MATRICES)


def covered(cases: list[WindowCase]) -> set[tuple[object, ...]]:
    """What there is: square kernels and others by padding, strides, dilations, groups, lanes."""
    found = set[tuple[object, ...]]()
    for case in cases:
        w = case.window
        rank, square = len(w.kernel), len({*w.kernel}) == 1
        found.add(("kernel", rank, w.kernel[0] if rank == 2 and square else None, case.padding))
        found |= {("stride", rank, stride) for stride in w.strides}
        found |= {("dilation", rank, d) for places, d in zip(w.kernel, w.dilations, strict=True) if places > 1}
        found |= {("grouped", case.groups > 1), ("partial lanes", case.lanes < case.x.channels)}
    return found


@parametrized
def test_a_matrix_spans_the_grid(name: str) -> None:
    wanted = {("kernel", 2, side, "valid") for side in KERNELS}
    wanted |= {("kernel", 2, side, "same") for side in KERNELS if side > 1}  # a place needs no padding
    wanted |= {("kernel", rank, None, how) for rank in (1, 2) for how in ("valid", "same", "explicit")}
    wanted |= {(what, value) for what in ("grouped", "partial lanes") for value in (False, True)}
    separate = name == "separate pool"
    wanted |= {("stride", 2, stride) for stride in (KERNELS if separate else STRIDES)}
    wanted |= set() if separate else {("dilation", 2, dilation) for dilation in DILATIONS}
    missing = wanted - covered([parameters.values[0] for parameters in MATRICES[name]])
    assert not missing


@parametrized
def test_quick_cases_have_real_windows(name: str) -> None:
    quick = [parameters.values[0] for parameters in MATRICES[name] if not parameters.marks]
    real = {case.padding for case in quick if len(case.window.kernel) == 2 and min(case.window.kernel) >= 3}
    assert real >= {"valid", "same"}


def test_strides_and_dilations_are_drawn_for_windows_of_one_axis_too() -> None:
    found = covered([parameters.values[0] for cases in MATRICES.values() for parameters in cases])
    assert found >= {("stride", 1, stride) for stride in STRIDES} | {("dilation", 1, d) for d in DILATIONS}
