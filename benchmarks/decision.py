"""A decision beside the raw OpenVINO calls it contains, of one look and of the best: python benchmarks/decision.py.

ResNet-50 at 224 px, INT8 (random weights: speed does not depend on them), frames of 640 x 480. A raw call is an infer
request of the same model on a prepared picture. All take turns, one picture at a time.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import openvino
import torch

from allweather import load
from allweather.exporters.export import Choice, export
from allweather.runtimes.bundle import Bundle
from allweather.runtimes.device import this_device
from allweather.runtimes.engine import open_engine
from allweather.runtimes.frame import Image
from allweather.runtimes.image import InputSpec
from allweather.runtimes.manifest import Precision, Role
from allweather.runtimes.views import VIEWS
from allweather.trainers.checkpoint import Checkpoint
from allweather.trainers.models import build, weights_digest
from allweather.trainers.predictor_file import TrainedPredictor
from allweather.trainers.predictors import build_predictor, seen_by
from allweather.trainers.splits import Dataset, Split

PICTURES, CALLS = 40, 300
LOOKS = (2, 3, 4, 12)
CLASSES = tuple(f"class{number}" for number in range(10))


def make_bundle(path: Path, precision: Precision = "int8") -> None:
    """A ResNet-50 that has learned nothing, and a loss predictor that has not, either."""
    torch.manual_seed(0)
    spec = InputSpec(224, 224)
    model, seen = build("resnet50", 10, spec), seen_by(spec)
    predictor = TrainedPredictor(
        "tiny", seen, tuple(VIEWS), weights_digest(model), build_predictor("tiny", seen).state_dict()
    )
    images = torch.randint(0, 256, (PICTURES, 224, 224, 3), dtype=torch.uint8)
    split = Split(images, torch.arange(PICTURES) % 10)
    data = Dataset("random", CLASSES, split, split, split, mirrors=True)
    weights = model.network.state_dict()
    start = Checkpoint("resnet50", CLASSES, spec, weights, "random", 0, predictor=predictor)
    export(start, data, path, Choice(["openvino"], [precision], force=True))


def raw_call(bundle: Bundle, role: Role, picture: Image) -> Callable[[], object]:
    """An infer request of one of the bundle's models on one prepared picture."""
    model = next(each for each in bundle.manifest.models if each.role == role)
    core = openvino.Core()
    graph = core.read_model(bundle.read(model.file), bundle.read(str(model.weights)))
    graph.reshape([1, *picture.shape])
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(graph, "CPU", hints).create_infer_request()
    return lambda: request.infer([picture[None]], share_inputs=True)


def seconds(call: Callable[[], object]) -> float:
    """How long one call takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def main() -> None:
    """Prints p50, p90 and p99 of each, and the ratios of the medians."""
    frame = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "resnet50.aw")
        make_bundle(path)
        bundle = Bundle.open(path)
        prepared = bundle.input.prepare(frame)
        small = bundle.taken_by("predictor").prepare(prepared)
        engine, _ = open_engine(bundle, "openvino", role="classifier")
        batches = {count: np.repeat(prepared[None], count, axis=0) for count in LOOKS}
        with load(path, policy="center") as once, load(path, policy="top:1") as best:
            calls: dict[str, Callable[[], object]] = {
                "decision": lambda: once(frame),
                "raw classifier": raw_call(bundle, "classifier", prepared),
                "decision, top:1": lambda: best(frame),
                "raw predictor": raw_call(bundle, "predictor", small),
                **{f"{count} pictures": partial(engine.run, batch) for count, batch in batches.items()},
            }
            rounds = [[seconds(call) for call in calls.values()] for _ in range(CALLS)][20:]
    print(
        f"{this_device().line()}; OpenVINO {openvino.__version__.split('-')[0]}, ResNet-50 INT8, 224 px, {CALLS} calls"
    )
    times = dict(zip(calls, zip(*rounds, strict=True), strict=True))
    for name, each in times.items():
        p50, p90, p99 = (1000 * float(np.percentile(each, q)) for q in (50, 90, 99))
        print(f"{name:15s} p50 {p50:7.3f} ms   p90 {p90:7.3f} ms   p99 {p99:7.3f} ms")
    decision, classifier, top, predictor, *looks = (statistics.median(each) for each in times.values())
    print(f"decision / raw call             {decision / classifier:.3f} (held to <= 1.10)")
    print(f"decision, top:1 / its raw calls {top / (classifier + predictor):.3f} (held to <= 1.10)")
    print(f"predictor / classifier          {predictor / classifier:.3f} (held to <= 0.05)")
    for count, taken in zip(LOOKS, looks, strict=True):
        print(f"{count:2d} pictures / as many raw calls {taken / (count * classifier):.3f} (held to <= 1.00)")


if __name__ == "__main__":
    main()
