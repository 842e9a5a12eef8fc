"""Trains the binarized digits network and exports it, with its held-out test split, beside this file.

Run: python -m venv v; v/bin/pip install -r requirements.txt; v/bin/python train.py

Data: scikit-learn's digits, 1,797 images of 8x8 pixels 0..16. A fifth, stratified, is the test split and is used once,
at the end. A sixth of the rest is the validation split, which picks one of the seeds. Every epoch sees a third of the
images shifted by up to one pixel. Network: 4-bit pixels (16 counts as 15), three dense layers of ±1 weights, batch
normalization and sign between them. The training target mixes the labels with the soft answers of an ensemble of float
networks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from brevitas.core.zero_point import ZeroZeroPoint
from brevitas.export import export_qonnx
from brevitas.inject import ExtendedInjector
from brevitas.inject.enum import BitWidthImplType, FloatToIntImplType, QuantType, RestrictValueType, ScalingImplType
from brevitas.nn import QuantIdentity, QuantLinear
from brevitas.quant.solver import ActQuantSolver, WeightQuantSolver
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.core.onnx_exec import execute_onnx
from qonnx.util.cleanup import cleanup_model
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

HERE = Path(__file__).parent


class Unit(ExtendedInjector):
    """A quantizer whose steps are whole numbers."""

    scaling_impl_type = ScalingImplType.CONST
    restrict_scaling_type = RestrictValueType.FP
    zero_point_impl = ZeroZeroPoint
    float_to_int_impl_type = FloatToIntImplType.ROUND
    scaling_per_output_channel = False
    bit_width_impl_type = BitWidthImplType.CONST
    signed = True
    scaling_const = 1.0


class SignWeight(Unit, WeightQuantSolver):
    quant_type = QuantType.BINARY
    bit_width = 1
    narrow_range = True


class Sign(Unit, ActQuantSolver):
    quant_type = QuantType.BINARY
    bit_width = 1
    narrow_range = True
    min_val, max_val = -1.0, 1.0


class Pixel(Unit, ActQuantSolver):
    quant_type = QuantType.INT
    bit_width = 4
    signed = False
    narrow_range = False
    min_val, max_val = 0.0, 15.0


class Digits(nn.Module):
    """64 pixels to 10 scores."""

    def __init__(self, hidden: tuple[int, ...]) -> None:
        super().__init__()
        layers: list[nn.Module] = [QuantIdentity(act_quant=Pixel)]
        size = 64
        for width in hidden:
            layers += [QuantLinear(size, width, bias=False, weight_quant=SignWeight), nn.BatchNorm1d(width)]
            layers += [QuantIdentity(act_quant=Sign)]
            size = width
        layers += [QuantLinear(size, 10, bias=False, weight_quant=SignWeight), nn.BatchNorm1d(10)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def clip(self) -> None:
        for layer in self.layers:
            if isinstance(layer, QuantLinear):
                layer.weight.data.clamp_(-1, 1)


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """A third of the images moved by -1, 0 or 1 pixels both ways."""
    padded = nn.functional.pad(x.reshape(-1, 8, 8), (1, 1, 1, 1))
    moved = torch.rand(len(x), generator=generator) < 1 / 3
    dx, dy = torch.where(moved, torch.randint(0, 3, (2, len(x)), generator=generator), 1)
    rows = (dy[:, None] + torch.arange(8))[:, :, None]
    columns = (dx[:, None] + torch.arange(8))[:, None, :]
    return padded[torch.arange(len(x))[:, None, None], rows, columns].reshape(-1, 64)


def train(model: nn.Module, x: Tensor, target: Tensor, epochs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = nn.functional.cross_entropy(model(shifted(x[batch], generator)), target[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if isinstance(model, Digits):
                model.clip()
        schedule.step()
    model.eval()


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((model(x).argmax(1) == y).float().mean())


def soft_targets(x: Tensor, y: Tensor, seeds: int, epochs: int) -> Tensor:
    """Half the label, half the mean answer of float networks."""
    answers = torch.zeros(len(x), 10)
    for seed in range(seeds):
        torch.manual_seed(seed)
        teacher = nn.Sequential(
            nn.BatchNorm1d(64),
            nn.Linear(64, 128),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, 10),
        )
        train(teacher, x, y, epochs, seed)
        with torch.no_grad():
            answers += teacher(x).softmax(1) / seeds
    return 0.5 * nn.functional.one_hot(y, 10) + 0.5 * answers


def export(model: Digits, x: np.ndarray, y: np.ndarray) -> None:
    with TemporaryDirectory() as folder:
        path = f"{folder}/digits.onnx"
        export_qonnx(model, args=torch.zeros(1, 64), export_path=path)
        cleaned = cleanup_model(ModelWrapper(path))
    for part in (cleaned.model, cleaned.graph, *cleaned.graph.node, *cleaned.graph.value_info):
        del part.metadata_props[:]  # the exporter's stack traces name the files of the machine that trained
    cleaned.save(str(HERE / "digits.onnx"))
    name_in, name_out = cleaned.graph.input[0].name, cleaned.graph.output[0].name
    outputs = np.concatenate([execute_onnx(cleaned, {name_in: sample[np.newaxis]})[name_out] for sample in x])
    np.savez_compressed(HERE / "test.npz", inputs=x, outputs=outputs, labels=y.astype(np.uint8))
    print(f"exported: test accuracy of the reference executor {(outputs.argmax(1) == y).mean():.4f} of {len(y)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 128])
    parser.add_argument("--epochs", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pixels, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(
        pixels.astype(np.float32), labels, test_size=0.2, stratify=labels, random_state=0
    )
    fit, validate = train_test_split(np.arange(len(x)), test_size=1 / 6, stratify=y, random_state=0)
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    targets = soft_targets(tx[fit], ty[fit], 3, 60)
    trained = []
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        model = Digits(tuple(arguments.hidden))
        train(model, tx[fit], targets, arguments.epochs, seed)
        score = accuracy(model, tx[validate], ty[validate])
        print(f"seed {seed}: training {accuracy(model, tx[fit], ty[fit]):.4f}, validation {score:.4f}", flush=True)
        trained.append((score, -seed, model))
    best = max(trained, key=lambda entry: entry[:2])[2]
    export(best, x_test, y_test)


if __name__ == "__main__":
    main()
