"""A model as the rest of lutwright sees it: the integer graph, the host's share around it, and their names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from lutwright.errors import DataError, ImportRefused, ModelError
from lutwright.frontend import grid as grids
from lutwright.frontend.compare import compare_reference, compare_tensor
from lutwright.frontend.ends import Ends, give_moves_to_host
from lutwright.frontend.grid import Grid
from lutwright.frontend.ir import Array, Graph, verify
from lutwright.frontend.onnx_import import host
from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.onnx_import.interpreter import interpret
from lutwright.frontend.onnx_import.source import Source, read
from lutwright.frontend.onnx_import.state import FROM_INPUT, Import
from lutwright.frontend.onnx_import.values import Constant, Pending, Quantized, reduced
from lutwright.frontend.passes import drop_dead, run_passes

Anything = NDArray[Any]
INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
NUMPY_TYPES = {f"tensor({name})" for name in ("float16", "float", "double", "bool", *INTEGERS)}  # onnxruntime's names
__all__ = ["Model", "Tensor", "compare_reference", "compare_tensor", "load"]


@dataclass(frozen=True, eq=False)
class Tensor:
    """A quantized ONNX tensor: the IR node that holds its integers, and real = scale * q + offset."""

    name: str
    node: str
    scale: NDArray[np.float64]
    offset: NDArray[np.float64]

    def real(self, q: Array) -> NDArray[np.float64]:
        """The reals of a batch of the node's integers."""
        return np.asarray(self.scale * q + self.offset)


@dataclass(frozen=True, eq=False)
class Model:
    """`input_shape` is one sample's; `batch` is how many samples `pre` and `post` take at once.

    `pre` maps the user's input to the integers of `graph.input`, `post` the integers of `graph.output` (as float64) to
    the user's outputs. Both hold plain ONNX operators only and must run without graph optimizations. `tensors` has
    every quantized ONNX tensor, by its name. `grid` is the input's, where the graph does not quantize it.
    `imported` is the graph before the passes: it computes every tensor of `tensors`. `ends` says how its input and
    output are ordered in `graph`.
    `elementwise` names the outputs that are elementwise functions of the hardware's output.
    `pre_nodes` and `post_nodes` are the ONNX nodes that the host runs: name and operator.
    """

    graph: Graph
    imported: Graph
    ends: Ends
    pre: onnx.ModelProto
    post: onnx.ModelProto
    input_name: str
    input_shape: tuple[int, ...]
    input_dtype: np.dtype[Any]
    output_names: tuple[str, ...]
    input: Tensor
    output: Tensor
    tensors: Mapping[str, Tensor]
    batch: int
    batched: bool
    grid: Grid | None
    elementwise: frozenset[str]
    pre_nodes: tuple[tuple[str, str], ...]
    post_nodes: tuple[tuple[str, str], ...]

    def encode(self, inputs: Anything) -> Array:
        """The integers of `graph.input` for the user's samples [n, *input_shape]; DataError if these are wrong."""
        x = self._checked(np.asarray(inputs))
        (q,) = self._chunked(self._pre, x, self.graph.input.type.shape)
        if self.grid is not None:
            self._check_grid(x, self.ends.unmoved_input(q))
        return q.astype(np.int64)

    def trace_imported(self, inputs: Anything) -> dict[str, Array]:
        """The integers of every node of `imported` for the user's samples."""
        return self.imported.trace(self.ends.unmoved_input(self.encode(inputs)))

    def arranged(self, q: Array) -> Array:
        """The integers of `imported.output` as `graph.output` orders them."""
        return self.ends.moved_output(q)

    def decode(self, q: Array) -> dict[str, Anything]:
        """The user's outputs by name, for the integers [n, *shape] of `graph.output`."""
        shape = self.graph[self.graph.output].type.shape
        if q.shape[1:] != shape:
            raise DataError(f"the output's integers must have shape {shape} a sample, not {q.shape[1:]}")
        return self.decode_real(np.asarray(q, np.float64))

    def decode_real(self, q: NDArray[np.float64]) -> dict[str, Anything]:
        """As `decode`, for values between the integers too: what comparisons with a float reference need."""
        return dict(zip(self.output_names, self._chunked(self._post, q, None), strict=True))

    @cached_property
    def digest(self) -> str:
        """A hash of all that the hardware and the host compute."""
        state = hashlib.sha256()
        for node in self.graph:
            state.update(type(node).__name__.encode())
            for item in fields(node):
                value = getattr(node, item.name)
                state.update(
                    value.tobytes() + repr(value.shape).encode() if hasattr(value, "tobytes") else repr(value).encode()
                )
        for part in (self.pre, self.post):
            state.update(part.SerializeToString(deterministic=True))
        return state.hexdigest()

    @cached_property
    def _pre(self) -> Any:
        return session(self.pre)

    @cached_property
    def _post(self) -> Any:
        return session(self.post)

    def _checked(self, x: Anything) -> Anything:
        what = f"the input '{self.input_name}'"
        if x.dtype.kind not in "biuf":
            raise DataError(f"{what} must hold numbers ({self.input_dtype}), not {x.dtype}")
        if x.shape[1:] == (1, *self.input_shape) and self.batched and self.batch == 1:
            x = x[:, 0]  # samples that carry the model's own batch axis of 1
        if x.ndim == 0 or x.shape[1:] != self.input_shape:
            wanted = ", ".join(["samples", *map(str, self.input_shape)])
            raise DataError(f"{what} must have the shape [{wanted}], not {list(x.shape)}")
        if not np.isfinite(x).all():
            sample = int(np.argwhere(~np.isfinite(x))[0][0])
            raise DataError(f"{what} must be finite, sample {sample} holds NaN or infinity")
        with np.errstate(all="ignore"):
            cast = x.astype(self.input_dtype)
        if x.dtype.kind != "f" or self.input_dtype.kind != "f":
            if (cast != x).any():
                raise DataError(f"{what} must hold values of type {self.input_dtype}, found others in {x.dtype}")
        elif not np.isfinite(cast).all():
            raise DataError(f"{what} must hold values in the range of {self.input_dtype}")
        return cast

    def _check_grid(self, x: Anything, q: Array) -> None:
        assert self.grid is not None
        real = np.asarray(q * self.grid.scale + self.grid.offset)
        wrong = (q < self.grid.lo) | (q > self.grid.hi) | (real.astype(x.dtype) != x.reshape(real.shape))
        if wrong.any():
            place = tuple(int(index) for index in np.argwhere(wrong)[0])
            raise DataError(
                f"the input '{self.input_name}' must lie on its grid (multiples of {self.grid.scale:g} from "
                f"{self.grid.lo * self.grid.scale + self.grid.offset:g} to "
                f"{self.grid.hi * self.grid.scale + self.grid.offset:g}), sample {place[0]} holds "
                f"{x.reshape(real.shape)[place]:g} at {place[1:]}. Round the samples, or name another grid with --input"
            )

    def _chunked(self, run: Any, x: Anything, shape: tuple[int, ...] | None) -> list[Anything]:
        """Runs a host model on as many samples at a time as it takes; results are [n, *shape] if shape is given."""
        name, results = run.get_inputs()[0].name, list[list[Anything]]()
        filled = np.concatenate([x, np.repeat(x[-1:], -len(x) % self.batch, axis=0)])
        for start in range(0, len(filled), self.batch):
            chunk = filled[start : start + self.batch]
            try:
                results.append(run.run(None, {name: chunk.reshape(run.get_inputs()[0].shape)}))
            except Exception as error:  # onnxruntime's exceptions have no common type
                reason = str(error).splitlines()[0]
                raise ModelError(f"the host's share fails in onnxruntime: {reason}. Check the model in it") from error
        if not results:
            raise DataError("there must be at least one sample, found none")
        joined = []
        for parts in zip(*results, strict=True):
            if shape is not None:
                joined.append(np.concatenate([part.reshape(self.batch, *shape) for part in parts])[: len(x)])
            elif self.batched and parts[0].ndim and len(parts[0]) == self.batch:
                joined.append(np.concatenate(parts)[: len(x)])
            else:
                joined.append(np.stack(parts))
        return joined


def load(path: str | Path, input_grid: str | None = None) -> Model:
    """Imports an ONNX file. `input_grid` names the grid of an input that the graph does not quantize (see `grid`).

    ModelError if the file is no valid model, ImportRefused with all refusals if it holds what cannot be imported,
    OptionError if the grid is none.
    """
    source = read(path)
    state = interpreted(source, grids.parse(input_grid) if input_grid is not None else source.annotation)
    if state.refusals:
        raise ImportRefused(state.refusals)
    model = assemble(source, state)
    for name, part in (("before", "_pre"), ("after", "_post")):
        try:
            getattr(model, part)
        except Exception as error:  # onnxruntime's exceptions have no common type
            reason = str(error).splitlines()[0]
            raise ModelError(f"the host's share {name} the hardware cannot run in onnxruntime: {reason}") from error
    for output in model._post.get_outputs():
        if output.type not in NUMPY_TYPES:
            raise ModelError(
                f"the output '{output.name}' must be of a type that NumPy has, not {output.type}. Cast it in the model"
            )
    return model


def interpreted(source: Source, grid: Grid | None) -> Import:
    """Axis 0 is the batch where the input has two or more axes. If it is fixed, and the network mixes its elements, or
    makes other tensors whose axis 0 is none, the whole input is one sample."""
    first = source.dims[0] or 1 if len(source.dims) > 1 else 0
    state = interpret(source, first, grid)
    if state.refusals and first and source.dims[0] is not None:
        state.values = {
            name: value for name, value in state.values.items() if not isinstance(value, Constant)
        }  # memory
        whole = interpret(source, 0, grid)
        state = state if whole.refusals else whole
    if state.refusals and not source.quantizes and grid is None:
        raise ModelError(
            "this is a float-only model: no operator in it quantizes anything. Quantize it with lutwright quantize and "
            "some samples, or train it with quantization, for example in Brevitas or QKeras"
        )
    return state


def assemble(source: Source, state: Import) -> Model:
    """The Model of an import without refusals."""
    entry, cuts = state.entry, host.hardware_outputs(source, state)
    if entry is None:
        raise ModelError(f"nothing in the model quantizes its input '{source.input}'. {FROM_INPUT}")
    if cuts is None:
        raise ModelError(
            "the outputs must all follow from integer tensors that depend on the input. "
            "Quantize the input, and keep outputs that depend on it"
        )
    sources = list[Quantized]()
    for cut in cuts:
        value = host.hardware_value(state, cut)
        assert value is not None
        sources += [item for item in value.sources if not any(item is other for other in sources)]
    last = sources[0] if len(sources) == 1 else host.joined(state, sources)
    imported = drop_dead(verify(Graph(tuple(state.nodes), last.node.name)))
    graph, ends = give_moves_to_host(run_passes(imported))
    shape = source.shape(state.batch)
    pre, pre_nodes = host.pre(source, state, entry, ends.input)
    post, post_nodes = host.post(source, state, cuts, sources, ends)
    return Model(
        graph=graph,
        imported=imported,
        ends=ends,
        pre=pre,
        post=post,
        input_name=source.input,
        input_shape=shape[1:] if state.batch else shape,
        input_dtype=source.dtype,
        output_names=source.outputs,
        input=replace(tensor(entry.tensor, entry.value), node=graph.input.name),
        output=_moved(tensor(", ".join(cuts), last), last.sample_shape, ends, graph),
        tensors={
            name: tensor(name, value)
            for name, value in state.values.items()
            if isinstance(value, Quantized) and value.node.name in imported.by_name
        },
        batch=state.batch or 1,
        batched=state.batch > 0,
        grid=state.grid,
        elementwise=frozenset(name for name in source.outputs if _only_of(host.hardware_value(state, name), last)),
        pre_nodes=tuple((node.name, node.op_type) for node in pre_nodes),
        post_nodes=tuple((node.name, node.op_type) for node in post_nodes),
    )


def _only_of(value: Pending | None, source: Quantized) -> bool:
    return value is not None and all(item is source for item in value.sources)


def _moved(output: Tensor, shape: tuple[int, ...], ends: Ends, graph: Graph) -> Tensor:
    """The hardware's output tensor, its scale and offset in the hardware's order."""
    if not ends.output:
        return replace(output, node=graph.output)
    scale, offset = (
        reduced(ends.moved_output(np.broadcast_to(part, shape)[np.newaxis])[0])
        for part in (output.scale, output.offset)
    )
    return Tensor(output.name, graph.output, scale, offset)


def tensor(name: str, value: Quantized) -> Tensor:
    """The ONNX tensor of that name, without the batch axis."""
    scale, offset = (
        part[0] if value.batched and part.ndim == len(value.shape) else part for part in (value.scale, value.offset)
    )
    return Tensor(name, value.node.name, np.asarray(scale), np.asarray(offset))
