"""Mutators of the graph's structure: nodes, edges, names, opsets, functions, outputs."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from .registry import Unsuitable, insert, mutator, output, pick, values
from .tensors import SIZES


def node_of(rng: np.random.Generator, model: onnx.ModelProto) -> onnx.NodeProto:
    return pick(rng, model.graph.node)


@mutator
def remove_node(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    model.graph.node.remove(node_of(rng, model))


@mutator
def bypass_node(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The node's users read its first input instead."""
    node = pick(rng, [node for node in model.graph.node if node.input and node.output])
    for user in model.graph.node:
        for index, name in enumerate(user.input):
            if name == node.output[0]:
                user.input[index] = node.input[0]


@mutator
def duplicate_node(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    copy = onnx.NodeProto()
    copy.CopyFrom(node_of(rng, model))
    if rng.random() < 0.5:
        names = [f"{name}_copy" for name in copy.output]
        del copy.output[:]
        copy.output.extend(names)
    model.graph.node.insert(int(rng.integers(len(model.graph.node) + 1)), copy)


@mutator
def swap_nodes(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    first, second = (int(rng.integers(len(model.graph.node))) for _ in range(2)) if model.graph.node else (0, 0)
    nodes = list(model.graph.node)
    if first == second:
        raise Unsuitable
    nodes[first], nodes[second] = nodes[second], nodes[first]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


@mutator
def swap_operators(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    first, second = node_of(rng, model), node_of(rng, model)
    first.op_type, second.op_type = second.op_type, first.op_type
    first.domain, second.domain = second.domain, first.domain


@mutator
def other_operator(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Any operator that ONNX has, with the node's inputs and attributes."""
    node = node_of(rng, model)
    schema = pick(rng, onnx.defs.get_all_schemas())
    node.op_type, node.domain = schema.name, schema.domain


@mutator
def rewire(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """An input becomes any tensor: that makes branches, cycles and wrong shapes."""
    node = pick(rng, [node for node in model.graph.node if node.input])
    node.input[int(rng.integers(len(node.input)))] = pick(rng, values(model))


@mutator
def cycle(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    index = int(rng.integers(max(len(model.graph.node), 1)))
    node = pick(rng, [node for node in model.graph.node[: index + 1] if node.input])
    later = pick(rng, [name for item in model.graph.node[index:] for name in item.output])
    node.input[int(rng.integers(len(node.input)))] = later


@mutator
def inputs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """One less, one more, one empty, in another order, or many."""
    node = pick(rng, [node for node in model.graph.node if node.input])
    names = list(node.input)
    index, kind = int(rng.integers(len(names))), int(rng.integers(6))
    if kind == 0:
        del names[index]
    elif kind == 1:
        names.insert(index, pick(rng, values(model)))
    elif kind == 2:
        names[index] = ""
    elif kind == 3:
        rng.shuffle(names)
    elif kind == 4:
        names = []
    else:
        names = names * 20
    del node.input[:]
    node.input.extend(names)


@mutator
def outputs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = pick(rng, [node for node in model.graph.node if node.output])
    kind = int(rng.integers(5))
    if kind == 0:
        del node.output[:]
    elif kind == 1:
        node.output.append(pick(rng, ["extra", "", node.output[0]]))
    elif kind == 2:
        node.output[0] = ""
    elif kind == 3:
        node.output[0] = pick(rng, values(model))
    else:
        node.output.extend(f"extra{index}" for index in range(50))


@mutator
def rename(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A tensor or node gets an odd name, everywhere or in one place."""
    names = [
        "",
        " ",
        "a" * 100_000,
        "\n\nline",
        "\x1b[31mred",
        "\0",
        "ä⊕名",
        "[bold]",
        "input",
        "lutwright_1",
        "../x",
        "%s{}",
    ]
    new = pick(rng, [*names, *values(model)])
    if rng.random() < 0.3:
        node_of(rng, model).name = new
        return
    old, everywhere = pick(rng, values(model)), rng.random() < 0.7
    for node in model.graph.node:
        for part in (node.input, node.output):
            for index, name in enumerate(part):
                if name == old and (everywhere or rng.random() < 0.5):
                    part[index] = new
    if everywhere:
        for item in (*model.graph.input, *model.graph.output, *model.graph.initializer):
            item.name = new if item.name == old else item.name


@mutator
def graph_outputs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    kind = int(rng.integers(5))
    if kind == 0:
        del model.graph.output[:]
    elif kind == 1:
        model.graph.output.append(output(name=pick(rng, values(model))))
    elif kind == 2:
        pick(rng, model.graph.output).name = pick(rng, ["", *values(model)])
    elif kind == 3:
        model.graph.output.append(pick(rng, model.graph.output))
    else:
        model.graph.output.extend([output(name=name) for name in values(model)])


@mutator
def graph_inputs(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    kind = int(rng.integers(4))
    if kind == 0:
        del model.graph.input[:]
    elif kind == 1:
        model.graph.input.append(helper.make_tensor_value_info(pick(rng, ["z", *values(model)]), 1, [1]))
    elif kind == 2:
        pick(rng, model.graph.input).name = pick(rng, ["", *values(model)])
    else:
        model.graph.input.append(pick(rng, model.graph.input))


@mutator
def opsets(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    kind = int(rng.integers(5))
    if kind == 0:
        del model.opset_import[:]
    elif kind == 1:
        model.opset_import.append(helper.make_opsetid("", int(rng.integers(1, 30))))
    elif kind == 2:
        pick(rng, model.opset_import).domain = pick(rng, ["", "ai.onnx", "ai.onnx.ml", "unknown", "a" * 5000])
    else:
        pick(rng, model.opset_import).version = pick(rng, [*SIZES, 6, 7, 8, 11, 19, 21, 25, 26, 30])


@mutator
def ir_version(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    model.ir_version = pick(rng, SIZES)


@mutator
def domains(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    places = ["", "ai.onnx", "ai.onnx.ml", "ai.onnx.training", "com.microsoft", "onnx.brevitas", "unknown", "PACTOps"]
    node_of(rng, model).domain = pick(rng, places)


@mutator
def subgraph(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """An If or Loop, some of them deep, around a tensor, which its body reads from outside."""
    tensor = pick(rng, values(model))
    body = helper.make_graph([helper.make_node("Identity", [tensor], ["out"])], "body", [], [output()])
    for _ in range(int(rng.choice([0, 0, 1, 5, 20, 28]))):
        node = helper.make_node(
            "If", ["flag"], ["out"], then_branch=body, else_branch=body if rng.random() < 0.1 else None
        )
        body = helper.make_graph([node], "body", [], [output()])
        if body.ByteSize() > 10**6:
            break
    if rng.random() < 0.5:
        node = helper.make_node("If", ["flag"], ["inserted"], then_branch=body, else_branch=body)
    else:
        node = helper.make_node("Loop", ["count", "flag", tensor], ["inserted"], body=body)
    model.graph.initializer.append(helper.make_tensor("flag", TensorProto.BOOL, [], [True]))
    model.graph.initializer.append(helper.make_tensor("count", TensorProto.INT64, [], [2**62]))
    insert(rng, model, node, tensor)


@mutator
def functions(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Local functions: good, calling itself or each other, growing exponentially, or with missing parts."""
    tensor, kind = pick(rng, values(model)), int(rng.integers(6))
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("local", 1)]

    def function(name: str, *calls: str) -> onnx.FunctionProto:
        names = ["p", *(f"p{index}" for index in range(1, len(calls))), "r"]
        nodes = [
            helper.make_node(call, [names[index]], [names[index + 1]], domain="" if call == "Relu" else "local")
            for index, call in enumerate(calls)
        ]
        return helper.make_function("local", name, ["p"], ["r"], nodes, imports)

    if kind == 0:
        model.functions.append(function("F0", "Relu"))
    elif kind == 1:
        model.functions.append(function("F0", "F0"))
    elif kind == 2:
        model.functions.extend([function("F0", "F1"), function("F1", "Relu", "F0")])
    elif kind == 3:
        depth = int(rng.choice([8, 24, 60]))
        model.functions.extend(function(f"F{index}", f"F{index + 1}", f"F{index + 1}") for index in range(depth))
        model.functions.append(function(f"F{depth}", "Relu"))
    elif kind == 4:
        depth = int(rng.choice([50, 2000]))
        model.functions.extend(function(f"F{index}", f"F{index + 1}") for index in range(depth))
        model.functions.append(function(f"F{depth}", "Relu"))
    else:
        model.functions.append(
            pick(rng, [onnx.FunctionProto(), helper.make_function("local", "F0", [], [], [], imports)])
        )
    if rng.random() < 0.9:
        model.opset_import.append(helper.make_opsetid("local", 1))
    insert(rng, model, helper.make_node("F0", [tensor], ["inserted"], domain="local"), tensor)


@mutator
def many_nodes(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A long chain of one operator."""
    tensor, kind = pick(rng, values(model)), pick(rng, ["Identity", "Relu", "Neg", "Sigmoid"])
    names = [tensor, *(f"chain{index}" for index in range(int(rng.choice([20, 200, 2000])))), "inserted"]
    last = helper.make_node(kind, [names[-2]], [names[-1]])
    insert(rng, model, last, tensor)
    place = list(model.graph.node).index(last)
    chain = [helper.make_node(kind, [names[index]], [names[index + 1]]) for index in range(len(names) - 2)]
    for node in reversed(chain):
        model.graph.node.insert(place, node)


@mutator
def doubling(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A tensor added to or multiplied by itself again and again: a small graph, but a huge tree."""
    tensor, kind = pick(rng, values(model)), pick(rng, ["Add", "Mul", "Max"])
    names = [tensor, *(f"double{index}" for index in range(int(rng.choice([2, 11, 40])))), "inserted"]
    last = helper.make_node(kind, [names[-2]] * 2, [names[-1]])
    insert(rng, model, last, tensor)
    place = list(model.graph.node).index(last)
    for index in reversed(range(len(names) - 2)):
        model.graph.node.insert(place, helper.make_node(kind, [names[index]] * 2, [names[index + 1]]))


@mutator
def empty(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    model.ClearField(pick(rng, ["graph", "opset_import", "ir_version", "producer_name"]))
