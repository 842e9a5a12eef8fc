"""Elementwise operators: on a Quantized they make or extend a Pending expression.

BatchNormalization becomes Mul and Add with constants. onnxruntime computes, in float32 and without fused operations,
inv = 1 / sqrt(var + epsilon), a = scale * inv, b = bias - mean * a, y = x * a + b; the tests hold this to be so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from lutwright.frontend.onnx_import.state import Import, Refused, attribute, constant, operator
from lutwright.frontend.onnx_import.values import (
    VARIABLE,
    Anything,
    Apply,
    Constant,
    Expression,
    Pending,
    Quantized,
    Real,
    Value,
    Variable,
)

ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Neg", "Identity", "Cast")
STEPS = ("Abs", "Sign", "Ceil", "Floor", "Round", "Clip", "Min", "Max", "Mod", "Where")
LOGIC = ("And", "Or", "Not", "Xor", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "BitShift")
POWERS = ("Pow", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Sum", "Mean")
ANGLES = ("Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Acosh", "Atanh")
RECTIFIERS = ("Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "Shrink")
SIGMOIDS = ("Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Softplus", "Softsign")
MONOTONE = {"Ceil", "Clip", "Floor", "Identity", "Max", "Min", "Neg", "Relu", "Round", "Sign"}  # for constant bounds
MONOTONE |= {"Add", "Sub", "Mul", "Div", "Cast"}  # where the variable is not the divisor


@operator(*ARITHMETIC, *STEPS, *LOGIC, *POWERS, *ANGLES, *RECTIFIERS, *SIGMOIDS)
def elementwise(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    """The node applied to one Quantized or Pending (perhaps used several times) and constants."""
    shapes = [value.shape for value in inputs if isinstance(value, (Constant, Quantized, Pending))]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise Refused(f"its inputs of shapes {shapes} do not fit each other", "Check the model's constants") from None
    variables: list[Value | None] = []
    for value in inputs:
        if isinstance(value, (Quantized, Pending)) and value.shape != shape:
            if np.prod(value.shape) != np.prod(shape):
                raise Refused(
                    f"it spreads a tensor of shape {value.shape} over {shape}",
                    "Use constants that do not enlarge the activations",
                )
            value = state.reshape(value, shape, f"{node.name}_reshape")
        variables.append(value)
    sources = [v.source if isinstance(v, Pending) else v for v in variables if isinstance(v, (Quantized, Pending))]
    if any(source.node is not sources[0].node for source in sources):
        raise Refused("it combines two activations, which is not supported yet", "Use a network without branches")
    arguments: list[Variable | Apply | Anything | None] = []
    for value in variables:
        if isinstance(value, Constant):
            arguments.append(value.array)
        elif isinstance(value, Pending):
            arguments.append(value.expression)
        else:
            arguments.append(VARIABLE if value is not None else None)
    return [Pending(sources[0], Apply(node, tuple(arguments)))]


@operator("BatchNormalization")
def batch_normalization(state: Import, node: onnx.NodeProto, inputs: list[Value | None]) -> Sequence[Value]:
    x, *parameters = inputs
    if attribute(node, "training_mode", 0):
        raise Refused("it is in training mode", "Export the model in evaluation mode")
    gamma, beta, mean, variance = (
        constant(value, what) for value, what in zip(parameters, ("scale", "bias", "mean", "variance"), strict=True)
    )
    assert isinstance(x, (Quantized, Pending))
    if len(x.shape) < 2 or any(part.shape != x.shape[1:2] for part in (gamma, beta, mean, variance)):
        raise Refused(
            f"it has {gamma.size} channels, its input of shape {x.shape} has others on axis 1",
            "Give it an input with the channels on axis 1",
        )
    factor = gamma * (np.float32(1) / np.sqrt(variance + np.float32(attribute(node, "epsilon", 1e-5))))
    term = beta - mean * factor
    column = (gamma.size, *(1,) * (len(x.shape) - 2))
    multiply, add = (helper.make_node(kind, ["x", "a"], ["y"], name=node.name) for kind in ("Mul", "Add"))
    scaled = elementwise(state, multiply, [x, Constant(factor.reshape(column))])
    return elementwise(state, add, [*scaled, Constant(term.reshape(column))])


def evaluate(state: Import, expression: Expression, real: Anything) -> Anything:
    """The expression's value where the variable is `real`."""
    memo: dict[int, Anything] = {}

    def visit(item: Variable | Apply | Anything | None) -> Anything | None:
        if isinstance(item, Variable):
            return real
        if not isinstance(item, Apply):
            return item
        if id(item) not in memo:
            memo[id(item)] = state.execute(item.operator, [visit(argument) for argument in item.arguments])[0]
        return memo[id(item)]

    result = visit(expression)
    assert result is not None
    return result


def monotone(expression: Expression) -> bool:
    """Whether the expression is certainly monotone, rounding included, on each channel."""
    while isinstance(expression, Apply):
        variable = [index for index, item in enumerate(expression.arguments) if isinstance(item, (Variable, Apply))]
        kind = expression.operator.op_type
        leaky = kind == "LeakyRelu" and attribute(expression.operator, "alpha", 0.01) >= 0
        if len(variable) != 1 or not (kind in MONOTONE or leaky) or (kind == "Div" and variable != [0]):
            return False
        if kind == "Clip" and variable != [0]:
            return False
        inner = expression.arguments[variable[0]]
        assert isinstance(inner, (Variable, Apply))
        expression = inner
    return True


def affine(source: Quantized, expression: Expression) -> tuple[Real, Real] | None:
    """Scale and offset of an expression that is affine in the source's integers; None if it is not."""
    if isinstance(expression, Variable):
        return source.scale, source.offset
    kind = expression.operator.op_type
    first = expression.arguments[0]
    second = expression.arguments[1] if len(expression.arguments) > 1 else None
    if kind in ("Identity", "Neg", "Cast") and isinstance(first, (Variable, Apply)):
        inner = affine(source, first)
        if inner is None or (kind == "Cast" and attribute(expression.operator, "to", 0) not in FLOATS):
            return None
        return (-inner[0], -inner[1]) if kind == "Neg" else inner
    if kind not in ("Add", "Sub", "Mul", "Div"):
        return None
    swapped = isinstance(first, np.ndarray)
    variable, other = (second, first) if swapped else (first, second)
    if not isinstance(variable, (Variable, Apply)) or not isinstance(other, np.ndarray) or (swapped and kind == "Div"):
        return None
    inner = affine(source, variable)
    if inner is None:
        return None
    scale, offset = inner
    number = other.astype(np.float64)
    if kind == "Add":
        return scale, np.asarray(offset + number)
    if kind == "Sub":
        return (-scale, np.asarray(number - offset)) if swapped else (scale, np.asarray(offset - number))
    if kind == "Mul":
        return np.asarray(scale * number), np.asarray(offset * number)
    return np.asarray(scale / number), np.asarray(offset / number)


FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE)
