"""What INT8 costs in accuracy: python benchmarks/exporters/quantization.py CHECKPOINT DATA.

On the test split, clean and with every picture corrupted. The Q/DQ graph is also computed by ONNX's own reference
evaluator, by ONNX Runtime without optimizations and by OpenVINO, which shall agree.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import openvino
import torch
from onnx.reference import ReferenceEvaluator

from allweather.exporters.calibration import corrupt_all
from allweather.exporters.export import ExportOptions, export_checkpoint
from allweather.exporters.onnx.convert import INPUT
from allweather.exporters.openvino.convert import read_onnx, serialize
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.engines.open import infer_all
from allweather.runtimes.engines.registry import start_engine
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint import load_checkpoint
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.training.inference import logits


def engines(bundle: Bundle) -> dict[str, Engine]:
    """Every model of the bundle, running."""
    running: dict[str, Engine] = {}
    for model in bundle.manifest.models:
        weights = bundle.read(model.weights) if model.weights else b""
        network = CompiledModel(
            bundle.read(model.file), weights, model.precision, bundle.input_of(model.role), bundle.outputs(model.role)
        )
        if model.engine == "tensorrt":
            running[f"{model.role} {model.precision} literally"] = OnnxEngine(network, literally=True)
        else:
            running[f"{model.role} {model.engine} {model.precision}"] = start_engine(model.engine, network)
    return running


def agreement(bundle: Bundle, clean: Image, count: int) -> None:
    """Who computes what the Q/DQ graph says."""
    graph = bundle.read("onnx/classifier-int8.onnx")
    spec, outputs = bundle.input, len(bundle.classes)
    newer = onnx.version_converter.convert_version(onnx.load_from_string(graph), 19)  # it has no older Q/DQ
    reference = ReferenceEvaluator(newer)
    wanted = np.concatenate([reference.run(None, {INPUT: clean[i : i + 10]})[0] for i in range(0, count, 10)])
    others = {
        "ONNX Runtime, no optimizations": OnnxEngine(CompiledModel(graph, b"", "int8", spec, outputs), literally=True),
        "ONNX Runtime": OnnxEngine(CompiledModel(graph, b"", "int8", spec, outputs)),
        "OpenVINO": start_engine("openvino", CompiledModel(*serialize(read_onnx(graph)), "int8", spec, outputs)),
    }
    for name, engine in others.items():
        got = infer_all(engine, clean[:count])
        same = 100 * (got.argmax(1) == wanted.argmax(1)).mean()
        off = np.abs(got - wanted).max()
        print(f"Q/DQ reference and {name:31s} same class {same:6.2f} % of {count}, off by {off:.2g}")


def main() -> None:
    """Prints a table, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--reference", type=int, default=2000, help="pictures for the slow reference evaluator")
    chosen = parser.parse_args()
    trained = load_checkpoint(chosen.checkpoint)
    data = open_dataset(chosen.data, trained.input.height)
    test = data.test.take(torch.arange(min(chosen.pictures, len(data.test))))
    clean, labels = test.images.numpy(), test.labels.numpy()
    worse = corrupt_all(clean)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "b.aw")
        choice = ExportOptions(["openvino", "onnx", "tensorrt"], ["fp32", "int8"], force=True)
        manifest = export_checkpoint(trained, data, path, choice)
        bundle = Bundle.open(path)
        running = engines(bundle)
        version = openvino.__version__.split("-")[0]
        print(f"{this_device().line()}; OpenVINO {version}; {trained.arch}, {len(clean)} test pictures")
        for model in manifest.models:
            print(f"gate: {model.role} {model.engine} {model.precision}: {model.forced or 'passed'}")
        network = trained.classifier()
        for name, images in (("clean", clean), ("corrupted", worse)):
            truth: Floats = logits(network, torch.from_numpy(images)).numpy()
            print(f"{name:9s} torch {100 * (truth.argmax(1) == labels).mean():.2f} %")
            for kind, engine in running.items():
                if kind.startswith("classifier"):
                    got = infer_all(engine, images).argmax(1)
                    right, same = 100 * (got == labels).mean(), 100 * (got == truth.argmax(1)).mean()
                    print(f"{name:9s} {kind:32s} {right:.2f} %, torch's class {same:.2f} %")
        agreement(bundle, clean, min(chosen.reference, len(clean)))


if __name__ == "__main__":
    main()
