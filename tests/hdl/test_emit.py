"""RTLIL that synthesis takes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lutwright.frontend.device import device
from lutwright.frontend.ir import Input, Type
from lutwright.frontend.nodes import Conv
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl import emit
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.synth import synthesize

TEXT = r"""
wire width 8 output 1 \o__payload.data[0]
wire width 1 \a.b[3][12]$4
connect \o__payload [3:0] { \x[1] [2] 4'0000 }
"""
PLAIN = r"""
wire width 8 output 1 \o__payload.data.0
wire width 1 \a.b.3.12$4
connect \o__payload [3:0] { \x.1 [2] 4'0000 }
"""


def depthwise() -> WindowReduce:
    rng = np.random.default_rng(0)
    x = Input("x", (), Type((25, 5, 64), -128, 127))
    weight, window = rng.integers(-127, 128, (64, 5, 4, 1)), Window((5, 4), (2, 2), (1, 1), ((0, 0), (0, 0)))
    node = Conv.of("y", x, weight, rng.integers(-999, 999, 64), window, groups=64)
    return WindowReduce(node, x.type, 8)


def test_plain() -> None:
    assert emit.synthesizable(TEXT) == PLAIN


def test_no_name_is_like_a_bit_of_another() -> None:
    text = emit.rtlil(depthwise(), "top")
    assert "o__payload.data.7" in text
    assert not re.search(r"\\\S*\[", text)


@pytest.mark.slow
def test_synthesis_keeps_apart_what_payloads_hold() -> None:
    """With names that look like bits of another, the mapping for ECP5 fails on this component."""
    dut = depthwise()
    dsps = dut.cost(device("ecp5-85k")).dsps
    assert synthesize(emit.rtlil(dut, "top"), "top", device("ecp5-85k")).total.dsp == dsps == 8


def test_buffers_need_no_registers_for_what_is_read_while_written() -> None:
    """A port that must give old words has two flip-flops a bit around it; Verilog for simulation keeps giving them."""
    ports = [cell for cell in emit.rtlil(depthwise(), "top").split("\n\n") if "cell $memrd_v2" in cell]
    (buffer,) = [port for port in ports if r'MEMID "\\lines"' in port]
    assert r"COLLISION_X_MASK 1'1" in buffer
