"""Elementwise operators: on a Quantized they make or extend a Pending expression.

BatchNormalization becomes Mul and Add with constants. onnxruntime computes, in float32 and without fused operations,
inv = 1 / sqrt(var + epsilon), a = scale * inv, b = bias - mean * a, y = x * a + b; the tests hold this to be so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from lutwright.frontend.onnx_import import joint, ranges
from lutwright.frontend.onnx_import.state import Import, Refused, activation, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    Anything,
    Apply,
    Constant,
    Expression,
    Pending,
    Quantized,
    Value,
    Variable,
    map_constants,
    pending,
)

DEEPEST = 100  # operators within each other; expressions are walked by recursion
MOST_OPERATORS = 2**12  # of an expression
ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Neg", "Cast")
STEPS = ("Abs", "Sign", "Ceil", "Floor", "Round", "Clip", "Min", "Max", "Mod", "Where")
LOGIC = ("And", "Or", "Not", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "BitShift")
POWERS = ("Pow", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Sum", "Mean")
ANGLES = ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh")
RECTIFIERS = ("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "Shrink")
SIGMOIDS = ("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Softplus", "Softsign")


@operator(*ARITHMETIC, *STEPS, *LOGIC, *POWERS, *ANGLES, *RECTIFIERS, *SIGMOIDS)
def elementwise(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The node applied to activations and constants. Activations that are too wide for a table become one at once."""
    shapes = [value.shape for value in inputs if isinstance(value, (Constant, Quantized, Pending))]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise Refused(
            f"its inputs of shapes {shapes} do not fit each other",
            "Look for NaN, infinity or wrong shapes in its constants, and export the model again",
        ) from None
    sources: list[Quantized] = []
    arguments: list[Variable | Apply | Anything | None] = []
    for value in inputs:
        if isinstance(value, Constant):
            arguments.append(value.array)
        elif isinstance(value, (Quantized, Pending)):
            same_size = np.prod(value.shape) == np.prod(shape)
            spread = (state.reshape if same_size else state.broadcast)(value, shape, f"{node.name}_broadcast")
            arguments.append(_adopted(pending(spread), sources))
        else:
            arguments.append(None)
    expression = Apply(node, tuple(arguments))
    if expression.depth > DEEPEST or expression.size > MOST_OPERATORS:
        raise Refused(
            f"the activations go through more than {DEEPEST} operators in turn, or {MOST_OPERATORS} in all, "
            "without being quantized",
            "Quantize them in between",
        )
    ranges.check(sources, expression)
    result = Pending(tuple(sources), expression)
    if len(sources) > 1 and joint.combinations(result) > joint.MOST_COMBINATIONS:
        return [joint.combined(state, node.name, result)]
    return [result]


def _adopted(value: Pending, sources: list[Quantized]) -> Expression:
    """The value's expression in terms of `sources`, to which its own are added where they are new."""
    index = list[int]()
    for source in value.sources:
        known = (place for place, other in enumerate(sources) if _same(source, other))
        index.append(next(known, len(sources)))
        if index[-1] == len(sources):
            sources.append(source)
    if index == list(range(len(index))):
        return value.expression  # the same object, so that what several arguments share is evaluated once
    return map_constants(value.expression, lambda array: array, lambda variable: Variable(index[variable.index]))


def _same(left: Quantized, right: Quantized) -> bool:
    if left.node is not right.node:
        return False
    return np.array_equal(left.scale, right.scale) and np.array_equal(left.offset, right.offset)


@operator("BatchNormalization")
def batch_normalization(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, *parameters = inputs
    if attribute(node, "training_mode", 0):
        raise Refused("it is in training mode", "Export the model in evaluation mode")
    gamma, beta, mean, variance = (
        constant(value, what) for value, what in zip(parameters, ("scale", "bias", "mean", "variance"), strict=True)
    )
    x = activation(x)
    if len(x.shape) < 2 or any(part.shape != x.shape[1:2] for part in (gamma, beta, mean, variance)):
        raise Refused(
            f"it has {gamma.size} channels, its input of shape {x.shape} has others on axis 1",
            "Give it an input with the channels on axis 1",
        )
    with np.errstate(all="ignore"):
        factor = gamma * (np.float32(1) / np.sqrt(variance + np.float32(attribute(node, "epsilon", 1e-5))))
        term = beta - mean * factor
    if not (np.isfinite(factor).all() and np.isfinite(term).all()):
        raise Refused("its parameters give factors that are not finite", "Check the training and the export")
    column = (gamma.size, *(1,) * (len(x.shape) - 2))
    multiply, add = (helper.make_node(kind, ["x", "a"], ["y"], name=node.name) for kind in ("Mul", "Add"))
    scaled = elementwise(state, multiply, [x, Constant(factor.reshape(column))])
    return elementwise(state, add, [*scaled, Constant(term.reshape(column))])
