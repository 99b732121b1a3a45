"""Measures how much faster INT8 is than fp32, and compares our engine with OpenVINO's benchmark_app.

    python benchmarks/runtimes/int8_speed.py [ARCH [SIZE]]

Each call has one image, and OpenVINO has its latency hint. The engines take turns of many calls each: if they
alternated after every call, the next engine would find the caches cold and ONNX Runtime's threads still spinning.
benchmark_app runs the same IR, and takes turns with our engine.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from untrained_bundle import untrained_bundle

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.choices import EngineName
from allweather.runtimes.engines.base import Engine
from allweather.runtimes.engines.open import compiled_model
from allweather.runtimes.engines.registry import start_engine
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.isolated_imports import isolated_imports

with isolated_imports():
    import openvino

TURNS = 6
SECONDS = 4.0  # of one turn
APP_SECONDS = 8
WARM_UP_CALLS = 5  # at the beginning of a turn; they do not count
ENGINES: tuple[EngineName, ...] = ("openvino", "onnx")


def start_classifiers(bundle: Bundle) -> dict[str, Engine]:
    """Starts all classifiers of a bundle; returns them by engine and precision."""
    return {
        f"{model.engine} {model.precision}": start_engine(model.engine, compiled_model(bundle, model))
        for model in bundle.manifest.models
        if model.role == "classifier"
    }


def run_turn(engine: Engine, size: int) -> list[float]:
    """Runs one turn; returns the time of each call with one image, in milliseconds."""
    images = np.random.default_rng(0).integers(0, 256, (16, 1, size, size, 3), np.uint8)
    times, until = [], time.perf_counter() + SECONDS
    while time.perf_counter() < until or len(times) <= 2 * WARM_UP_CALLS:
        image = images[len(times) % len(images)]
        started = time.perf_counter()
        engine.infer(image)
        times.append(1000 * (time.perf_counter() - started))
    return times[WARM_UP_CALLS:]


def app_median(bundle: Bundle, precision: str) -> float:
    """Returns benchmark_app's median latency with the same IR and one image in each call, in milliseconds."""
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("xml", "bin"):
            Path(folder, f"m.{kind}").write_bytes(bundle.read(f"openvino/classifier-{precision}.{kind}"))
        spec = bundle.input
        app = str(Path(sys.executable).with_name("benchmark_app"))
        command = [app, "-m", f"{folder}/m.xml", "-hint", "latency", "-api", "sync", "-t", str(APP_SECONDS)]
        command += ["-shape", f"[1,{spec.height},{spec.width},3]", "-infer_precision", "f32"]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout  # noqa: S603 -- our own arguments
    match = re.search(r"Median:\s+([0-9.]+) (us|ms)", text)
    assert match, text
    return float(match[1]) / {"us": 1000, "ms": 1}[match[2]]


def ratio_to_app(bundle: Bundle, engines: Mapping[str, Engine], precision: str, size: int) -> float:
    """Returns our median latency divided by benchmark_app's, the median over the turns."""
    engine = engines[f"openvino {precision}"]
    return float(np.median([np.median(run_turn(engine, size)) / app_median(bundle, precision) for _ in range(TURNS)]))


def main() -> None:
    """Prints the latencies of each engine, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch", nargs="?", default="resnet50", metavar="ARCH")
    parser.add_argument("size", nargs="?", type=int, default=224, metavar="SIZE", help="side in pixels of the images")
    args = parser.parse_args()
    arch, size = args.arch, args.size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "b.aw")
        untrained_bundle(path, arch, size, ENGINES, ("fp32", "int8"))
        bundle = Bundle.open(path)
        engines = start_classifiers(bundle)
        print(f"{this_device().line()}; OpenVINO {openvino.__version__.split('-')[0]}; {arch}, {size} px")
        turns = [{name: run_turn(engine, size) for name, engine in engines.items()} for _ in range(TURNS)]
        for name in engines:
            p50, p90, p99 = np.percentile(np.concatenate([each[name] for each in turns]), (50, 90, 99))
            print(f"{name:14s} p50 {p50:8.3f} ms   p90 {p90:8.3f} ms   p99 {p99:8.3f} ms")
        for name in ENGINES:
            ratios = [np.median(each[f"{name} fp32"]) / np.median(each[f"{name} int8"]) for each in turns]
            print(f"{name}: INT8 is {np.median(ratios):.2f} x as fast as fp32 (must be >= 3.5 with VNNI)")
        for precision in ("fp32", "int8"):
            ratio = ratio_to_app(bundle, engines, precision, size)
            print(f"openvino {precision}: ours / benchmark_app {ratio:.3f} (must be <= 1.05)")


if __name__ == "__main__":
    main()
