"""Mutators of nodes' attributes, and of any protobuf field at random."""

from __future__ import annotations

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import helper, numpy_helper

from .registry import Unsuitable, mutator, pick
from .tensors import FLOATS, SIZES

NAMES = {
    "Conv": ("kernel_shape", "strides", "dilations", "pads", "group", "auto_pad"),
    "QLinearConv": ("kernel_shape", "strides", "dilations", "pads", "group", "auto_pad"),
    "ConvInteger": ("kernel_shape", "strides", "dilations", "pads", "group", "auto_pad"),
    "MaxPool": ("kernel_shape", "strides", "dilations", "pads", "ceil_mode", "storage_order"),
    "AveragePool": ("kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad"),
    "Transpose": ("perm",),
    "Flatten": ("axis",),
    "Softmax": ("axis",),
    "ArgMax": ("axis", "keepdims", "select_last_index"),
    "TopK": ("axis", "largest", "sorted", "k"),
    "Gemm": ("alpha", "beta", "transA", "transB"),
    "BatchNormalization": ("epsilon", "momentum", "training_mode"),
    "Quant": ("signed", "narrow", "rounding_mode"),
    "IntQuant": ("signed", "narrow", "rounding_mode"),
    "MultiThreshold": ("out_scale", "out_bias", "data_layout", "out_dtype"),
    "RequantShift": ("div", "n_levels_out", "n_levels", "signed"),
    "QuantizeLinear": ("axis", "block_size", "output_dtype", "saturate"),
    "DequantizeLinear": ("axis", "block_size", "output_dtype"),
    "Constant": ("value", "value_int", "value_ints", "value_float", "value_string", "sparse_value"),
    "Cast": ("to", "saturate"),
    "Clip": ("min", "max"),
    "LeakyRelu": ("alpha",),
    "Reshape": ("allowzero",),
    "Concat": ("axis",),
}


def with_attributes(rng: np.random.Generator, model: onnx.ModelProto) -> onnx.NodeProto:
    return pick(rng, [node for node in model.graph.node if node.attribute])


def random_value(rng: np.random.Generator) -> object:
    """Any kind of attribute value, mostly lists of extreme integers."""
    kind = int(rng.integers(10))
    if kind < 4:
        count = int(rng.choice([0, 1, 2, 3, 4, 5, 8]))
        return [int(pick(rng, SIZES if rng.random() < 0.4 else [0, 1, 2, 3, -1])) for _ in range(count)]
    if kind < 7:
        return int(pick(rng, SIZES))
    if kind == 7:
        return float(pick(rng, FLOATS))
    if kind == 8:
        return pick(rng, ["", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "ROUND", "NHWC", "C", "text", b"\xff\xfe"])
    return numpy_helper.from_array(np.full(pick(rng, [(), (1,), (0,), (2, 2)]), pick(rng, FLOATS), np.float32))


@mutator
def set_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """An attribute that the operator has, with another value, perhaps of another type."""
    node = pick(rng, [node for node in model.graph.node if node.op_type in NAMES])
    name = pick(rng, NAMES[node.op_type])
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    value = random_value(rng)
    kind = onnx.AttributeProto.INTS if value == [] else None
    node.attribute.extend([*kept, helper.make_attribute(name, value, attr_type=kind)])


set_geometry = mutator(set_attribute)  # twice as likely as others


@mutator
def change_element(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """One integer of a list, or one number."""
    item = pick(rng, [item for node in model.graph.node for item in node.attribute if item.ints or item.HasField("i")])
    if item.ints:
        item.ints[int(rng.integers(len(item.ints)))] = pick(rng, SIZES)
    else:
        item.i = pick(rng, SIZES)


@mutator
def remove_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = with_attributes(rng, model)
    del node.attribute[int(rng.integers(len(node.attribute)))]


@mutator
def duplicate_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    node = with_attributes(rng, model)
    node.attribute.add().CopyFrom(pick(rng, node.attribute))


@mutator
def mistype_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The type field says something else than the value's field."""
    pick(rng, with_attributes(rng, model).attribute).type = int(rng.integers(0, 15))


@mutator
def refer_attribute(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A reference to a function's attribute, outside of any function."""
    pick(rng, with_attributes(rng, model).attribute).ref_attr_name = pick(rng, ["alpha", ""])


@mutator
def shuffle_list(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A permutation becomes another or none, a list longer or shorter."""
    item = pick(rng, [item for node in model.graph.node for item in node.attribute if item.ints])
    ints = list(item.ints)
    rng.shuffle(ints)
    changes = [ints, ints[:-1], [*ints, ints[0]], [ints[0]] * len(ints), [-value for value in ints], ints * 30]
    del item.ints[:]
    item.ints.extend(pick(rng, changes))


def messages(message: Message, depth: int = 0) -> list[Message]:
    """The message and everything in it, without the elements of long lists of numbers."""
    found = [message]
    for descriptor, value in message.ListFields():
        if descriptor.type == FieldDescriptor.TYPE_MESSAGE and depth < 8:
            for item in value if descriptor.is_repeated else [value]:
                found += messages(item, depth + 1)
    return found


@mutator
def any_field(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Any field of any message: cleared, extreme, repeated, or set although it was not."""
    message = pick(rng, messages(model))
    descriptor = pick(rng, message.DESCRIPTOR.fields)
    name = descriptor.name
    if rng.random() < 0.3:
        message.ClearField(name)
    elif descriptor.type == FieldDescriptor.TYPE_MESSAGE:
        items = getattr(message, name)
        if not descriptor.is_repeated:
            items.SetInParent()
        elif len(items) and rng.random() < 0.7:
            items.add().CopyFrom(pick(rng, items))
        else:
            items.add()
    else:
        scalar(rng, message, descriptor)


def scalar(rng: np.random.Generator, message: Message, descriptor: FieldDescriptor) -> None:
    floating = descriptor.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE)
    value: object = float(pick(rng, FLOATS)) if floating else int(pick(rng, SIZES))
    if descriptor.type == FieldDescriptor.TYPE_STRING:
        value = pick(rng, ["", "x", "y", "a", "ai.onnx", "0", "x" * 100_000])
    elif descriptor.type == FieldDescriptor.TYPE_BYTES:
        value = rng.bytes(int(rng.integers(0, 40)))
    elif descriptor.type == FieldDescriptor.TYPE_ENUM:
        value = int(pick(rng, descriptor.enum_type.values).number)
    try:
        if descriptor.is_repeated:
            getattr(message, descriptor.name).append(value)
        else:
            setattr(message, descriptor.name, value)
    except (ValueError, TypeError) as error:  # out of the field's range
        raise Unsuitable from error
