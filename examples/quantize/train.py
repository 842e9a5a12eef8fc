"""Trains a float convolutional network on handwritten digits and exports it, with its data, beside this file.

Run: python -m venv v; v/bin/pip install -r requirements.txt; v/bin/python train.py

Data: scikit-learn's digits, 1,797 images of 8x8 pixels 0..16. A fifth, stratified, is the test split and is used once,
at the end. 256 images of the rest are what the quantizer calibrates with; the network is trained on all of the rest.
Every epoch sees a third of the images shifted by up to one pixel.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

HERE = Path(__file__).parent
EPOCHS = 60
CALIBRATION = 256


class Digits(nn.Module):
    """[n, 1, 8, 8] pixels to 10 scores: a convolution, a residual block, a convolution, a dense layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.residual = nn.Sequential(nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16))
        self.second = nn.Sequential(nn.Conv2d(16, 32, 3, padding=1, bias=False), nn.BatchNorm2d(32))
        self.dense = nn.Linear(128, 10)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(torch.relu(self.first(x)))
        x = torch.relu(x + self.residual(x))
        x = self.pool(torch.relu(self.second(x)))
        return self.dense(x.flatten(1))


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """A third of the images moved by -1, 0 or 1 pixels both ways."""
    padded = nn.functional.pad(x[:, 0], (1, 1, 1, 1))
    moved = torch.rand(len(x), generator=generator) < 1 / 3
    dx, dy = torch.where(moved, torch.randint(0, 3, (2, len(x)), generator=generator), 1)
    rows = (dy[:, None] + torch.arange(8))[:, :, None]
    columns = (dx[:, None] + torch.arange(8))[:, None, :]
    return padded[torch.arange(len(x))[:, None, None], rows, columns][:, None]


def train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = nn.functional.cross_entropy(model(shifted(x[batch], generator)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    model.eval()


def export(model: nn.Module) -> None:
    path = HERE / "digits_float.onnx"
    torch.onnx.export(
        model, (torch.zeros(2, 1, 8, 8),), str(path), dynamo=False, opset_version=17, do_constant_folding=False,
        training=torch.onnx.TrainingMode.PRESERVE, input_names=["pixels"], output_names=["scores"],
        dynamic_axes={"pixels": {0: "n"}, "scores": {0: "n"}},
    )  # fmt: skip
    exported = onnx.load(path)
    for part in (exported, exported.graph, *exported.graph.node, *exported.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]  # stack traces name the files of the machine that trained
    onnx.save(exported, path)


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    pixels, labels = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(
        pixels.astype(np.float32).reshape(-1, 1, 8, 8), labels, test_size=0.2, stratify=labels, random_state=0
    )
    calibration, _ = train_test_split(np.arange(len(x)), train_size=CALIBRATION, stratify=y, random_state=0)
    model = Digits()
    train(model, torch.from_numpy(x), torch.from_numpy(y))
    export(model)
    for name, inputs, answers in (("calib", x[calibration], y[calibration]), ("test", x_test, y_test)):
        np.savez_compressed(HERE / f"{name}.npz", inputs=inputs, labels=answers.astype(np.uint8))
        with torch.no_grad():
            right = (model(torch.from_numpy(inputs)).argmax(1).numpy() == answers).mean()
        print(f"{name}: accuracy {right:.4f} of {len(answers)}")


if __name__ == "__main__":
    main()
