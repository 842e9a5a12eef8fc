"""Small files that ask for much, or break ONNX's own rules, end in one typed error before anything is allocated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from lutwright.errors import ModelError
from lutwright.frontend.model import load

from .fuzzing.registry import insert
from .fuzzing.seeds import TEXTS, written

Change = Callable[[onnx.ModelProto], None]


def inserted(kind: str, others: dict[str, object] | None = None, tensor: str = "c", **attributes: object) -> Change:
    """An operator between a tensor and its users, with constants as further inputs."""

    def change(model: onnx.ModelProto) -> None:
        for name, value in (others or {}).items():
            model.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
        insert(
            np.random.default_rng(0),
            model,
            helper.make_node(kind, [tensor, *(others or {})], ["inserted"], **attributes),
            tensor,
        )

    return change


def made(shape: list[int], count: int) -> Change:
    """Constants of that shape that nothing needs."""

    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer.append(numpy_helper.from_array(np.array(shape), "shape"))
        nodes = [helper.make_node("ConstantOfShape", ["shape"], [f"made{index}"]) for index in range(count)]
        model.graph.node.extend(nodes)

    return change


def chain(kind: str, length: int, arity: int = 1) -> Change:
    def change(model: onnx.ModelProto) -> None:
        names = ["d", *(f"chain{index}" for index in range(length - 1)), "inserted"]
        nodes = [helper.make_node(kind, [names[i]] * arity, [names[i + 1]]) for i in range(length)]
        insert(np.random.default_rng(0), model, nodes[-1], "d")
        place = list(model.graph.node).index(nodes[-1])
        for node in reversed(nodes[:-1]):
            model.graph.node.insert(place, node)

    return change


def calls(*bodies: tuple[str, ...]) -> Change:
    """Functions F0, F1, … that call those named, and a node that calls F0."""

    def change(model: onnx.ModelProto) -> None:
        imports = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]
        for index, names in enumerate(bodies):
            steps = ["p", *(f"p{step}" for step in range(1, len(names))), "r"]
            nodes = [
                helper.make_node(name, [steps[i]], [steps[i + 1]], domain="" if name == "Relu" else "local")
                for i, name in enumerate(names)
            ]
            model.functions.append(helper.make_function("local", f"F{index}", ["p"], ["r"], nodes, imports))
        model.opset_import.append(helper.make_opsetid("local", 1))
        insert(np.random.default_rng(0), model, helper.make_node("F0", ["d"], ["inserted"], domain="local"), "d")

    return change


def opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 1000


def sparse(model: onnx.ModelProto) -> None:
    tensor = onnx.SparseTensorProto(dims=[2**40])
    tensor.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "sparse"))
    tensor.indices.CopyFrom(numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    model.graph.sparse_initializer.append(tensor)


def text(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("text", onnx.TensorProto.STRING, [1], [b"text"]))


def name(value: str) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.node[0].name = value

    return change


def size(value: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = value

    return change


def reference(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].ref_attr_name = "outer"


CASES: dict[str, tuple[Change, str]] = {
    "a tensor of terabytes": (made([2**40], 1), "more than 67108864 elements"),
    "many large tensors": (made([4000, 4000], 100), "the constants computed before it take"),
    "a large result": (inserted("Expand", {"shape": [2**30, 4]}), "more than 67108864 elements"),
    "a permutation that is none": (inserted("Transpose", perm=[0, 0]), "repeated value"),
    "an axis beyond": (inserted("Softmax", axis=9), "break its operator's definition"),
    "an attribute of another type": (inserted("Softmax", axis=0.5), "break its operator's definition"),
    "a reference outside of a function": (reference, "has no value"),
    "a long chain": (chain("Sigmoid", 2000), "more than 100 operators in turn"),
    "a small graph that is a large tree": (chain("Add", 40, 2), "or 4096 in all"),
    "a function that calls itself": (calls(("F0",)), "call themselves"),
    "functions that call each other": (calls(("F1",), ("Relu", "F0")), "call themselves"),
    "functions that grow": (calls(*((f"F{i + 1}",) * 2 for i in range(40)), ("Relu",)), "more than 131072 nodes"),
    "an opset to come": (opset, "must be at most"),
    "sparse initializers": (sparse, "sparse"),
    "an initializer of text": (text, "must hold real numbers"),
    "a name with a line break": (name("a\nb"), "no text"),
    "a name that is too long": (name("a" * 2000), "more than 1000 characters"),
    "an input of terabytes": (size(2**40), "at most 16777216 elements"),
    "an input below zero": (size(-3), "at least 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_refused(case: str, tmp_path: Path) -> None:
    change, message = CASES[case]
    model = onnx.ModelProto.FromString(written(TEXTS["qonnx_dense"]))
    change(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=message) as caught:
        load(tmp_path / "model.onnx")
    assert len(str(caught.value)) < 20_000 and "\n\n" not in str(caught.value)


def test_functions_are_written_out(tmp_path: Path) -> None:
    model = onnx.ModelProto.FromString(written(TEXTS["qonnx_dense"]))
    plain = load_of(model, tmp_path)
    calls(("F1",), ("Relu",))(model)
    x = np.random.default_rng(0).integers(-8, 8, (20, 6))
    assert np.array_equal(load_of(model, tmp_path).graph.evaluate(x), plain.graph.evaluate(x))  # a Relu before a Relu


def load_of(model: onnx.ModelProto, folder: Path):  # type: ignore[no-untyped-def]
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return load(folder / "model.onnx")
