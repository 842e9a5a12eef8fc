"""The float graph while it is prepared: nodes in order, constants, and who uses what."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from lutwright.frontend.onnx_import.source import Source

Anything = NDArray[Any]
Shape = tuple[int | None, ...]


@dataclass(frozen=True, eq=False)
class FloatGraph:
    """A model's nodes in topological order; `types` and `shapes` are of the tensors that shape inference knows."""

    source: Source
    nodes: tuple[onnx.NodeProto, ...]
    constants: dict[str, Anything]
    types: dict[str, int]
    shapes: dict[str, Shape]

    @classmethod
    def of(cls, source: Source) -> FloatGraph:
        graph = source.model.graph
        infos = {item.name: item.type.tensor_type for item in (*graph.value_info, *graph.input, *graph.output)}
        shapes = {
            name: tuple(dim.dim_value if dim.HasField("dim_value") else None for dim in kind.shape.dim)
            for name, kind in infos.items()
            if kind.HasField("shape")
        }
        types = {name: kind.elem_type for name, kind in infos.items()}
        return cls(source, source.nodes, dict(source.constants), types, shapes)

    def users(self) -> dict[str, list[onnx.NodeProto]]:
        """The nodes that take each tensor, each once."""
        found: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(filter(None, node.input)):
                found.setdefault(name, []).append(node)
        return found

    def makers(self) -> dict[str, onnx.NodeProto]:
        """The node that makes each tensor."""
        return {name: node for node in self.nodes for name in node.output if name}

    def is_float(self, name: str) -> bool:
        return self.types.get(name) == TensorProto.FLOAT

    def inputs(self, node: onnx.NodeProto) -> list[str]:
        """The float tensors that the node takes and that depend on the model's input, each once."""
        return [name for name in dict.fromkeys(node.input) if name and self.is_float(name) and not self.constant(name)]

    def constant(self, name: str) -> bool:
        return name in self.constants

    def only_user(self, name: str, users: dict[str, list[onnx.NodeProto]]) -> onnx.NodeProto | None:
        """The one node that takes the tensor, if there is just one and the tensor is no output."""
        found = users.get(name, [])
        return found[0] if len(found) == 1 and name not in self.source.outputs else None

    def changed(self, nodes: list[onnx.NodeProto], constants: dict[str, Anything]) -> FloatGraph:
        return replace(self, nodes=tuple(nodes), constants=constants)

    def model(self) -> onnx.ModelProto:
        """As an ONNX model, with the shapes of its tensors."""
        ends = {item.name for item in (*self.source.model.graph.input, *self.source.model.graph.output)}
        made = [name for node in self.nodes for name in node.output if name in self.shapes and name not in ends]
        infos = [helper.make_tensor_value_info(name, self.types[name], self.shapes[name]) for name in made]
        return write(self, self.nodes, self.constants, infos)


def write(
    graph: FloatGraph,
    nodes: Any,
    constants: dict[str, Anything],
    value_info: Any = (),
    domains: tuple[str, ...] = (),
) -> onnx.ModelProto:
    """A model with the graph's inputs and outputs and these nodes, and those of the constants that they need."""
    old, needed = graph.source.model, {name for node in nodes for name in node.input}
    made = helper.make_graph(
        list(nodes), old.graph.name or "quantized", list(old.graph.input), list(old.graph.output),
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items() if name in needed],
        value_info=list(value_info),
    )  # fmt: skip
    known = {name: array for name, array in constants.items() if name in needed}
    kept = [item for item in made.input if item.name not in known]
    del made.input[:]
    made.input.extend(kept)
    opsets = [helper.make_opsetid("", graph.source.opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
    return helper.make_model(made, opset_imports=opsets, ir_version=max(8, old.ir_version), producer_name="lutwright")


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {item.name: helper.get_attribute_value(item) for item in node.attribute}
