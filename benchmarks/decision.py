"""A decision beside the raw OpenVINO call it contains: python benchmarks/decision.py.

ResNet-50 at 224 px, INT8 (random weights: speed does not depend on them), frames of 640 x 480. The raw call is an infer
request of the same model on a prepared picture. Both take turns, one picture at a time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino
import torch

from allweather import load
from allweather.exporters.export import export
from allweather.runtimes.bundle import Bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.image import InputSpec
from allweather.trainers.checkpoint import Checkpoint
from allweather.trainers.models import build
from allweather.trainers.splits import Dataset, Split

PICTURES, CALLS = 40, 300
CLASSES = tuple(f"class{number}" for number in range(10))


def make_bundle(path: Path) -> None:
    """A ResNet-50 that has learned nothing, in INT8."""
    torch.manual_seed(0)
    spec = InputSpec(224, 224)
    weights = build("resnet50", 10, spec).network.state_dict()
    images = torch.randint(0, 256, (PICTURES, 224, 224, 3), dtype=torch.uint8)
    split = Split(images, torch.arange(PICTURES) % 10)
    data = Dataset("random", CLASSES, split, split, split, mirrors=True)
    export(
        Checkpoint("resnet50", CLASSES, spec, weights, "random", 0),
        data,
        path,
        engines=["openvino"],
        precisions=["int8"],
    )


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    """Prints p50, p90 and p99 of both, and the ratio of the medians."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "resnet50.aw")
        make_bundle(path)
        bundle = Bundle.open(path)
        model = bundle.manifest.models[0]
        core = openvino.Core()
        graph = core.read_model(bundle.read(model.file), bundle.read(str(model.weights)))
        graph.reshape([1, 224, 224, 3])
        hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(graph, "CPU", hints).create_infer_request()
        rng = np.random.default_rng(0)
        frame = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
        with load(path) as perceiver:
            prepared = perceiver.spec.prepare(frame)
            pairs = [
                (seconds(lambda: perceiver(frame)), seconds(lambda: request.infer([prepared[None]], share_inputs=True)))
                for _ in range(CALLS)
            ][20:]
    print(
        f"{this_device().line()}; OpenVINO {openvino.__version__.split('-')[0]}, ResNet-50 INT8, 224 px, {CALLS} calls"
    )
    for name, times in zip(("decision", "raw call"), zip(*pairs, strict=True), strict=True):
        p50, p90, p99 = (1000 * float(np.percentile(times, q)) for q in (50, 90, 99))
        print(f"{name:9s} p50 {p50:7.3f} ms   p90 {p90:7.3f} ms   p99 {p99:7.3f} ms")
    medians = [statistics.median(times) for times in zip(*pairs, strict=True)]
    print(f"ratio of the medians {medians[0] / medians[1]:.3f} (held to <= 1.10)")


if __name__ == "__main__":
    main()
