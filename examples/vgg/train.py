"""Trains a VGG-style network on digits of CIFAR's shape, quantizes it to int8, and writes both files beside this one.

Run: python -m venv v; v/bin/pip install -r requirements.txt ../..; v/bin/python train.py

Data: scikit-learn's digits, 1,797 images of 8x8 pixels 0..16, made 32x32 by bilinear interpolation, in colour: ink and
paper are drawn at random, one of them dark and the other bright in each of three channels, 0..255. A fifth, stratified,
is the test split and is used once, at the end. 256 images of the rest are what the quantizer calibrates with; the
network is trained on all of the rest. Every epoch moves each image by up to four pixels.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional

from lutwright.frontend.onnx_import.executor import session
from lutwright.frontend.quantize.quantization import measured, quantize
from lutwright.frontend.quantize.settings import Settings

HERE = Path(__file__).parent
CHANNELS = (16, 16, 32, 32, 64, 64)
SIZE, SHIFT, CALIBRATION, SAMPLES = 32, 4, 256, 20


def network() -> nn.Sequential:
    """[n, 3, 32, 32] pixels to 10 scores: three times two convolutions and a pool, then a dense layer."""
    layers, inputs = list[nn.Module](), 3
    for place, outputs in enumerate(CHANNELS):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] * (place % 2)
        inputs = outputs
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(inputs * (SIZE // 8) ** 2, 10))


def coloured(digits: np.ndarray) -> np.ndarray:
    """[n, 8, 8] pixels 0..16 to [n, 3, 32, 32] pixels 0..255, all whole."""
    rng, count = np.random.default_rng(0), len(digits)
    scaled = torch.from_numpy(digits.astype(np.float32))[:, None] / 16
    amount = functional.interpolate(scaled, size=SIZE, mode="bilinear", align_corners=False).numpy()
    dark, bright = (rng.integers(low, high, (count, 3, 1, 1)) for low, high in ((0, 96), (160, 256)))
    swapped = rng.random((count, 1, 1, 1)) < 0.5
    paper, ink = np.where(swapped, dark, bright), np.where(swapped, bright, dark)
    return np.round(paper + (ink - paper) * amount).astype(np.float32)


def shifted(x: Tensor, generator: torch.Generator) -> Tensor:
    """Each image moved by up to SHIFT pixels both ways; its edge goes on beyond."""
    padded = functional.pad(x, (SHIFT,) * 4, mode="replicate")
    dx, dy = torch.randint(0, 2 * SHIFT + 1, (2, len(x)), generator=generator)
    rows, columns = ((start[:, None] + torch.arange(SIZE)) for start in (dy, dx))
    return padded[torch.arange(len(x))[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def train(model: nn.Module, x: Tensor, y: Tensor, epochs: int) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002, weight_decay=1e-5)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        losses = []
        for batch in torch.randperm(len(x), generator=generator).split(64):
            loss = functional.cross_entropy(model(shifted(x[batch], generator)), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        schedule.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {np.mean(losses):.4f}", flush=True)
    model.eval()


def export(model: nn.Module, path: Path) -> None:
    """The float model; its convolutions are named conv1, conv2, …"""
    torch.onnx.export(
        model, (torch.zeros(2, 3, SIZE, SIZE),), str(path), dynamo=False, opset_version=17, input_names=["pixels"],
        output_names=["scores"], dynamic_axes={"pixels": {0: "n"}, "scores": {0: "n"}},
    )  # fmt: skip
    exported, counts = onnx.load(path), dict[str, int]()
    for node in exported.graph.node:
        counts[node.op_type] = counts.get(node.op_type, 0) + 1
        node.name = f"{node.op_type.lower()}{counts[node.op_type]}"
    for part in (exported, exported.graph, *exported.graph.node, *exported.graph.value_info):
        part.doc_string = ""
        del part.metadata_props[:]  # stack traces name the files of the machine that trained
    onnx.save(exported, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    digits = load_digits()
    x, x_test, y, y_test = train_test_split(
        coloured(digits.images), digits.target, test_size=0.2, stratify=digits.target, random_state=0
    )
    calibration, _ = train_test_split(np.arange(len(x)), train_size=CALIBRATION, stratify=y, random_state=0)
    model = network()
    train(model, torch.from_numpy(x), torch.from_numpy(y), options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "float.onnx"
        export(model, path)
        quantized = quantize(path, x[calibration], Settings()).model
        (row,) = measured(path, quantized, x_test, y_test)
    onnx.save(quantized, HERE / "vgg.onnx")
    inputs, labels = x_test[:SAMPLES], y_test[:SAMPLES].astype(np.uint8)
    (outputs,) = session(quantized, optimize=True).run(None, {"pixels": inputs})
    np.savez_compressed(HERE / "test.npz", inputs=inputs.astype(np.uint8), outputs=outputs, labels=labels)
    print(f"accuracy on {len(x_test)} test images: float {row['accuracy_float']:.4f}, "
          f"int8 {row['accuracy_quantized']:.4f}; SQNR of the scores {row['sqnr_db']:.1f} dB")  # fmt: skip


if __name__ == "__main__":
    main()
