"""Writes small ONNX models: the host's share before and after the hardware."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lutwright.frontend.onnx_import.values import Anything


class Writer:
    """Collects nodes and initializers. Operators are added only if they mean the same in every opset since 8."""

    def __init__(self, opset: int) -> None:
        self.opset = max(opset, 8)  # 8 only adds to 7: Min and Max broadcast
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self._count = 0

    def fresh(self) -> str:
        self._count += 1
        return f"lutwright_{self._count}"

    def constant(self, array: Anything, name: str | None = None) -> str:
        name = name or self.fresh()
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        output = output or self.fresh()
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def cast(self, x: str, dtype: np.dtype[Any], output: str | None = None) -> str:
        return self.op("Cast", x, output=output, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def model(self, inputs: Sequence[onnx.ValueInfoProto], outputs: Sequence[str], name: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            name,
            inputs,
            [onnx.ValueInfoProto(name=output) for output in outputs],
            list(self.initializers.values()),
        )
        domains = sorted({node.domain for node in self.nodes} - {""})
        opsets = [helper.make_opsetid("", self.opset), *(helper.make_opsetid(domain, 1) for domain in domains)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)
