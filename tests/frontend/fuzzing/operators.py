"""Mutators that insert an operator with hostile arguments: huge results, extreme shapes, other kinds of values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from .registry import constant, insert, mutator, pick, values
from .tensors import SIZES


def sizes(rng: np.random.Generator, count: int) -> list[int]:
    """Mostly small with an extreme one among them."""
    found = [int(pick(rng, [1, 1, 2, 3, -1, 0])) for _ in range(count)]
    if count:
        found[int(rng.integers(count))] = int(pick(rng, [*SIZES, 2**20, 2**28, 2**30]))
    return found


def inserted(
    rng: np.random.Generator,
    model: onnx.ModelProto,
    kind: str,
    tensor: str,
    others: Sequence[str] = (),
    **given: object,
) -> None:
    insert(rng, model, helper.make_node(kind, [tensor, *others], ["inserted"], **given), tensor)


@mutator
def insert_reshape(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    shape = constant(model, "fuzz_shape", sizes(rng, int(rng.integers(0, 5))))
    inserted(rng, model, pick(rng, ["Reshape", "Expand"]), pick(rng, values(model)), [shape])


@mutator
def insert_axes(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    axes = sizes(rng, int(rng.integers(1, 3)))
    kind = pick(rng, ["Squeeze", "Unsqueeze", "ReduceSum", "ReduceMean"])
    if rng.random() < 0.5:
        inserted(rng, model, kind, pick(rng, values(model)), [constant(model, "fuzz_axes", axes)])
    else:
        inserted(rng, model, kind, pick(rng, values(model)), axes=axes)


@mutator
def insert_spread(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Tile, Pad, Resize, Concat of many: results much larger than their operands."""
    tensor, rank = pick(rng, values(model)), int(rng.integers(0, 5))
    kind = int(rng.integers(5))
    if kind == 0:
        inserted(rng, model, "Tile", tensor, [constant(model, "fuzz_repeats", sizes(rng, rank))])
    elif kind == 1:
        inserted(rng, model, "Pad", tensor, [constant(model, "fuzz_pads", sizes(rng, 2 * rank))])
    elif kind == 2:
        scales = constant(model, "fuzz_scales", np.abs(np.array(sizes(rng, rank), np.float64)), np.float32)
        inserted(rng, model, "Resize", tensor, ["", scales], mode=pick(rng, ["nearest", "linear", "x"]))
    elif kind == 3:
        inserted(
            rng, model, "Concat", tensor, [tensor] * int(rng.choice([1, 100, 5000])), axis=int(rng.integers(-3, 4))
        )
    else:
        inserted(rng, model, "DepthToSpace", tensor, blocksize=int(pick(rng, SIZES)))


@mutator
def insert_generator(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A constant of a declared size, added to a tensor."""
    kind, name = int(rng.integers(7)), "fuzz_made"
    if kind == 0:
        made = helper.make_node("ConstantOfShape", [constant(model, "fuzz_sizes", sizes(rng, 3))], [name])
    elif kind == 1:
        ends = [constant(model, f"fuzz_end{i}", pick(rng, [*SIZES, 2**28])) for i in range(2)]
        made = helper.make_node("Range", [*ends, constant(model, "fuzz_step", pick(rng, [0, 1, -1]))], [name])
    elif kind == 2:
        made = helper.make_node("RandomNormal", [], [name], shape=sizes(rng, 3))
    elif kind == 3:
        made = helper.make_node("EyeLike", [pick(rng, values(model))], [name], k=int(pick(rng, SIZES)))
    elif kind == 4:
        made = helper.make_node("HannWindow", [constant(model, "fuzz_size", pick(rng, [*SIZES, 2**28]))], [name])
    elif kind == 5:
        depth = constant(model, "fuzz_depth", pick(rng, [*SIZES, 2**28]))
        made = helper.make_node(
            "OneHot", [constant(model, "fuzz_index", [0, 1]), depth, constant(model, "fuzz_on", [0, 1])], [name]
        )
    else:
        column, row = (constant(model, f"fuzz_{axis}", np.ones(shape), np.float32) for axis, shape in
                       (("column", (60_000, 1)), ("row", (1, 60_000))))  # fmt: skip
        made = helper.make_node(pick(rng, ["Add", "MatMul"]), [column, row], [name])
    model.graph.node.insert(0, made)
    inserted(rng, model, pick(rng, ["Add", "Mul", "MatMul", "Concat"]), pick(rng, values(model)), [name])


@mutator
def insert_chain_of_spreads(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Many constants of a size that is harmless once."""
    size = constant(model, "fuzz_sizes", [int(rng.choice([1000, 4000])), int(rng.choice([1000, 4000]))])
    names = [f"fuzz_made{index}" for index in range(int(rng.choice([10, 100])))]
    for name in names:
        model.graph.node.insert(0, helper.make_node("ConstantOfShape", [size], [name]))
    inserted(rng, model, "Add", pick(rng, values(model)), [names[-1]])


@mutator
def insert_other_kind(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Sequences, optionals, strings, complex numbers and minifloats in between."""
    tensor, kind = pick(rng, values(model)), int(rng.integers(6))
    if kind == 0:
        inserted(rng, model, "SequenceConstruct", tensor)
    elif kind == 1:
        inserted(rng, model, "Optional", tensor)
    elif kind == 2:
        inserted(rng, model, "Cast", tensor, to=int(pick(rng, [*range(-1, 28), 2**40])))
    elif kind == 3:
        inserted(rng, model, "SplitToSequence", tensor)
    elif kind == 4:
        inserted(rng, model, pick(rng, ["Split", "Dropout", "TopK", "MaxPool", "Unique", "NonZero", "Shape"]), tensor)
    else:
        inserted(rng, model, "OptionalGetElement", tensor)


@mutator
def insert_gather(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    index = constant(model, "fuzz_index", sizes(rng, int(rng.integers(0, 3))))
    inserted(rng, model, pick(rng, ["Gather", "GatherElements", "GatherND"]), pick(rng, values(model)), [index])


@mutator
def insert_slice(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    parts = [constant(model, f"fuzz_{name}", sizes(rng, 1)) for name in ("starts", "ends", "axes", "steps")]
    inserted(rng, model, "Slice", pick(rng, values(model)), parts[: int(rng.integers(1, 5))])


@mutator
def insert_arithmetic(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """By constants that overflow, divide by zero, or are no numbers."""
    number = float(pick(rng, [0.0, -0.0, 6e4, -6e4, 1e-45, np.inf, 3e-39, 1.0]))
    other = constant(model, "fuzz_number", number, pick(rng, [np.float32, np.float32, np.float64, np.float16]))
    inserted(rng, model, pick(rng, ["Mul", "Div", "Add", "Sub", "Pow", "Mod"]), pick(rng, values(model)), [other])


@mutator
def insert_function(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A unary function of any kind, also one that gives infinity or no number."""
    kinds = ["Log", "Sqrt", "Exp", "Reciprocal", "Tan", "Acosh", "Softmax", "LogSoftmax", "Not", "IsNaN", "Erf", "Gelu"]
    inserted(rng, model, pick(rng, kinds), pick(rng, values(model)))


@mutator
def insert_quantizer(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Another quantizer anywhere, with arguments of any kind."""
    tensor, kind = pick(rng, values(model)), int(rng.integers(3))
    arguments = [pick(rng, values(model)) for _ in range(3)]
    if kind == 0:
        inserted(rng, model, "Quant", tensor, arguments, domain="qonnx.custom_op.general")
    elif kind == 1:
        inserted(rng, model, "MultiThreshold", tensor, arguments[:1], domain="qonnx.custom_op.general")
    else:
        inserted(rng, model, pick(rng, ["QuantizeLinear", "DequantizeLinear"]), tensor, arguments[:2])
