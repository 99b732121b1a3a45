"""How much faster INT8 is than fp32 on this machine, and our engine beside OpenVINO's benchmark_app: int8_speed.py.

    python benchmarks/runtimes/int8_speed.py [ARCH SIZE]

One picture a call, latency hint. The engines take turns of many calls each: after every single one the next would find
the caches cold, and ONNX Runtime's threads still spinning. benchmark_app runs the same IR, in turns with our engine.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino
from untrained_bundle import untrained_bundle

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.engines import engine_onnx, engine_openvino
from allweather.runtimes.engines.base import CompiledModel, Engine
from allweather.runtimes.system.device import this_device

TURNS = 6
SECONDS = 4.0  # of a turn
APP_SECONDS = 8
SETTLE = 5  # calls of a turn that do not count
MODULES = {"openvino": engine_openvino, "onnx": engine_onnx}


def engines(bundle: Bundle) -> dict[str, Engine]:
    """The bundle's classifiers, running, by engine and precision."""
    running: dict[str, Engine] = {}
    for model in bundle.manifest.models:
        if model.role == "classifier":
            weights = bundle.read(model.weights) if model.weights else b""
            network = CompiledModel(
                bundle.read(model.file), weights, model.precision, bundle.input, len(bundle.classes)
            )
            running[f"{model.engine} {model.precision}"] = MODULES[model.engine].start(network)
    return running


def turn(engine: Engine, size: int) -> list[float]:
    """Milliseconds of single calls."""
    pictures = np.random.default_rng(0).integers(0, 256, (16, 1, size, size, 3), np.uint8)
    times, until = [], time.perf_counter() + SECONDS
    while time.perf_counter() < until or len(times) <= 2 * SETTLE:
        picture = pictures[len(times) % len(pictures)]
        began = time.perf_counter()
        engine.infer(picture)
        times.append(1000 * (time.perf_counter() - began))
    return times[SETTLE:]


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


def beside_app(bundle: Bundle, running: Mapping[str, Engine], precision: str, size: int) -> float:
    """Median over the turns of our median over benchmark_app's."""
    engine = running[f"openvino {precision}"]
    return float(np.median([np.median(turn(engine, size)) / app_median(bundle, precision) for _ in range(TURNS)]))


def main() -> None:
    """Prints a table, and the ratios."""
    arch, size = (sys.argv[1], int(sys.argv[2])) if len(sys.argv) > 1 else ("resnet50", 224)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "b.aw")
        untrained_bundle(path, arch, size, ("openvino", "onnx"), ("fp32", "int8"))
        bundle = Bundle.open(path)
        running = engines(bundle)
        print(f"{this_device().line()}; OpenVINO {openvino.__version__.split('-')[0]}; {arch}, {size} px")
        turns = [{name: turn(engine, size) for name, engine in running.items()} for _ in range(TURNS)]
        for name in running:
            p50, p90, p99 = np.percentile(np.concatenate([each[name] for each in turns]), (50, 90, 99))
            print(f"{name:14s} p50 {p50:8.3f} ms   p90 {p90:8.3f} ms   p99 {p99:8.3f} ms")
        for name in MODULES:
            ratios = [np.median(each[f"{name} fp32"]) / np.median(each[f"{name} int8"]) for each in turns]
            print(f"{name}: INT8 is {np.median(ratios):.2f} x as fast as fp32 (held to >= 3.5 with VNNI)")
        for precision in ("fp32", "int8"):
            ratio = beside_app(bundle, running, precision, size)
            print(f"openvino {precision}: ours / benchmark_app {ratio:.3f} (held to <= 1.05)")


if __name__ == "__main__":
    main()
