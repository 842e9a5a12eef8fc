"""Trains convolutional networks whose weights are powers of two, and their twins; exports two of them beside this file.

Run: python -m venv v; v/bin/pip install -r requirements.txt; v/bin/python train.py

Data: scikit-learn's digits, 1,797 images of 8x8 pixels 0..16. A fifth, stratified, is the test split. A sixth of the
rest is the validation split, which picks the seed of what is exported; nothing is chosen by the test split. Every epoch
sees a third of the images shifted by up to one pixel.

A layer's weights are its float ones, divided by a scale and rounded to the nearest of some codes; the scale is that of
the least square error, found anew in every step. Gradients pass the rounding unchanged. Activations have no sign and
steps of a power of two, behind batch normalization. All twins have the same recipe, their codes aside; the float one
rounds nothing. After training, the statistics of the normalizations are taken anew with the weights as they are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.transformation.infer_shapes import InferShapes
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

HERE = Path(__file__).parent
DOMAIN = "qonnx.custom_op.general"


def uniform(bits: int) -> list[int]:
    top = 2 ** (bits - 1) - 1
    return list(range(-top, top + 1))


def powers(bits: int) -> list[int]:
    """Zero and, with a sign, as many powers of two as there are other codes."""
    sizes = [2**e for e in range(2 ** (bits - 1) - 1)]
    return sorted([0, *sizes, *(-size for size in sizes)])


CODES: dict[str, list[int] | None] = {
    "float": None,
    **{f"uniform {bits} bits": uniform(bits) for bits in (5, 4, 3, 2)},
    **{f"shift {bits} bits": powers(bits) for bits in (4, 3)},
}
EXPORTED = {"shift 3 bits": "3", "shift 4 bits": "4"}


def coded(weight: Tensor, codes: Tensor) -> tuple[Tensor, Tensor]:
    """The codes and the scale with the least square error, of 40 scales."""
    between = (codes[1:] + codes[:-1]) / 2
    scales = weight.abs().max() / codes.max() * torch.linspace(0.2, 1.4, 40)
    found = codes[torch.bucketize(weight.flatten() / scales[:, None], between)]
    best = (found * scales[:, None] - weight.flatten()).square().sum(1).argmin()
    return found[best].reshape(weight.shape), scales[best]


class Layer(nn.Module):
    """Convolution or dense layer, batch normalization; then a quantized ReLU, and a pool, or neither."""

    def __init__(self, shape: tuple[int, ...], bits: int | None, pool: bool, codes: list[int] | None) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(shape))
        nn.init.kaiming_normal_(self.weight)
        self.norm = nn.BatchNorm1d(shape[0]) if len(shape) == 2 else nn.BatchNorm2d(shape[0])
        self.bits, self.pool = bits, pool
        self.codes = None if codes is None else torch.tensor(codes, dtype=torch.float32)

    @property
    def step(self) -> float:
        """Of the activations: 3 standard deviations and a bit are their range."""
        return 2.0 ** (2 - self.bits)

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight
        if self.codes is not None:
            with torch.no_grad():
                code, scale = coded(weight, self.codes)
            weight = weight + (code * scale - weight).detach()
        if weight.dim() == 2:
            return self.norm(functional.linear(x.flatten(1), weight))
        y = torch.relu(self.norm(functional.conv2d(x, weight, padding=1)))
        if self.bits is not None:
            y = y.clamp(max=self.step * (2**self.bits - 1))
            y = y + (torch.round(y / self.step) * self.step - y).detach()
        return functional.max_pool2d(y, 2) if self.pool else y


class Digits(nn.Module):
    """[n, 1, 8, 8] pixels 0..15 to 10 scores."""

    def __init__(self, codes: list[int] | None, bits: int | None) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Layer((8, 1, 3, 3), bits, False, codes),
            Layer((16, 8, 3, 3), bits, True, codes),
            Layer((16, 16, 3, 3), bits, True, codes),
            Layer((10, 64), None, False, codes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.clamp(max=15))


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """A third of the images moved by -1, 0 or 1 pixels both ways."""
    padded = functional.pad(x[:, 0], (1, 1, 1, 1))
    moved = torch.rand(len(x), generator=generator) < 1 / 3
    dx, dy = torch.where(moved, torch.randint(0, 3, (2, len(x)), generator=generator), 1)
    rows = (dy[:, None] + torch.arange(8))[:, :, None]
    columns = (dx[:, None] + torch.arange(8))[:, None, :]
    return padded[torch.arange(len(x))[:, None, None], rows, columns][:, None]


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = functional.cross_entropy(model(shifted(x[batch], generator)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    settle(model, x)
    model.eval()


def settle(model: nn.Module, x: Tensor) -> None:
    """The normalizations' statistics, of all images: the running ones lag behind codes that change in leaps."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean
    model.train()
    with torch.no_grad():
        model(x)


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


def exported(model: Digits) -> onnx.ModelProto:
    """Weights are the codes themselves; their scale and the normalization are one factor and one summand a channel."""
    nodes, constants = [], {}
    previous = "pixels"

    def constant(name: str, value: np.ndarray | float) -> str:
        constants[name] = np.asarray(value, np.float32)
        return name

    def node(kind: str, name: str, *inputs: str, **attributes: object) -> None:
        nonlocal previous
        nodes.append(helper.make_node(kind, [previous, *inputs], [name], name, **attributes))
        previous = name

    def quant(name: str, step: float, bits: int) -> None:
        inputs = [constant(f"{name}_{part}", value) for part, value in (("step", step), ("zero", 0), ("bits", bits))]
        node("Quant", name, *inputs, domain=DOMAIN, signed=0, narrow=0, rounding_mode="ROUND")

    quant("pixels4", 1, 4)
    for place, layer in enumerate(model.layers, 1):
        code, scale = coded(layer.weight.detach(), layer.codes)
        norm = layer.norm
        factor = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
        summand = norm.bias.detach().double() - norm.running_mean.double() * factor
        if code.dim() == 2:
            node("Flatten", "flat")
            node("MatMul", f"dense{place}", constant(f"weight{place}", code.T.numpy()))
        else:
            weight = constant(f"weight{place}", code.numpy())
            node("Conv", f"conv{place}", weight, pads=[1] * 4, kernel_shape=[3, 3])
        shape = (-1,) + (1,) * (code.dim() - 2)
        total = f"add{place}" if layer.bits else "scores"
        node("Mul", f"mul{place}", constant(f"factor{place}", (factor * scale).reshape(shape).numpy()))
        node("Add", total, constant(f"summand{place}", summand.reshape(shape).numpy()))
        if layer.bits:
            node("Relu", f"relu{place}")
            quant(f"act{place}", layer.step, layer.bits)
        if layer.pool:
            node("MaxPool", f"pool{place}", kernel_shape=[2, 2], strides=[2, 2])
    graph = helper.make_graph(
        nodes,
        "shift",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def export(model: Digits, name: str, x: np.ndarray, y: np.ndarray) -> None:
    reference = ModelWrapper(exported(model)).transform(InferShapes())
    reference.save(str(HERE / f"shift{name}.onnx"))
    outputs = np.concatenate([execute_onnx(reference, {"pixels": sample[np.newaxis]})["scores"] for sample in x])
    np.savez_compressed(HERE / f"test{name}.npz", inputs=x, outputs=outputs, labels=y.astype(np.uint8))
    print(f"shift{name}.onnx: test accuracy of the reference executor {(outputs.argmax(1) == y).mean():.4f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--activations", type=int, default=4, help="bits, 2 to 4")
    parser.add_argument("--only", nargs="+", choices=CODES, default=list(CODES))
    parser.add_argument("--no-export", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pixels, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(
        pixels.astype(np.float32).reshape(-1, 1, 8, 8), labels, test_size=0.2, stratify=labels, random_state=0
    )
    fit, validate = train_test_split(np.arange(len(x)), test_size=1 / 6, stratify=y, random_state=0)
    tx, ty, tx_test, ty_test = map(torch.from_numpy, (x, y, x_test, y_test))
    for name in arguments.only:
        trained = []
        for seed in range(arguments.seeds):
            torch.manual_seed(seed)
            model = Digits(CODES[name], None if name == "float" else arguments.activations)
            train(model, tx[fit], ty[fit], arguments.epochs, seed)
            trained.append((accuracy(model, tx[validate], ty[validate]), -seed, model))
        tests = [accuracy(model, tx_test, ty_test) for _, _, model in trained]
        best = max(range(len(trained)), key=lambda seed: trained[seed][:2])
        validations = " ".join(f"{score:.4f}" for score, _, _ in trained)
        mean, found = np.mean(tests), " ".join(f"{score:.4f}" for score in tests)
        print(f"{name}: validation {validations}, test {found}, mean {mean:.4f}, picked {best}", flush=True)
        if name in EXPORTED and not arguments.no_export:
            export(trained[best][2], EXPORTED[name], x_test, y_test)


if __name__ == "__main__":
    main()
