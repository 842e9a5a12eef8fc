"""Random graphs of every dialect: the golden model equals the reference. benchmarks/fuzz_graphs.py runs many more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from .graphs import DIALECTS, integer, reference
from .graphs.check import STRICT, check, imported
from .graphs.exact import WINDOWED, execute
from .graphs.net import Case

FEW = settings(deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_random_graphs_equal_the_reference(dialect: str, tmp_path: Path) -> None:
    kinds = list[str]()

    @settings(FEW, max_examples=20)
    @given(DIALECTS[dialect]())
    def run(case: Case) -> None:
        outcome = check(case, tmp_path)
        assert outcome.kind not in ("different", "crashed"), str(outcome)
        kinds.append(outcome.kind)

    run()
    assert kinds.count("equal") >= len(kinds) // 2, kinds


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_value_that_is_off_by_one_is_found(dialect: str, tmp_path: Path) -> None:
    """The check itself: the output's first sample is moved away from what the reference gave."""

    @settings(FEW, max_examples=5)
    @given(DIALECTS[dialect]().filter(lambda case: case.exact or case.dialect in STRICT))
    def run(case: Case) -> None:
        values, output = reference.run(case), case.model.graph.output[0].name
        moved = values[output].copy()
        moved[0] = moved[0] ^ 1 if moved.dtype.kind in "iu" else moved[0] + 1
        assert imported(case, values | {output: moved}, tmp_path).kind in ("different", "refused")

    run()


@settings(FEW, max_examples=40)
@given(integer.models())
def test_the_exact_executor_is_onnxruntimes(case: Case) -> None:
    """Every convolution and pool of the drawn graphs, alone, on the values that they see there."""
    size = case.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value or 1
    x = np.resize(case.samples, (size, *case.samples.shape[1:]))
    values = execute(case.model, x) | {"input": x.astype(np.float64)}
    for node in case.model.graph.node:
        if node.op_type in WINDOWED:
            seen = np.round(values[node.input[0]]).astype(np.float32)
            mine = type(case.model).FromString(case.model.SerializeToString())
            del mine.graph.node[:], mine.graph.input[:], mine.graph.output[:]
            mine.graph.node.append(node)
            mine.graph.input.add(name="input").type.tensor_type.elem_type = 1
            mine.graph.node[0].input[0] = "input"
            mine.graph.output.add(name=node.output[0])
            expected = reference.session_run(mine, optimize=False)(seen)[node.output[0]]
            found = execute(mine, seen)[node.output[0]]
            assert np.array_equal(found.astype(np.float32), expected), node.op_type
