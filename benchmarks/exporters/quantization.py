"""Measures the accuracy that INT8 costs, and how exactly the engines compute a Q/DQ graph.

    python benchmarks/exporters/quantization.py CHECKPOINT DATA [--images N] [--reference N]

Accuracy and agreement with torch are measured on the test split, clean and with every image corrupted, for each engine
and precision; the rival is the torch model in fp32. The Q/DQ graph is also computed by ONNX's reference evaluator, with
which ONNX Runtime without optimizations, ONNX Runtime and OpenVINO should agree.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator

from allweather.exporters.calibration import corrupt_all
from allweather.exporters.checkpoint_export import ExportOptions, export
from allweather.exporters.onnx.convert import INPUT
from allweather.exporters.openvino.convert import read_onnx, serialize
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.engines.onnx import OnnxEngine
from allweather.runtimes.engines.open import compiled_model, infer_all
from allweather.runtimes.engines.registry import start_engine
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.types import Floats, Image
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.inference.forward import logits

with isolated_imports():
    import openvino


def engines(bundle: Bundle) -> dict[str, Engine]:
    """Opens every model of the bundle."""
    running: dict[str, Engine] = {}
    for model in bundle.manifest.models:
        compiled = compiled_model(bundle, model)
        if model.engine == "tensorrt":
            running[f"{model.role} {model.precision} literally"] = OnnxEngine(compiled, literally=True)
        else:
            running[f"{model.role} {model.engine} {model.precision}"] = start_engine(model.engine, compiled)
    return running


def print_agreement(bundle: Bundle, clean: Image, count: int) -> None:
    """Prints how well each engine agrees with the reference evaluator on the INT8 graph."""
    graph = bundle.read("onnx/classifier-int8.onnx")
    spec, outputs = bundle.input, len(bundle.classes)
    # the reference evaluator has Q/DQ from opset 19 on
    reference = ReferenceEvaluator(onnx.version_converter.convert_version(onnx.load_from_string(graph), 19))
    expected = np.concatenate([reference.run(None, {INPUT: clean[i : i + 10]})[0] for i in range(0, count, 10)])
    others = {
        "ONNX Runtime, no optimizations": OnnxEngine(CompiledModel(graph, b"", "int8", spec, outputs), literally=True),
        "ONNX Runtime": OnnxEngine(CompiledModel(graph, b"", "int8", spec, outputs)),
        "OpenVINO": start_engine("openvino", CompiledModel(*serialize(read_onnx(graph)), "int8", spec, outputs)),
    }
    for name, engine in others.items():
        computed = infer_all(engine, clean[:count])
        same = 100 * (computed.argmax(1) == expected.argmax(1)).mean()
        difference = np.abs(computed - expected).max()
        print(f"Q/DQ reference and {name:31s} same class {same:6.2f} % of {count}, max difference {difference:.2g}")


def main() -> None:
    """Exports the checkpoint and prints the accuracy of each model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="a classifier's .safetensors file")
    parser.add_argument("data", help="signs, cifar10:ROOT, cifar100:ROOT or folder:ROOT")
    parser.add_argument("--images", type=int, default=2000, help="number of test images (default: 2000)")
    parser.add_argument("--reference", type=int, default=2000, help="number of images for the slow reference evaluator")
    arguments = parser.parse_args()
    trained = load_checkpoint(arguments.checkpoint)
    data = open_dataset(arguments.data, trained.input.height)
    test = data.test.take(torch.arange(min(arguments.images, len(data.test))))
    clean, labels = test.images.numpy(), test.labels.numpy()
    corrupted = corrupt_all(clean)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "b.aw")
        options = ExportOptions(["openvino", "onnx", "tensorrt"], ["fp32", "int8"], force=True)
        manifest = export(trained, data, path, options)
        bundle = Bundle.open(path)
        running = engines(bundle)
        version = openvino.__version__.split("-")[0]
        print(f"{this_device().line()}; OpenVINO {version}; {trained.arch}, {len(clean)} test images")
        for model in manifest.models:
            print(f"parity gate: {model.role} {model.engine} {model.precision}: {model.forced or 'passed'}")
        network = trained.classifier()
        for name, images in (("clean", clean), ("corrupted", corrupted)):
            reference: Floats = logits(network, torch.from_numpy(images)).numpy()
            print(f"{name:9s} torch {100 * (reference.argmax(1) == labels).mean():.2f} %")
            for kind, engine in running.items():
                if kind.startswith("classifier"):
                    predictions = infer_all(engine, images).argmax(1)
                    accuracy = 100 * (predictions == labels).mean()
                    agreement_with_torch = 100 * (predictions == reference.argmax(1)).mean()
                    print(f"{name:9s} {kind:32s} {accuracy:.2f} %, agrees with torch on {agreement_with_torch:.2f} %")
        print_agreement(bundle, clean, min(arguments.reference, len(clean)))


if __name__ == "__main__":
    main()
