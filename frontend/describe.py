"""What `inspect` shows of a model: its nodes, types and scales, the host's share, and everything that is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lutwright.frontend import grid as grids
from lutwright.frontend.hardware import hardware
from lutwright.frontend.ir import Node, Type
from lutwright.frontend.model import Tensor, assemble, interpreted, tensor
from lutwright.frontend.onnx_import.source import read
from lutwright.frontend.onnx_import.values import Quantized


@dataclass(frozen=True)
class NodeRow:
    """A node of the integer graph; `constants` counts its weights, thresholds or entries.

    `hardware`: the engines or components that can build it, empty if there is no hardware for it yet.
    """

    name: str
    kind: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    lo: int
    hi: int
    width: int
    constants: int
    hardware: tuple[str, ...]


@dataclass(frozen=True)
class TensorRow:
    """A quantized ONNX tensor: real = scale * q + offset; least and greatest over the channels."""

    name: str
    node: str
    scale: tuple[float, float]
    offset: tuple[float, float]


@dataclass(frozen=True)
class HostRow:
    """An ONNX node that the host runs."""

    name: str
    operator: str


@dataclass(frozen=True)
class RefusalRow:
    """An ONNX node that cannot be imported."""

    node: str
    operator: str
    reason: str
    fix: str


@dataclass(frozen=True)
class Description:
    """`pre` and `post` are what the host runs before and after the hardware. With refusals, what was found so far."""

    input: str
    input_shape: tuple[int | None, ...]
    input_dtype: str
    outputs: tuple[str, ...]
    nodes: tuple[NodeRow, ...]
    tensors: tuple[TensorRow, ...]
    pre: tuple[HostRow, ...]
    post: tuple[HostRow, ...]
    refusals: tuple[RefusalRow, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain types only, for JSON."""
        return asdict(self)


def describe(model_path: str | Path, grid: str | None = None) -> Description:
    """Reads and interprets the model; ModelError only where there is no graph to speak of."""
    source = read(model_path)
    state = interpreted(source, grids.parse(grid) if grid is not None else source.annotation)
    refusals = tuple(RefusalRow(item.node, item.operator, item.reason, item.fix) for item in state.refusals)
    if refusals:
        found = {name: tensor(name, value) for name, value in state.values.items() if isinstance(value, Quantized)}
        nodes: tuple[Node, ...] = tuple(state.nodes)
        pre: tuple[HostRow, ...] = ()
        post: tuple[HostRow, ...] = ()
    else:
        model = assemble(source, state)
        found, nodes = dict(model.tensors), model.graph.nodes
        pre, post = (tuple(HostRow(*row) for row in part) for part in (model.pre_nodes, model.post_nodes))
    return Description(
        source.input,
        source.dims,
        str(source.dtype),
        source.outputs,
        _node_rows(nodes),
        tuple(_tensor_row(item) for item in found.values()),
        pre,
        post,
        refusals,
    )


def _node_rows(nodes: Sequence[Node]) -> tuple[NodeRow, ...]:
    types, rows = dict[str, Type](), list[NodeRow]()
    for node in nodes:
        constants = sum(value.size for value in vars(node).values() if isinstance(value, np.ndarray))
        kind, type_ = type(node).__name__, types.setdefault(node.name, node.type)
        names = hardware(node, *(types[name] for name in node.inputs))
        rows.append(
            NodeRow(node.name, kind, node.inputs, type_.shape, type_.lo, type_.hi, type_.width, constants, names)
        )
    return tuple(rows)


def _tensor_row(item: Tensor) -> TensorRow:
    scale, offset = ((float(part.min()), float(part.max())) for part in (item.scale, item.offset))
    return TensorRow(item.name, item.node, scale, offset)
