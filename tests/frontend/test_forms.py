"""Forms that exporters use, each as a small network: golden == reference, and the graph that must come out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.errors import ImportRefused
from lutwright.frontend.model import load
from lutwright.testbenches.reference import mismatches, prepared

RNG = np.random.default_rng(7)
W = RNG.integers(-2, 3, (4, 3)).astype(np.float32)
SIGNS = np.where(RNG.random((4, 3)) < 0.5, -1, 1).astype(np.float32)
Line = tuple[str, str, list[Any], dict[str, Any]]


def network(lines: list[Line], shape: list[Any], dtype: int = TensorProto.FLOAT, opset: int = 13) -> onnx.ModelProto:
    """Lines of (output, operator, inputs, attributes); an input that is no name is a constant. From x to y."""
    nodes, constants = [], []
    for index, (output, kind, inputs, attributes) in enumerate(lines):
        names = []
        for place, item in enumerate(inputs):
            names.append(item if isinstance(item, str) else f"c{index}_{place}")
            if not isinstance(item, str):
                constants.append(numpy_helper.from_array(np.asarray(item), names[-1]))
        custom = kind in ("Quant", "BipolarQuant", "MultiThreshold")
        domain = "qonnx.custom_op.general" if custom else ""
        nodes.append(helper.make_node(kind, names, [output], f"node_{output}", domain=domain, **attributes))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        constants,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("qonnx.custom_op.general", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def quant(output: str, x: Any, scale: float = 1.0, bits: int = 4, signed: int = 1, zero: float = 0.0) -> Line:
    settings = {"signed": signed, "narrow": 0, "rounding_mode": "ROUND"}
    return output, "Quant", [x, np.float32(scale), np.float32(zero), np.float32(bits)], settings


THRESHOLDS = {"out_dtype": "UINT2", "out_scale": 1.0, "out_bias": 0.0}
STEPS = np.sort(RNG.integers(-20, 20, (4, 3)), axis=1).astype(np.float32)
CASES: list[tuple[str, list[Line], list[Any], str | None, list[str]]] = [
    (
        "relu after the quantizer",
        [quant("a", "x", 0.5), ("r", "Relu", ["a"], {}), ("y", "MatMul", ["r", W.T], {})],
        ["n", 3],
        None,
        ["Threshold", "Dense"],
    ),
    (
        "sign before a layer",
        [quant("a", "x", 0.5), ("r", "Sign", ["a"], {}), ("y", "MatMul", ["r", W.T], {})],
        ["n", 3],
        None,
        ["Threshold", "Dense"],
    ),
    (
        "absolute value before a layer",
        [quant("a", "x", 0.5), ("r", "Abs", ["a"], {}), ("y", "MatMul", ["r", W.T], {})],
        ["n", 3],
        None,
        ["Table", "Dense"],
    ),
    (
        "factor per channel on binary weights",
        [
            quant("a", "x"),
            ("b", "BipolarQuant", [SIGNS, np.float32(1)], {}),
            ("f", "Mul", ["b", np.array([[0.5], [0.25], [2], [1]], np.float32)], {}),
            ("t", "Transpose", ["f"], {"perm": [1, 0]}),
            ("m", "MatMul", ["a", "t"], {}),
            quant("y", "m", 0.25),
        ],
        ["n", 3],
        None,
        ["Dense", "Threshold"],
    ),
    (
        "unquantized weights on a grid of their own",
        [quant("a", "x"), ("y", "MatMul", ["a", (SIGNS * np.float32(0.0813)).T], {})],
        ["n", 3],
        None,
        ["Dense"],
    ),
    (
        "scales that are powers of two along the inner axis",
        [quant("a", "x"), ("f", "Mul", ["a", np.float32([1, 0.5, 4])], {}), ("y", "MatMul", ["f", W.T], {})],
        ["n", 3],
        None,
        ["Dense"],
    ),
    (
        "requantization",
        [quant("a", "x", 0.25, 6), quant("b", "a", 1.0, 2), ("y", "MatMul", ["b", W.T], {})],
        ["n", 3],
        None,
        ["Threshold", "Dense"],
    ),
    (
        "streamlined: thresholds and integer weights",
        [
            ("a", "MultiThreshold", ["x", np.array([[0.5, 3, 7]], np.float32)], THRESHOLDS),
            ("m", "MatMul", ["a", W.T], {}),
            ("b", "MultiThreshold", ["m", STEPS], THRESHOLDS),
            ("n", "MatMul", ["b", W], {}),
            ("s", "Mul", ["n", np.float32(0.37)], {}),
            ("y", "Add", ["s", np.float32([0.1, -0.2, 3])], {}),
        ],
        [1, 3],
        "uint4",
        ["Threshold", "Dense", "Threshold", "Dense"],
    ),
    (
        "prologue on a grid",
        [
            ("p", "Div", ["x", np.float32(255)], {}),
            ("s", "Sub", ["p", np.float32(0.5)], {}),
            ("m", "MatMul", ["s", W.T], {}),
            ("b", "Add", ["m", np.float32([0.1, 0.2, 0.3, 0.4])], {}),
            quant("y", "b", 0.3),
        ],
        ["n", 3],
        "uint8",
        ["Dense", "Threshold"],
    ),
    (
        "two layers without a quantizer between",
        [quant("a", "x"), ("m", "MatMul", ["a", W.T], {}), ("b", "Add", ["m", np.float32(2)], {}),
         ("y", "MatMul", ["b", W], {})],
        ["n", 3],
        None,
        ["Dense", "Dense"],
    ),
    (
        "channels in the middle",
        [
            quant("a", "x"),
            ("m", "MatMul", ["a", W.T], {}),
            ("b", "Mul", ["m", np.float32([[0.3], [-0.7]])], {}),
            quant("q", "b", 0.5),
            ("t", "Transpose", ["q"], {"perm": [0, 2, 1]}),
            ("y", "Flatten", ["t"], {}),
        ],
        [1, 2, 3],
        None,
        ["Dense", "Transpose", "Threshold"],
    ),
    (
        "transposed and flattened before a layer",
        [
            quant("a", "x"),
            ("t", "Transpose", ["a"], {"perm": [0, 2, 1]}),
            quant("q", "t", 2.0),
            ("f", "Flatten", ["q"], {}),
            ("y", "MatMul", ["f", RNG.integers(-2, 3, (6, 2)).astype(np.float32)], {}),
        ],
        ["n", 2, 3],
        None,
        ["Threshold", "Dense"],
    ),
    (
        "constant activations",
        [quant("a", "x"), ("c", "Clip", ["a", np.float32(20), np.float32(30)], {}), quant("q", "c"),
         ("y", "MatMul", ["q", W.T], {})],
        ["n", 3],
        None,
        ["Threshold", "Dense"],
    ),
    (
        "a sigmoid of a wide accumulator",
        [
            quant("a", "x", 2.0**-10, 16),
            ("m", "MatMul", ["a", 7 * W.T], {}),
            ("s", "Sigmoid", ["m"], {}),
            quant("y", "s", 2.0**-6, 6, 0),
        ],
        ["n", 3],
        None,
        ["Dense", "Threshold"],
    ),
    (
        "weights on the left of a column",
        [quant("a", "x"), ("m", "MatMul", [W, "a"], {}), quant("y", "m", 3.0)],
        [1, 3, 2],
        None,
        ["Dense", "Threshold"],  # the host transposes
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "shape", "grid", "kinds"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_form(lines: list[Line], shape: list[Any], grid: str | None, kinds: list[str], tmp_path: Path) -> None:
    proto = network(lines, shape)
    onnx.save(proto, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx", grid)
    found = [type(node).__name__ for node in model.graph if type(node).__name__ not in ("Input", "Reshape")]
    assert found == kinds
    rng = np.random.default_rng(0)
    low, high = {None: (-20, 20), "uint4": (0, 16), "uint8": (0, 256)}[grid]
    samples = rng.integers(low, high, (30, *shape[1:])).astype(np.float32)
    assert mismatches(model, prepared(proto), samples)[1] == []


@pytest.mark.parametrize("name", ["uint8", "int8"])
def test_integer_inputs_are_their_own_grid(name: str, tmp_path: Path) -> None:
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(name))
    lines: list[Line] = [
        ("f", "Cast", ["x"], {"to": TensorProto.FLOAT}),
        ("s", "Div", ["f", np.float32(255)], {}),
        ("m", "MatMul", ["s", W.T], {}),
        quant("y", "m", 0.3),
    ]
    proto = network(lines, ["n", 3], kind)
    onnx.save(proto, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx")
    bounds = np.iinfo(name)
    assert (model.graph.input.type.lo, model.graph.input.type.hi) == (bounds.min, bounds.max)
    samples = np.random.default_rng(0).integers(bounds.min, bounds.max + 1, (30, 3)).astype(name)
    assert mismatches(model, prepared(proto), samples)[1] == []


def test_annotated_inputs_have_a_grid(tmp_path: Path) -> None:
    proto = network([("m", "MatMul", ["x", W.T], {}), quant("y", "m", 3.0)], [1, 3])
    annotation = proto.graph.quantization_annotation.add(tensor_name="x")
    annotation.quant_parameter_tensor_names.add(key="finn_datatype", value="INT5")
    onnx.save(proto, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx")
    assert (model.graph.input.type.lo, model.graph.input.type.hi) == (-16, 15)


def test_several_outputs_of_one_tensor(tmp_path: Path) -> None:
    proto = network([quant("a", "x"), ("y", "MatMul", ["a", W.T], {})], ["n", 3])
    proto.graph.node.append(helper.make_node("ArgMax", ["y"], ["best"], "best", axis=1, keepdims=0))
    proto.graph.output.append(helper.make_tensor_value_info("best", TensorProto.INT64, None))
    onnx.save(proto, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx")
    outputs = model.decode(model.graph.evaluate(model.encode(np.eye(3, dtype=np.float32))))
    assert np.array_equal(outputs["y"], W.T) and np.array_equal(outputs["best"], W.T.argmax(axis=1))


def test_scales_without_a_common_step_are_refused(tmp_path: Path) -> None:
    lines: list[Line] = [
        quant("a", "x"),
        ("f", "Mul", ["a", np.float32([1, 0.3, 0.7])], {}),
        ("y", "MatMul", ["f", W.T], {}),
    ]
    onnx.save(network(lines, ["n", 3]), tmp_path / "model.onnx")
    with pytest.raises(ImportRefused, match="different scales along the axis that it sums over"):
        load(tmp_path / "model.onnx")


def test_digest_tells_models_apart(tmp_path: Path) -> None:
    digests = set()
    for scale in (0.5, 0.25):
        onnx.save(network([quant("a", "x", scale), ("y", "MatMul", ["a", W.T], {})], ["n", 3]), tmp_path / "model.onnx")
        digests |= {load(tmp_path / "model.onnx").digest, load(tmp_path / "model.onnx").digest}
    assert len(digests) == 2
