"""Every operator of the importer has hardware that equals the golden model, or is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from lutwright.errors import ImportRefused, PlanError
from lutwright.frontend.device import device
from lutwright.frontend.model import load
from lutwright.frontend.onnx_import import interpreter  # registers all operators
from lutwright.frontend.onnx_import.state import OPERATORS
from lutwright.frontend.plan import plan
from lutwright.frontend.planning import Smallest
from lutwright.hdl.network import Network

from .hdl.harness import run
from .hdl.networks import drawn
from .operators import networks

NETWORKS = networks()


def test_no_operator_is_left_out() -> None:
    assert interpreter.REGISTERED
    assert {(domain, name.partition(",")[0]) for domain, name in NETWORKS} == set(OPERATORS)


@pytest.mark.parametrize(("domain", "name"), NETWORKS)
def test_hardware_or_refusal(domain: str, name: str, tmp_path: Path) -> None:
    case = NETWORKS[domain, name]
    net, output = case.net(domain)
    path, ecp5 = tmp_path / "model.onnx", device("ecp5-85k")
    onnx.save(net.model(output), path)
    if case.refused:
        node = name.partition(",")[0].lower()
        with pytest.raises((ImportRefused, PlanError), match=rf"'{node}\d+'.*{case.refused}"):
            plan(load(path).graph, ecp5, Smallest())
        return
    graph = load(path).graph
    network = Network(graph, plan(graph, ecp5, Smallest()))
    samples = drawn(network.i_beats.type, 2, 0)
    found = run(network, samples, (0.2, 0.2), seed=1).outputs
    golden = graph.evaluate(samples.reshape(2, *graph.input.type.shape))
    np.testing.assert_array_equal(found, golden.reshape(found.shape))
