"""No Transpose is left in networks that came with channels first; the host does what is left at the two ends."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.ends import give_moves_to_host
from lutwright.frontend.ir import Graph, Input, Node, Type, verify
from lutwright.frontend.model import compare_reference, load
from lutwright.frontend.nodes import (
    Add,
    Concat,
    Conv,
    Dense,
    MatMul,
    Multiply,
    Pad,
    Pool,
    Reshape,
    Stuff,
    Take,
    Threshold,
    Transpose,
)
from lutwright.frontend.nodes.windows import Window
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.passes import run_passes
from lutwright.frontend.passes.chains import Step, shortest
from lutwright.testbenches.reference import mismatches, prepared

SIZE, CHANNELS = 6, 4


class Network:
    """Builds a network on x [C, H, W] as the import does: Transposes around what wants the channels last."""

    def __init__(self) -> None:
        self.rng, self.count = np.random.default_rng(0), 0
        self.nodes: list[Node] = [Input("x", (), Type((CHANNELS, SIZE, SIZE), -3, 3))]

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        return node

    def name(self) -> str:
        self.count += 1
        return f"n{self.count}"

    def last(self, x: Node, build: Callable[[Node], Node]) -> Node:
        turned = self.add(Transpose.of(self.name(), x, (1, 2, 0)))
        return self.add(Transpose.of(self.name(), self.add(build(turned)), (2, 0, 1)))

    def conv(self, x: Node, rows: int = CHANNELS) -> Node:
        weight = self.rng.integers(-2, 3, (rows, 3, 3, x.type.shape[0]))
        window = Window.of((3, 3), None, None, ((1, 1), (1, 1)))
        return self.last(x, lambda inner: Conv.of(self.name(), inner, weight, np.ones(rows, int), window))

    def steps(self, x: Node) -> Node:
        count = x.type.shape[0]
        levels = np.sort(self.rng.integers(-9, 10, (count, 3)), axis=1)
        base, step = np.zeros(count, np.int64), np.ones(count, np.int64)
        return self.last(x, lambda inner: Threshold.of(self.name(), inner, levels, base, step))

    def alike(self, x: Node) -> Node:
        return self.add(Threshold.of(self.name(), x, np.array([[-1, 2]]), np.zeros(1, int), np.ones(1, int)))

    def sum(self, *sources: Node) -> Node:
        return self.add(Add.of(self.name(), sources, np.ones((1, len(sources)), np.int64)))

    def pooled(self, x: Node) -> Node:
        return self.last(x, lambda inner: Pool.of(self.name(), inner, "sum", Window.of(x.type.shape[1:])))

    def graph(self) -> Graph:
        return verify(Graph(tuple(self.nodes), self.nodes[-1].name))


def residual(net: Network) -> None:
    x = net.steps(net.conv(net.nodes[0]))
    net.steps(net.sum(net.steps(net.conv(net.alike(net.conv(x)))), x))


def residual_of_the_input(net: Network) -> None:
    net.conv(net.sum(net.steps(net.conv(net.nodes[0])), net.nodes[0]))


def concatenated(net: Network) -> None:
    x = net.steps(net.conv(net.nodes[0]))
    joined = net.add(Concat.of(net.name(), (net.alike(net.conv(x, 2)), x), 0))
    cut = net.add(Take.of(net.name(), joined, 1, np.array([0, 2, 4, 1])))
    padded = net.add(Pad.of(net.name(), cut, ((0, 0), (1, 0), (0, 2)), 1))
    net.steps(net.conv(net.add(Stuff.of(net.name(), padded, (1, 2, 1), 0))))


def squeezed(net: Network) -> None:
    """Squeeze and excite: a pooled vector scales the channels."""
    x = net.steps(net.conv(net.nodes[0]))
    vector = net.add(Reshape.of(net.name(), net.pooled(x), (CHANNELS,)))
    dense = net.add(Dense.of(net.name(), vector, net.rng.integers(-2, 3, (CHANNELS, CHANNELS))))
    gate = net.steps(net.add(Reshape.of(net.name(), net.alike(dense), (CHANNELS, 1, 1))))
    for axis in (1, 2):
        gate = net.add(Take.of(net.name(), gate, axis, np.zeros(SIZE, np.int64)))
    net.conv(net.alike(net.add(Multiply.of(net.name(), gate, x))))


def classified(net: Network) -> None:
    x = net.alike(net.conv(net.nodes[0]))
    flat = net.add(Reshape.of(net.name(), x, (x.type.size,)))
    net.add(Dense.of(net.name(), flat, net.rng.integers(-1, 2, (3, x.type.size))))


def shuffled(net: Network) -> None:
    """Channels shuffled between groups: a Take of channels, which the next Conv absorbs."""
    x = net.alike(net.conv(net.nodes[0]))
    split = net.add(Reshape.of(net.name(), x, (2, 2, SIZE, SIZE)))
    turned = net.add(Transpose.of(net.name(), split, (1, 0, 2, 3)))
    net.conv(net.add(Reshape.of(net.name(), turned, (4, SIZE, SIZE))))


def multiplied(net: Network) -> None:
    """Products of matrices that are both transposed."""
    a, b = net.alike(net.nodes[0]), net.add(Add.of(net.name(), (net.nodes[0],), np.full((1, 1), 2)))
    turned = [net.add(Transpose.of(net.name(), side, (0, 2, 1))) for side in (a, b)]
    net.alike(net.add(MatMul.of(net.name(), *turned)))


def pixels(net: Network) -> None:
    """DepthToSpace at the end."""
    x = net.alike(net.conv(net.nodes[0]))
    split = net.add(Reshape.of(net.name(), x, (1, 2, 2, SIZE, SIZE)))
    turned = net.add(Transpose.of(net.name(), split, (0, 3, 1, 4, 2)))
    net.alike(net.add(Reshape.of(net.name(), turned, (1, 2 * SIZE, 2 * SIZE))))


NETWORKS = (residual, residual_of_the_input, concatenated, squeezed, classified, shuffled, multiplied, pixels)


@pytest.mark.parametrize("build", NETWORKS)
def test_no_transpose_is_left(build: Callable[[Network], None]) -> None:
    net = Network()
    build(net)
    graph = net.graph()
    changed, ends = give_moves_to_host(run_passes(graph))
    kinds = [type(node) for node in verify(changed)]
    assert Transpose not in kinds
    assert kinds.count(Conv) <= sum(isinstance(node, Conv) for node in graph)
    x = net.rng.integers(-3, 4, (5, *graph.input.type.shape))
    hardware = x.transpose(0, *(axis + 1 for axis in ends.input)) if ends.input else x
    assert np.array_equal(ends.unmoved_input(hardware), x)
    found = changed.evaluate(hardware)
    assert np.array_equal(found, ends.moved_output(graph.evaluate(x)))
    for step in ends.output:
        found = step.move(found)
    assert np.array_equal(found, graph.evaluate(x))


@pytest.mark.parametrize("seed", range(200))
def test_shortest_chains(seed: int) -> None:
    """They move every element where the given chain does, with one Transpose at most."""
    rng = np.random.default_rng(seed)
    shape = tuple(int(size) for size in rng.choice([1, 2, 3, 4, 6], int(rng.integers(1, 5))))
    x = np.arange(np.prod(shape)).reshape(1, *shape)
    wanted, steps = x, list[Step]()
    for _ in range(int(rng.integers(1, 6))):
        size = wanted.shape[1:]
        if rng.random() < 0.5:
            steps.append(Step(Transpose, tuple(int(axis) for axis in rng.permutation(len(size)))))
        else:
            at = int(rng.integers(len(size)))
            parts = [part for part in (1, 2, 3) if size[at] % part == 0]
            part = int(rng.choice(parts))
            cut = (*size[:at], part, size[at] // part, *size[at + 1 :])
            joined = (*size[:at], int(np.prod(size[at : at + 2])), *size[at + 2 :])
            steps.append(Step(Reshape, cut if rng.random() < 0.5 else joined))
        wanted = steps[-1].move(wanted)
    found = shortest(shape, steps)
    if found is None:
        return
    assert sum(step.kind is Transpose for step in found) <= 1 and len(found) <= 3
    y = x
    for step in found:
        y = y[..., list(step.numbers)] if step.kind is Take else step.move(y)
    assert np.array_equal(y, wanted)
    if not any(step.kind is Take for step in found):
        assert shortest(shape, found) == found


def onnx_network(batch: int | str, path: Path) -> onnx.ModelProto:
    """QONNX with channels first at both ends, and other scales and functions on each output channel."""
    rng = np.random.default_rng(0)
    constants = {
        "weight": rng.integers(-2, 3, (4, 3, 2, 2)) * 0.5,
        "one": np.array(1.0),
        "scales": np.array([0.25, 0.5, 1.0, 2.0]).reshape(1, 4, 1, 1),
        "zero": np.array(0.0),
        "bits": np.array(4.0),
        "shift": rng.integers(-2, 3, (1, 4, 1, 1)).astype(float),
    }
    quant = {"domain": "qonnx.custom_op.general", "signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        helper.make_node("Quant", ["x", "one", "zero", "bits"], ["q"], **quant),
        helper.make_node("Quant", ["weight", "half", "zero", "bits"], ["w"], **quant),
        helper.make_node("Conv", ["q", "w"], ["c"], kernel_shape=[2, 2]),
        helper.make_node("Quant", ["c", "scales", "zero", "bits"], ["d"], **quant),
        helper.make_node("Add", ["d", "shift"], ["y"]),
    ]
    constants["half"] = np.array(0.5)
    graph = helper.make_graph(
        nodes,
        "channels_first",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 4, 5])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, 4, 3, 4])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("qonnx.custom_op.general", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.save(model, path)
    return model


@pytest.mark.parametrize("batch", [1, "n", 3])
def test_the_host_moves_input_and_output(batch: int | str, tmp_path: Path) -> None:
    proto = onnx_network(batch, tmp_path / "model.onnx")
    model = load(tmp_path / "model.onnx")
    assert not any(isinstance(node, Transpose) for node in model.graph)
    assert model.graph.input.type.shape == (4, 5, 3) and model.graph[model.graph.output].type.shape == (3, 4, 4)
    assert model.imported.input.type.shape == (3, 4, 5)
    inputs = np.random.default_rng(1).integers(-9, 10, (7, 3, 4, 5)).astype(np.float32)
    compared, found = mismatches(model, prepared(proto), inputs)
    assert compared and not found, "\n".join(map(str, found))
    q = model.graph.evaluate(model.encode(inputs))
    assert np.array_equal(q, model.arranged(model.trace_imported(inputs)[model.imported.output]))
    outputs = model.decode(q)["y"]
    q[3, 1, 2, 0] += 1
    count, first = compare_reference(model, q, outputs)
    assert count == 1 and first is not None and first.index == (0, 1, 2)
    assert [item.name for item in session(model.pre).get_outputs()] == ["lutwright_integers"]
