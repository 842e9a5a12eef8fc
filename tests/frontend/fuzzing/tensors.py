"""Mutators of initializers, and of the tensors' and the inputs' types."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .registry import Unsuitable, mutator, pick, values

SIZES = (-(2**63), -(2**40), -2, -1, 0, 1, 2, 3, 7, 1000, 10**6, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1)
FLOATS = (np.nan, np.inf, -np.inf, 1e-45, 1e-38, -1e-38, 0.0, -0.0, -1.0, -0.25, 3e38, 1e30, 2.0**-149, 0.3)
INTEGERS = (0, -1, 1, 127, 128, -128, -129, 255, 256, 1000, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
WIDTHS = (0, -1, 1, 1000, 2**31, 33, 32, 31, 0.5, np.nan, np.inf, -np.inf, 1e30, 16)


def initializer(rng: np.random.Generator, model: onnx.ModelProto) -> TensorProto:
    return pick(rng, model.graph.initializer)


def arrayed(rng: np.random.Generator, model: onnx.ModelProto) -> tuple[TensorProto, np.ndarray]:
    """An initializer that earlier mutators left readable, and a copy of its array."""
    tensor = initializer(rng, model)
    try:
        return tensor, np.array(numpy_helper.to_array(tensor))
    except Exception as error:
        raise Unsuitable from error


def replace(tensor: TensorProto, array: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), tensor.name))


@mutator
def remove_initializer(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    model.graph.initializer.remove(initializer(rng, model))


@mutator
def duplicate_initializer(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    model.graph.initializer.append(initializer(rng, model))


@mutator
def rename_initializer(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    initializer(rng, model).name = pick(rng, ["", *values(model)])


@mutator
def swap_initializers(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    first, second = initializer(rng, model), initializer(rng, model)
    first.name, second.name = second.name, first.name


@mutator
def wrong_dims(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """Dims that ask for more or less than the data holds."""
    tensor = initializer(rng, model)
    if tensor.dims and rng.random() < 0.6:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = pick(rng, SIZES)
    else:
        tensor.dims.extend(pick(rng, SIZES) for _ in range(int(rng.integers(1, 4))))


@mutator
def many_dims(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor = initializer(rng, model)
    tensor.dims.extend([1] * int(rng.choice([1, 5, 40, 70, 3000])))


@mutator
def wrong_data(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The raw data shorter, longer or gone, or data in the wrong field beside it."""
    tensor = initializer(rng, model)
    kind = int(rng.integers(5))
    if kind == 0:
        tensor.raw_data = tensor.raw_data[: int(rng.integers(len(tensor.raw_data) + 1))]
    elif kind == 1:
        tensor.raw_data = tensor.raw_data + rng.bytes(int(rng.integers(1, 30)))
    elif kind == 2:
        tensor.ClearField("raw_data")
    elif kind == 3:
        tensor.float_data.extend([1.0, float("nan")])
    else:
        tensor.ClearField("raw_data")
        tensor.string_data.extend([b"a", b"\xff"])


@mutator
def external_data(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor = initializer(rng, model)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    if rng.random() < 0.9:
        places = ["nowhere.bin", "../nowhere.bin", "/etc/passwd", "/dev/zero", ".", "", "a\0b", "weights*", "x" * 5000]
        tensor.external_data.add(key="location", value=pick(rng, places))
    for key in ("offset", "length"):
        if rng.random() < 0.5:
            tensor.external_data.add(key=key, value=pick(rng, ["-1", "0", "abc", str(2**62), str(2**70), "", "1.5"]))


@mutator
def wrong_dtype(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The declared type alone, so that the data have another size or meaning."""
    initializer(rng, model).data_type = int(pick(rng, [*range(0, 30), 99, -1, 2**31 - 1]))


@mutator
def cast(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The same values, as far as they go, in another type."""
    tensor, array = arrayed(rng, model)
    kinds = (
        np.float64,
        np.float32,
        np.float16,
        np.int64,
        np.int32,
        np.int8,
        np.uint8,
        np.uint64,
        np.bool_,
        np.complex64,
    )
    with np.errstate(all="ignore"):
        replace(tensor, array.astype(pick(rng, kinds)) if array.dtype.kind in "biuf" else array)


@mutator
def strings(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor, array = arrayed(rng, model)
    if array.size > 1000:
        raise Unsuitable
    texts = [b"text" if rng.random() < 0.9 else b"\xff"] * array.size
    tensor.CopyFrom(helper.make_tensor(tensor.name, TensorProto.STRING, array.shape, texts))


@mutator
def special_values(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """NaN, infinity, denormals, zeros, negative and extreme values, in one place or everywhere."""
    tensor, array = arrayed(rng, model)
    if not array.size or array.dtype.kind not in "iuf":
        raise Unsuitable
    special = pick(rng, FLOATS if array.dtype.kind == "f" else INTEGERS)
    with np.errstate(all="ignore"):
        value = np.asarray(special).astype(array.dtype)
    if rng.random() < 0.5:
        array[...] = value
    else:
        array.flat[int(rng.integers(array.size))] = value
    replace(tensor, array)


@mutator
def special_scalar(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A scale, a zero point, a bit width: all of these are small constants."""
    small = [item for item in model.graph.initializer if len(item.dims) < 2 and len(item.raw_data) <= 64]
    tensor = pick(rng, small)
    kind = np.float32 if rng.random() < 0.7 else pick(rng, [np.int64, np.float64, np.float16, np.int8])
    with np.errstate(all="ignore"):
        array = np.asarray(pick(rng, FLOATS + WIDTHS + INTEGERS), np.float64).astype(kind)
    replace(tensor, array if rng.random() < 0.7 else array.reshape(1))


@mutator
def wrong_rank(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor, array = arrayed(rng, model)
    kind = int(rng.integers(6))
    if kind == 0:
        array = array[..., np.newaxis]
    elif kind == 1:
        array = array[np.newaxis]
    elif kind == 2:
        array = array.ravel()
    elif kind == 3:
        array = array.T
    elif kind == 4:
        array = array.reshape(-1)[:1].reshape(()) if array.size else array
    else:
        array = array[..., :-1] if array.ndim else np.repeat(array, int(rng.choice([0, 2, 4, 5])))
    replace(tensor, array)


@mutator
def empty_tensor(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor, array = arrayed(rng, model)
    replace(tensor, np.zeros(pick(rng, [(0,), (0, *array.shape), (*array.shape, 0), (0, 0)]), array.dtype))


@mutator
def sparse_initializer(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    tensor = initializer(rng, model)
    count = int(rng.integers(0, 4))
    sparse = onnx.SparseTensorProto(dims=[pick(rng, SIZES) for _ in range(int(rng.integers(1, 3)))])
    sparse.values.CopyFrom(numpy_helper.from_array(np.ones(count, np.float32), tensor.name))
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(count, dtype=np.int64) * 10**6, "i"))
    model.graph.sparse_initializer.append(sparse)
    if rng.random() < 0.7:
        model.graph.initializer.remove(tensor)


@mutator
def to_constant_node(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """An initializer, perhaps damaged, as a Constant node: first, or last so that the order is wrong."""
    tensor = TensorProto()
    tensor.CopyFrom(initializer(rng, model))
    model.graph.initializer.remove(next(item for item in model.graph.initializer if item.name == tensor.name))
    if rng.random() < 0.5 and tensor.dims:
        tensor.dims[0] = pick(rng, SIZES)
    node = helper.make_node("Constant", [], [tensor.name], value=tensor)
    model.graph.node.insert(int(pick(rng, [0, len(model.graph.node)])), node)


@mutator
def input_dims(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    item = pick(rng, model.graph.input)
    dims = item.type.tensor_type.shape.dim
    kind = int(rng.integers(6))
    if kind == 0:
        for dim in dims:
            dim.dim_param = "n"
    elif kind == 1:
        item.type.tensor_type.shape.ClearField("dim")
    elif kind == 2:
        item.type.tensor_type.ClearField("shape")
    elif kind == 3:
        dims.add(dim_value=pick(rng, SIZES))
    elif not dims:
        raise Unsuitable
    elif kind == 4:
        del dims[int(rng.integers(len(dims)))]
    else:
        pick(rng, dims).dim_value = pick(rng, SIZES)


@mutator
def value_type(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """The type of an input or output: another element type, none, a sequence, an optional, a map, sparse."""
    item = pick(rng, [*model.graph.input, *model.graph.input, *model.graph.output])
    kind = int(rng.integers(7))
    if kind < 2:
        item.type.tensor_type.elem_type = int(pick(rng, [*range(0, 27), 99, -1]))
    elif kind == 2:
        item.ClearField("type")
    elif kind == 3:
        item.type.sequence_type.elem_type.tensor_type.elem_type = 1
    elif kind == 4:
        item.type.optional_type.elem_type.tensor_type.elem_type = 1
    elif kind == 5:
        item.type.map_type.key_type = 7
    else:
        item.type.sparse_tensor_type.elem_type = 1


@mutator
def value_info(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A declared shape inside that is not true."""
    name = pick(rng, values(model))
    sizes = [pick(rng, SIZES) for _ in range(int(rng.integers(0, 5)))]
    model.graph.value_info.append(helper.make_tensor_value_info(name, int(rng.integers(1, 17)), sizes))


@mutator
def annotation(rng: np.random.Generator, model: onnx.ModelProto) -> None:
    """A declared integer type of the input, perhaps nonsense."""
    item = model.graph.quantization_annotation.add(tensor_name=pick(rng, model.graph.input).name)
    kinds = [
        "INT8",
        "UINT0",
        "INT-3",
        "INT99999999999",
        "BIPOLAR",
        "FIXED<4,99999>",
        "FIXED<8,-99999>",
        "",
        "\0",
        "INT32",
    ]
    item.quant_parameter_tensor_names.add(key="finn_datatype", value=pick(rng, kinds))
