"""Compares a decision with the raw OpenVINO calls it contains: python benchmarks/runtimes/decision.py.

ResNet-50 at 224 px, INT8 (random weights: speed does not depend on them), frames of 640 x 480. A raw call is an infer
request of the same model on a prepared image. The calls alternate, one image at a time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from untrained_bundle import untrained_bundle

from allweather import load
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.bundle.manifest import Role
from allweather.runtimes.engines.open import open_engine
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.types import Image

with isolated_imports():
    import openvino

CALLS = 300
VIEW_COUNTS = (2, 3, 4, 12)


def raw_call(bundle: Bundle, role: Role, image: Image) -> Callable[[], object]:
    """Returns an infer request of one of the bundle's models on one prepared image."""
    model = next(each for each in bundle.manifest.models if each.role == role)
    core = openvino.Core()
    graph = core.read_model(bundle.read(model.file), bundle.read(str(model.weights)))
    graph.reshape([1, *image.shape])
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(graph, "CPU", hints).create_infer_request()
    return lambda: request.infer([image[None]], share_inputs=True)


def seconds(call: Callable[[], object]) -> float:
    """Returns the time of one call, in seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Prints p50, p90 and p99 of each call, and the ratios of the medians."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "resnet50.aw")
        untrained_bundle(path)
        bundle = Bundle.open(path)
        prepared = bundle.input.prepare(frame)
        predictor_image = bundle.input_of("predictor").prepare(prepared)
        engine, _ = open_engine(bundle, "openvino", role="classifier")
        batches = {count: np.repeat(prepared[None], count, axis=0) for count in VIEW_COUNTS}
        with load(path, policy="center") as one_view, load(path, policy="top:1") as best_view:
            calls: dict[str, Callable[[], object]] = {
                "decision": lambda: one_view(frame),
                "raw classifier": raw_call(bundle, "classifier", prepared),
                "decision, top:1": lambda: best_view(frame),
                "raw predictor": raw_call(bundle, "predictor", predictor_image),
                **{f"{count} images": partial(engine.infer, batch) for count, batch in batches.items()},
            }
            rounds = [[seconds(call) for call in calls.values()] for _ in range(CALLS)][20:]
    print(
        f"{this_device().line()}; OpenVINO {openvino.__version__.split('-')[0]}, ResNet-50 INT8, 224 px, {CALLS} calls"
    )
    times = dict(zip(calls, zip(*rounds, strict=True), strict=True))
    for name, each in times.items():
        p50, p90, p99 = (1000 * float(np.percentile(each, q)) for q in (50, 90, 99))
        print(f"{name:15s} p50 {p50:7.3f} ms   p90 {p90:7.3f} ms   p99 {p99:7.3f} ms")
    decision, classifier, top, predictor, *batched = (statistics.median(each) for each in times.values())
    print(f"decision / raw call             {decision / classifier:.3f} (must be <= 1.10)")
    print(f"decision, top:1 / its raw calls {top / (classifier + predictor):.3f} (must be <= 1.10)")
    print(f"predictor / classifier          {predictor / classifier:.3f} (must be <= 0.05)")
    for count, median in zip(VIEW_COUNTS, batched, strict=True):
        print(f"{count:2d} images / as many raw calls   {median / (count * classifier):.3f} (must be <= 1.00)")


if __name__ == "__main__":
    main()
