"""Compares two ways into a bundle: a checkpoint with its architecture, and the same network as an ONNX file alone.

    python benchmarks/exporters/own_onnx.py WEIGHTS CIFAR10 [--out FOLDER] [--opset 17] [--images 10000]

WEIGHTS is a state dict of a CIFAR-10 ResNet-20 that was trained elsewhere, CIFAR10 a folder with the official batches.
The ONNX file is written by torch as users write it: float32 [1, 3, 32, 32], normalized outside, a Softmax at its end.
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import nn

from allweather.exporters.checkpoint_export import export
from allweather.exporters.compilation import ExportOptions
from allweather.exporters.foreign import export_onnx
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.open import infer_all, open_engine
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
from allweather.trainers.data.registry import open_dataset

MODELS = (("openvino", "fp32"), ("openvino", "int8"), ("onnx", "fp32"), ("onnx", "int8"))
OPTIONS = ExportOptions(("openvino", "onnx"), ("fp32", "int8"), force=True)  # what the gate says is printed


def write_onnx(network: nn.Module, path: Path, opset: int) -> None:
    """Writes the network with a Softmax, for a batch of one image, as torch's exporter does by default."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch, about its older exporter
        example = (torch.zeros(1, 3, 32, 32),)
        torch.onnx.export(nn.Sequential(network, nn.Softmax(1)), example, path, opset_version=opset, dynamo=False)


def run_model(bundle: Path, engine: str, precision: str, images: Image) -> Floats:
    """Runs a model of a bundle on images."""
    running, _ = open_engine(Bundle.open(bundle), engine, precision)
    logits = infer_all(running, images)
    running.close()
    return logits


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path)
    parser.add_argument("cifar10", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--opset", type=int, default=17)
    parser.add_argument("--images", type=int, default=10_000)
    args = parser.parse_args()
    dataset = open_dataset(f"cifar10:{args.cifar10}", 32)
    checkpoint = checkpoint_from_state_dict(args.weights, "resnet20", dataset.classes, InputSpec(32, 32))
    some = dataset.test.take(torch.arange(args.images))
    with TemporaryDirectory() as temporary:
        out = args.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)
        file, both = out / "resnet20.onnx", {"checkpoint": out / "checkpoint.aw", "ONNX file": out / "onnx.aw"}
        write_onnx(checkpoint.classifier().network, file, args.opset)
        seconds = {}
        start = time.perf_counter()
        export(checkpoint, dataset, both["checkpoint"], OPTIONS)
        seconds["checkpoint"] = time.perf_counter() - start
        start = time.perf_counter()
        export_onnx(file, dataset, both["ONNX file"], classes=dataset.classes, options=OPTIONS)
        seconds["ONNX file"] = time.perf_counter() - start
        rows = [("correct of test images, %", *both, "difference, points", "same prediction, %")]
        for engine, precision in MODELS:
            predicted = [run_model(path, engine, precision, some.images.numpy()).argmax(1) for path in both.values()]
            right = [100 * float((each == some.labels.numpy()).mean()) for each in predicted]
            same = 100 * float(np.mean(predicted[0] == predicted[1]))
            rows.append(
                (
                    f"{engine} {precision}",
                    *(f"{each:.2f}" for each in right),
                    f"{right[1] - right[0]:+.2f}",
                    f"{same:.2f}",
                )
            )
        rows.append(("seconds of the export", *(f"{each:.0f}" for each in seconds.values()), "", ""))
        for name, path in both.items():
            for model in Bundle.open(path).manifest.models:
                if model.forced:
                    print(f"{name}, {model.engine} {model.precision}: the parity gate says: {model.forced}")
    print("\n".join(markdown_table(rows)))


if __name__ == "__main__":
    main()
