"""Where quantizers stand: which tensors are quantized, which of them share one scheme, and what stays float."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx

from lutwright.errors import ModelError, Refusal
from lutwright.frontend.quantize.graph import FloatGraph
from lutwright.frontend.quantize.prepare import channel_axis
from lutwright.frontend.quantize.roles import HOST, Role, role

NEEDING = (Role.LAYER, Role.JOIN, Role.AVERAGE, Role.CONCAT, Role.PASS, Role.FUNCTION)
NEW = (Role.LAYER, Role.JOIN, Role.AVERAGE, Role.AFFINE)
FIX = "It stays float; replace it by supported operators if the whole network is to run in hardware"


@dataclass(frozen=True, eq=False)
class Layer:
    """A node with weights: its activation and weight tensors, its bias if it has one or can get one."""

    node: onnx.NodeProto
    x: str
    weight: str
    bias: str | None
    weight_axis: int  # of the output's channels, in the weights
    output_axis: int  # and in the output

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def takes_bias(self) -> bool:
        return self.node.op_type != "MatMul"


@dataclass(frozen=True, eq=False)
class Placement:
    """`group` maps every quantized tensor to the one whose scheme it shares; `inherited` are those that only pass on
    quantized values. `wide` are groups that only functions take: the index of a table. `input` is the group of the
    model's input, `outputs` are those that only the host takes. `layers` by the name of their output."""

    group: dict[str, str]
    inherited: frozenset[str]
    wide: frozenset[str]
    input: str | None
    outputs: frozenset[str]
    layers: dict[str, Layer]
    not_quantized: tuple[Refusal, ...]
    host: tuple[onnx.NodeProto, ...] = field(default=())

    def sources(self, group: str) -> list[str]:
        """The tensors of the group that hold new values."""
        return [name for name, leader in self.group.items() if leader == group and name not in self.inherited]


def place(graph: FloatGraph) -> Placement:
    """Every tensor that a layer, a sum, a pool or a function takes is quantized, once, where it is complete.

    So is what the last of these gives. The host runs what stands before and after. ModelError without layers.
    """
    roles = {id(node): role(graph, node) for node in graph.nodes}
    users = graph.users()
    tail = _tail(graph, roles, users)
    front, prologue = _front(graph, roles, users, tail)
    inside = [node for node in graph.nodes if id(node) not in tail | prologue]
    layers = [_layer(graph, node) for node in inside if roles[id(node)][0] is Role.LAYER]
    if not layers:
        raise ModelError(
            "the model must hold at least one Conv, ConvTranspose, Gemm or MatMul with constant float32 weights, found "
            "none. Export a model with weights, in float32"
        )
    within = _within_functions(graph, inside, roles, users)
    needed = {name for node in inside if roles[id(node)][0] in NEEDING for name in graph.inputs(node)} - within
    if front is not None and any(roles[id(node)][0] is Role.AFFINE for node in users[front]):
        needed.add(front)
    ends = _ends(graph, inside, roles, users, tail)
    needed |= ends
    made = [graph.source.input, *(name for node in graph.nodes for name in node.output)]
    group, inherited = _groups(graph, inside, roles, [name for name in made if name in needed])
    return Placement(
        group, inherited, _wide(graph, group, roles, users), group.get(front) if front else None,
        frozenset(group[name] for name in ends if all(id(user) in tail for user in users.get(name, []))),
        {layer.node.output[0]: layer for layer in layers},
        tuple(
            Refusal(node.name, node.op_type, roles[id(node)][1], FIX)
            for node in graph.nodes
            if roles[id(node)][0] is Role.FLOAT and not (node.op_type in HOST and id(node) in tail | prologue)
        ),
        tuple(node for node in graph.nodes if id(node) in tail | prologue),
    )  # fmt: skip


Roles = dict[int, tuple[Role, str]]
Users = dict[str, list[onnx.NodeProto]]


def _tail(graph: FloatGraph, roles: Roles, users: Users) -> set[int]:
    """The nodes after which nothing is left to quantize."""
    found: set[int] = set()
    ends = (Role.PASS, Role.AFFINE, Role.FUNCTION, Role.FLOAT, Role.OTHER)
    for node in reversed(graph.nodes):
        after = [user for name in node.output for user in users.get(name, [])]
        if roles[id(node)][0] in ends and all(id(user) in found for user in after):
            found.add(id(node))
    makers = graph.makers()
    for node in graph.nodes:  # the Relu of the last layer belongs to it
        maker = makers.get(node.input[0])
        completes = roles[id(node)][0] is Role.AFFINE and maker is not None and id(maker) not in found
        if completes and roles[id(maker)][0] in NEW and graph.only_user(node.input[0], users) is not None:
            found.discard(id(node))
    return found


def _ends(graph: FloatGraph, inside: Iterable[onnx.NodeProto], roles: Roles, users: Users, tail: set[int]) -> set[str]:
    """The tensors of the network that are outputs, or that the host takes."""
    return {
        name
        for node in inside
        if roles[id(node)][0] not in (Role.FLOAT, Role.OTHER)
        for name in node.output
        if name in graph.source.outputs or any(id(user) in tail for user in users.get(name, []))
    }


def _front(graph: FloatGraph, roles: Roles, users: Users, tail: set[int]) -> tuple[str | None, set[int]]:
    """The tensor that is quantized as the network's input, and the nodes of the chain that makes it of the input."""
    name, chain = graph.source.input, set[int]()
    while True:
        takers = [node for node in users.get(name, []) if roles[id(node)][0] is not Role.OTHER]
        if len(takers) != 1 or name in graph.source.outputs or id(takers[0]) in tail:
            return (name if graph.is_float(name) else None), chain
        node, others = takers[0], [item for item in takers[0].input if item and item != name]
        movable = roles[id(node)][0] in (Role.AFFINE, Role.FUNCTION, Role.FLOAT) or (
            roles[id(node)][0] is Role.PASS and node.op_type not in ("MaxPool", "GlobalMaxPool", "Pad", "Resize")
        )
        if not movable or not all(graph.constant(item) for item in others if graph.is_float(item)):
            return (name if graph.is_float(name) else None), chain
        chain.add(id(node))
        name = next(item for item in node.output if item)


def _within_functions(graph: FloatGraph, inside: Iterable[onnx.NodeProto], roles: Roles, users: Users) -> set[str]:
    """Tensors inside of functions that consist of several operators on one tensor, such as x * Sigmoid(x).

    All of their operators become functions in `roles`.
    """
    makers, within = graph.makers(), set[str]()

    def chain(name: str) -> list[str]:
        """The tensor, and those before it as far as elementwise operators and nothing else lead."""
        found, node = [name], makers.get(name)
        while node is not None and roles[id(node)][0] in (Role.AFFINE, Role.FUNCTION):
            if graph.only_user(found[-1], users) is None:
                break
            found += graph.inputs(node)
            node = makers.get(found[-1])
        return found

    for node in inside:
        if roles[id(node)][0] is Role.JOIN and len(graph.inputs(node)) == 2:
            left, right = map(chain, graph.inputs(node))
            common = [name for name in left if name in right]
            if common:
                between = [name for name in (*left, *right) if name not in common]
                within |= set(between)
                roles |= {id(part): (Role.FUNCTION, "") for part in (node, *map(makers.__getitem__, between))}
    return within


def _layer(graph: FloatGraph, node: onnx.NodeProto) -> Layer:
    left = graph.constant(node.input[0])
    x, weight = (node.input[1], node.input[0]) if left else (node.input[0], node.input[1])
    bias = node.input[2] if len(node.input) > 2 and node.input[2] else None
    if node.op_type != "MatMul":
        return Layer(node, x, weight, bias, channel_axis(node), 1)
    return Layer(node, x, weight, None, 0 if left else 1, -2 if left else -1)


def _groups(
    graph: FloatGraph, inside: Iterable[onnx.NodeProto], roles: Roles, needed: Iterable[str]
) -> tuple[dict[str, str], frozenset[str]]:
    leader: dict[str, str] = {name: name for name in needed}
    inherited: set[str] = set()

    def find(name: str) -> str:
        while leader.setdefault(name, name) != name:
            name = leader[name]
        return name

    for node in inside:
        if roles[id(node)][0] in (Role.PASS, Role.CONCAT):
            outputs = [str(name) for name in node.output if graph.is_float(name)]
            first, *others = graph.inputs(node) + outputs
            inherited |= set(outputs)
            for other in others:
                leader[find(other)] = find(first)
    return {name: find(name) for name in leader}, frozenset(inherited)


def _wide(graph: FloatGraph, group: dict[str, str], roles: Roles, users: Users) -> frozenset[str]:
    takers: dict[str, set[Role]] = {leader: set() for leader in group.values()}
    for name, leader in group.items():
        takers[leader] |= {roles[id(node)][0] for node in users.get(name, [])}
    return frozenset(leader for leader, kinds in takers.items() if kinds - {Role.PASS} == {Role.FUNCTION})
