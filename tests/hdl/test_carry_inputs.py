"""ECP5's carry cells with LUTs of two inputs taken in do what they did."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest

from lutwright.hdl.carry_inputs import absorb

DIRECTIONS = dict.fromkeys(("Z", "S0", "S1", "COUT"), "output")


def cell(kind: str, parameters: dict[str, str], **nets: int | str) -> dict[str, Any]:
    sides = {pin: DIRECTIONS.get(pin, "input") for pin in nets}
    connections = {pin: [net] for pin, net in nets.items()}
    return {"type": kind, "parameters": parameters, "connections": connections, "port_directions": sides}


def module(function: int, pin: str, readers: int = 1, used: str = "BD") -> dict[str, Any]:
    """A half of a carry cell that adds nets 2 and 9, of which 9, at `pin`, is `function` of nets 3 and 4."""
    inputs: dict[str, int | str] = dict(zip(used, (3, 4), strict=False))
    lut = cell("LUT4", {"INIT": f"{function:016b}"}, **{name: inputs.get(name, "0") for name in "ABCD"}, Z=9)
    adds = {"INIT0": f"{0x96AA:016b}", "INIT1": f"{0x96AA:016b}", "INJECT1_0": "NO", "INJECT1_1": "NO"}
    first: dict[str, int | str] = {"A0": 2, "B0": 9} if pin == "B" else {"A0": 9, "B0": 2}
    carry = cell("CCU2C", adds, **first, C0="0", D0="1", A1="0", B1="0", C1="0", D1="1", CIN=5, S0=6, S1=7, COUT=8)
    ports = {f"y{n}": {"bits": [9]} for n in range(readers - 1)} | {"s": {"bits": [6, 7]}}
    return {"ports": ports, "cells": {"lut": lut, "carry": carry}}


def outputs(of: dict[str, Any], nets: dict[Any, int]) -> tuple[int, int, int]:
    """S0, the carry out of the first half and S0's operand, by the cells' models."""
    values = {"0": 0, "1": 1} | nets
    for lut in (there for there in of["cells"].values() if there["type"] == "LUT4"):
        address = sum(values[lut["connections"][pin][0]] << place for place, pin in enumerate("ABCD"))
        values[9] = int(lut["parameters"]["INIT"], 2) >> address & 1
    carry = of["cells"]["carry"]
    a, b, c, d = (values[carry["connections"][f"{pin}0"][0]] for pin in "ABCD")
    init = int(carry["parameters"]["INIT0"], 2)
    differ, kept = init >> (a | b << 1 | c << 2 | d << 3) & 1, init >> (a | b << 1) & 1
    return differ ^ values[5], values[5] if differ else kept, differ


@pytest.mark.parametrize("pin", ["A", "B"])
@pytest.mark.parametrize("used", ["AB", "BD", "CA"])
@pytest.mark.parametrize("seed", range(16))
def test_every_function_of_two_nets_is_taken_in(pin: str, used: str, seed: int) -> None:
    function = 0
    for address in range(16):
        one, two = (address >> "ABCD".index(name) & 1 for name in used)
        function |= (seed >> (one + 2 * two) & 1) << address
    before, after = module(function, pin, used=used), module(function, pin, used=used)
    absorb(after)
    assert list(after["cells"]) == ["carry"]
    for values in product((0, 1), repeat=4):
        nets = dict(zip((2, 3, 4, 5), values, strict=True))
        assert outputs(before, nets) == outputs(after, nets)


@pytest.mark.parametrize(("readers", "used"), [(2, "AB"), (1, "ABC"), (1, "A")])
def test_a_lut_stays_that_others_read_or_that_has_not_two_inputs(readers: int, used: str) -> None:
    there = module(0x6666, "B", readers, used)
    if len(used) == 3:
        there["cells"]["lut"]["connections"]["C"] = [10]
    absorb(there)
    assert set(there["cells"]) == {"lut", "carry"}
