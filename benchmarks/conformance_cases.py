"""ONNX's own operator cases as networks with one activation input.

A case becomes several networks. `alone` is the case's operator with its first input as the activations; the variants
quantize its output, put it between quantizers, or make its operands from one activation tensor.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import onnx
from conformance_check import Network
from conformance_check import executor as runner
from conformance_forms import QDQ, at_opset, indexed, joined, quantized, requantized
from conformance_samples import Array, Samples, eighths, finite, samples
from onnx import numpy_helper

from lutwright.frontend.onnx_import import interpreter  # noqa: F401  (fills OPERATORS)
from lutwright.frontend.onnx_import.state import OPERATORS

QUANTIZERS = "QuantizeLinear DequantizeLinear DynamicQuantizeLinear QLinearConv QLinearMatMul MatMulInteger ConvInteger"
LINEAR = "Conv ConvTranspose Gemm MatMul LSTM GRU RNN Einsum"
WINDOWS = "MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool ReduceMean ReduceMax ReduceMin ReduceSum"
MOVES = (
    "Concat Split Slice Pad Resize Upsample DepthToSpace SpaceToDepth Transpose Reshape Flatten Squeeze Unsqueeze "
    "Expand Tile Gather Identity Dropout"
)
TWO = "Add Sub Mul Div Pow Min Max Sum Mean Where PRelu Equal Greater GreaterOrEqual Less LessOrEqual And Or Xor"
FUNCTIONS = (
    "BatchNormalization Neg Abs Sign Relu LeakyRelu Clip HardSigmoid HardSwish Sigmoid Tanh Elu Selu Celu Gelu Mish "
    "Softplus Softsign ThresholdedRelu Erf Exp Log Sqrt Reciprocal Round Floor Ceil Cast Softmax LogSoftmax Hardmax "
    "ArgMax ArgMin TopK"
)
NAMED = frozenset(" ".join((QUANTIZERS, LINEAR, WINDOWS, MOVES, TWO, FUNCTIONS)).split())
WEIGHTED = frozenset(LINEAR.split())
BOTH = frozenset(TWO.split()) | {"MatMul", "Gemm", "Concat"}
SECOND = frozenset(TWO.split()) | {"MatMul", "Gather"}
SHAPED = frozenset(MOVES.split()) - {"Concat", "Gather"}  # their second operand says how to move the first
BETWEEN = WEIGHTED | BOTH | frozenset((WINDOWS + " " + MOVES).split()) - {"Identity", "Dropout", "Einsum"}
UNDEFINED = {"Div", "Mod"}  # of integers by 0


class Case:
    """A case of onnx.backend.test: its model, its inputs and outputs as arrays, and which executor reproduces them."""

    def __init__(self, case: Any, operator: str) -> None:
        self.name, self.operator, self.model = case.name.removeprefix("test_"), operator, case.model
        self.tolerance = {"rtol": case.rtol, "atol": case.atol}
        (inputs, outputs), *_ = case.data_sets
        self.inputs, self.outputs = [_array(item) for item in inputs], [_array(item) for item in outputs]

    @property
    def tensors(self) -> bool:
        """Whether all inputs are tensors, and there are some."""
        return bool(self.inputs) and all(item is not None for item in self.inputs)

    def network(
        self, variant: str, model: onnx.ModelProto, grid: str | None, inputs: Sequence[Array], fused: bool = False
    ) -> Network:
        return Network(self.operator, self.name, variant, model, grid, inputs, fused, self.only)

    @property
    def only(self) -> str | None:
        """The executor that networks of this case must use: onnx where onnxruntime computes something else."""
        return "onnx" if self.executor.startswith("onnx:") else None

    @cached_property
    def executor(self) -> str:
        """The executor that reproduces the case's stored outputs within its own tolerance: onnxruntime before onnx."""
        if not self.tensors:
            return "none: its inputs are no tensors"
        reasons = []
        for name in ("onnxruntime", "onnx"):
            try:
                outputs = runner(self.model, only=name)(self.inputs)
            except Exception:  # executors raise all kinds
                continue
            try:
                for found, wanted in zip(outputs, self.outputs, strict=True):
                    if wanted is not None:
                        _assert_close(np.asarray(found), wanted, self.tolerance)
                return f"{name}: {reasons[0]}" if reasons else name
            except AssertionError:
                reasons.append(f"{name} computes something else")
        return f"none: {', '.join(reasons) or 'no executor runs it'}"


def collect() -> tuple[list[Case], dict[str, int]]:
    """The cases of the supported families and of what the import registers, and the other operators with their counts.

    A case of a function's body ("_expanded") belongs to the function.
    """
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        found = collect_testcases(None)
    wanted = NAMED | {name for domain, name in OPERATORS if domain == ""}
    by_name, cases, others = {case.name: case for case in found}, list[Case](), dict[str, int]()
    for case in found:
        base = by_name.get(case.name.split("_expanded")[0], case)
        kinds = {node.op_type for node in base.model.graph.node}
        (operator,) = kinds if len(kinds) == 1 else ("several",)
        if operator in wanted:
            cases.append(Case(case, operator))
        else:
            others[operator] = others.get(operator, 0) + 1
    return cases, others


def networks(case: Case) -> Iterator[Network]:
    """All networks of a case, `alone` first."""
    if not case.tensors:
        yield case.network("alone", case.model, None, case.inputs)
        return
    own = case.operator in {node.op_type for node in case.model.graph.node}
    held = _samples(case, case.model, 0)
    yield from _alone(case, 0, held, "alone")
    for output in range(1, len(case.model.graph.output)):
        model = indexed(case.model, _constants(case), 0, output)
        yield case.network(f"output {output}", model, held.grid, held.inputs)
    if held.grid is not None:
        yield case.network("no grid", indexed(case.model, _constants(case), 0), None, held.inputs)
    plain = at_opset(case.model)
    if own and case.operator in SECOND and len(case.inputs) > 1 and not (_whole(case) and case.operator in UNDEFINED):
        yield from _alone(case, 1, _samples(case, case.model, 1), "second operand")
    if own and case.operator in SHAPED and len(case.inputs) > 1 and case.inputs[1].size:
        moves = samples(case.inputs[1], case.name)
        model = indexed(case.model, _constants(case), 1)
        yield case.network("second operand", model, moves.grid, moves.inputs[:1])
    if plain is None or not own:
        return
    if case.operator in BETWEEN and case.inputs[0].dtype == np.float32 and case.inputs[0].size:
        yield from _between(case, plain, held)
    operands = _operands(case)
    if len(operands) > 1:
        yield from _joined(case, plain, operands)


def _alone(case: Case, index: int, held: Samples, variant: str) -> Iterator[Network]:
    """The operator on activations from a grid, and the same with its output quantized again."""
    yield case.network(variant, indexed(case.model, _constants(case), index), held.grid, held.inputs)
    plain = at_opset(case.model)
    if plain is not None and case.operator not in QUANTIZERS.split():
        model = requantized(indexed(plain, _constants(case), index), held.inputs)
        if model is not None:
            yield case.network(f"{variant} quantized", model, held.grid, held.inputs)


def _between(case: Case, plain: onnx.ModelProto, held: Samples) -> Iterator[Network]:
    """The operator in QDQ form: activations, weights and output through QuantizeLinear and DequantizeLinear."""
    linear = case.operator in WEIGHTED
    for per_axis in (False, True) if case.operator in ("Conv", "ConvTranspose") else (False,):
        base = indexed(plain, _constants(case), 0)
        node = next(node for node in base.graph.node if node.op_type == case.operator)
        weights = list(node.input[1:2]) if linear else list(node.input[1:]) if case.operator in BOTH else []
        axis = None if not per_axis else 1 if case.operator == "ConvTranspose" else 0
        between = quantized(base, held.inputs, weights, node.input[2:3] if linear else [], axis)
        model = requantized(between, held.inputs) if between is not None else None
        if model is not None:
            variant = "QDQ per axis" if per_axis else "QDQ"
            yield case.network(variant, model, None, held.inputs, fused=True)


def _joined(case: Case, plain: onnx.ModelProto, operands: list[int]) -> Iterator[Network]:
    """Operands that are all made from one activation tensor, on its grid, or through quantizers of unequal scales."""
    together = np.concatenate([case.inputs[index].ravel() for index in operands])[np.newaxis]
    held = samples(together, case.name)
    shapes = [case.inputs[index].shape for index in operands]
    model = joined(plain, _constants(case), operands, shapes, None)
    yield case.network("two activations", model, held.grid, held.inputs)
    closed = requantized(model, held.inputs)
    if closed is not None:
        yield case.network("two activations quantized", closed, held.grid, held.inputs)
    if together.dtype == np.float32:
        model = joined(plain, _constants(case), operands, shapes, QDQ)
        closed = requantized(model, held.inputs)
        if closed is not None:
            yield case.network("two activations QDQ", closed, held.grid, held.inputs, fused=True)


def _operands(case: Case) -> list[int]:
    """The inputs that may be activations together: of one type, and not the divisor of an integer division."""
    if case.operator not in BOTH or (_whole(case) and case.operator in UNDEFINED):
        return []
    first = 1 if case.operator == "Where" else 0
    found = [index for index in range(first, len(case.inputs)) if case.inputs[index].size]
    dtypes = {case.inputs[index].dtype for index in found}
    return found if len(dtypes) == 1 and dtypes.pop().kind not in "OUS" else []


def _whole(case: Case) -> bool:
    return case.inputs[0].dtype.kind in "iu"


def _constants(case: Case) -> list[Array]:
    """What the inputs hold where they are constants."""
    weighted = case.operator in WEIGHTED
    return [eighths(item) if weighted and item.dtype.kind == "f" else item for item in case.inputs]


def _samples(case: Case, model: onnx.ModelProto, index: int) -> Samples:
    """Inputs for one of the case's operands, chosen so that the operator has finite values."""
    data = case.inputs[index]
    most = None
    if case.operator == "Gather" and index == 1:
        node = case.model.graph.node[0]
        axis = next((item.i for item in node.attribute if item.name == "axis"), 0)
        most = case.inputs[0].shape[axis]
    run = runner(indexed(model, _constants(case), index))
    return finite(samples(data, case.name, most), lambda x: _first(run, x))


def _first(run: Callable[[list[Array]], Any], x: Array) -> Array:
    try:
        return np.asarray(run([x])[0])
    except Exception:  # then the network has no reference, and says so
        return np.zeros(0)


def _array(item: Any) -> Any:
    """An input as an array; None if it is a sequence or absent."""
    if isinstance(item, onnx.TensorProto):
        return numpy_helper.to_array(item)
    return None if isinstance(item, list) or item is None else np.asarray(item)


def _assert_close(found: Array, wanted: Array, tolerance: dict[str, float]) -> None:
    assert found.shape == wanted.shape, f"shape {found.shape}, not {wanted.shape}"
    if wanted.dtype.kind in "OUS":
        assert (found.astype(str) == wanted.astype(str)).all()
    else:
        np.testing.assert_allclose(found.astype(np.float64), wanted.astype(np.float64), **tolerance)
