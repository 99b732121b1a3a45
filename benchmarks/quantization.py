"""INT8 beside fp32, in time and accuracy: python benchmarks/quantization.py CHECKPOINT DATA.

Engines take turns, one picture a call. Accuracy is that of the test split, clean and with every picture corrupted.
The Q/DQ graph is also computed by ONNX's own reference evaluator, by ONNX Runtime without optimizations and by
OpenVINO, which shall agree. OpenVINO's benchmark_app runs the same IR in turn with our engine.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
import openvino
import torch
from onnx.reference import ReferenceEvaluator

from allweather.exporters.calibrate import corrupted
from allweather.exporters.export import Choice, export
from allweather.exporters.to_onnx import INPUT
from allweather.exporters.to_openvino import read_onnx, serialize
from allweather.runtimes import engine_onnx, engine_openvino
from allweather.runtimes.bundle import Bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.engine import Engine, Network, answer_all
from allweather.runtimes.engine_onnx import OnnxEngine
from allweather.runtimes.frame import Floats, Image
from allweather.trainers import checkpoint as checkpoints
from allweather.trainers.data import open_dataset
from allweather.trainers.targets import logits

ROUNDS = 200
APP_SECONDS = 10


def engines(bundle: Bundle) -> dict[str, Engine]:
    """Every model of the bundle, running."""
    running: dict[str, Engine] = {}
    for model in bundle.manifest.models:
        weights = bundle.read(model.weights) if model.weights else b""
        network = Network(
            bundle.read(model.file), weights, model.precision, bundle.taken_by(model.role), bundle.outputs(model.role)
        )
        if model.engine == "tensorrt":
            running[f"{model.role} {model.precision} literally"] = OnnxEngine(network, literally=True)
        else:
            module = engine_openvino if model.engine == "openvino" else engine_onnx
            running[f"{model.role} {model.engine} {model.precision}"] = module.start(network)
    return running


def milliseconds(running: dict[str, Engine], pictures: dict[str, Image]) -> dict[str, list[float]]:
    """Times of single calls, all engines taking turns."""
    times: dict[str, list[float]] = {name: [] for name in running}
    for place in range(ROUNDS):
        for name, engine in running.items():
            images = pictures[name.split()[0]]
            picture = images[place % len(images)][None]
            began = time.perf_counter()
            engine.run(picture)
            times[name].append(1000 * (time.perf_counter() - began))
    return {name: each[10:] for name, each in times.items()}


def agreement(bundle: Bundle, clean: Image, count: int) -> None:
    """Who computes what the Q/DQ graph says."""
    graph = bundle.read("onnx/classifier-int8.onnx")
    spec, outputs = bundle.input, len(bundle.classes)
    newer = onnx.version_converter.convert_version(onnx.load_from_string(graph), 19)  # it has no older Q/DQ
    reference = ReferenceEvaluator(newer)
    wanted = np.concatenate([reference.run(None, {INPUT: clean[i : i + 10]})[0] for i in range(0, count, 10)])
    others = {
        "ONNX Runtime, no optimizations": OnnxEngine(Network(graph, b"", "int8", spec, outputs), literally=True),
        "ONNX Runtime": OnnxEngine(Network(graph, b"", "int8", spec, outputs)),
        "OpenVINO": engine_openvino.start(Network(*serialize(read_onnx(graph)), "int8", spec, outputs)),
    }
    for name, engine in others.items():
        got = answer_all(engine, clean[:count])
        same = 100 * (got.argmax(1) == wanted.argmax(1)).mean()
        off = np.abs(got - wanted).max()
        print(f"Q/DQ reference and {name:31s} same class {same:6.2f} % of {count}, off by {off:.2g}")


def app_median(bundle: Bundle, precision: str) -> float:
    """benchmark_app's median latency of the same IR, one picture a call, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("xml", "bin"):
            Path(folder, f"m.{kind}").write_bytes(bundle.read(f"openvino/classifier-{precision}.{kind}"))
        spec = bundle.input
        app = str(Path(sys.executable).with_name("benchmark_app"))
        command = [app, "-m", f"{folder}/m.xml", "-hint", "latency", "-api", "sync", "-t", str(APP_SECONDS)]
        command += ["-shape", f"[1,{spec.height},{spec.width},3]", "-infer_precision", "f32"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 -- our own words
    found = re.search(r"Median:\s+([0-9.]+) (us|ms)", told)
    assert found, told
    return float(found[1]) / {"us": 1000, "ms": 1}[found[2]]


def main() -> None:
    """Prints a table, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("data")
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--reference", type=int, default=2000, help="pictures for the slow reference evaluator")
    chosen = parser.parse_args()
    trained = checkpoints.load(chosen.checkpoint)
    data = open_dataset(chosen.data, trained.input.height)
    test = data.test.take(torch.arange(min(chosen.pictures, len(data.test))))
    clean, labels = test.images.numpy(), test.labels.numpy()
    worse = corrupted(clean)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "b.aw")
        choice = Choice(["openvino", "onnx", "tensorrt"], ["fp32", "int8"], force=True)
        manifest = export(trained, data, path, choice)
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
                    got = answer_all(engine, images).argmax(1)
                    right, same = 100 * (got == labels).mean(), 100 * (got == truth.argmax(1)).mean()
                    print(f"{name:9s} {kind:32s} {right:.2f} %, torch's class {same:.2f} %")
        agreement(bundle, clean, min(chosen.reference, len(clean)))
        pictures = {"classifier": clean, "predictor": _small(bundle, clean)}
        times = milliseconds({name: each for name, each in running.items() if "literally" not in name}, pictures)
        for name, each in times.items():
            p50, p90, p99 = np.percentile(each, (50, 90, 99))
            print(f"{name:26s} p50 {p50:8.3f} ms   p90 {p90:8.3f} ms   p99 {p99:8.3f} ms")
        medians = {name: float(np.median(each)) for name, each in times.items()}
        for engine_name in ("openvino", "onnx"):
            ratio = medians[f"classifier {engine_name} fp32"] / medians[f"classifier {engine_name} int8"]
            print(f"{engine_name}: INT8 is {ratio:.2f} x as fast as fp32 (held to >= 3.5 with VNNI)")
        for precision in ("fp32", "int8"):
            engine = running[f"classifier openvino {precision}"]
            ours, app = [], []
            for _ in range(3):  # in turn, as the machine's speed drifts
                app.append(app_median(bundle, precision))
                ours.append(float(np.median(milliseconds({"classifier": engine}, pictures)["classifier"])))
            print(
                f"{precision}: ours / benchmark_app {np.median(ours) / np.median(app):.3f} (held to <= 1.05) "
                + json.dumps({"ours": ours, "benchmark_app": app})
            )


def _small(bundle: Bundle, clean: Image) -> Image:
    if bundle.manifest.predictor is None:
        return clean[:0]
    return np.stack([bundle.taken_by("predictor").prepare(image) for image in clean[:50]])


if __name__ == "__main__":
    main()
