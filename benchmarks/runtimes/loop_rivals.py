"""A decision beside doing it by hand: the same ResNet-50 and frames, at equal looks, in one run.

    pip install ttach openvino-model-api ultralytics
    python benchmarks/runtimes/loop_rivals.py [--calls N] [--threads N]

By hand are (a) torch with the mean of ttach over the picture and its mirror image, (b) the classification model of
OpenVINO Model API, (c) the prediction of an Ultralytics classifier exported to OpenVINO, which is a network of its own
(YOLO11x-cls, the one nearest to a ResNet-50 in size) and so tells what it adds to its network rather than how fast that
is. All in FP32, one picture of 640 x 480 at a time, in turns. What is not installed is left out and named.
"""

from __future__ import annotations

import argparse
import importlib
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from untrained_bundle import untrained_bundle

from allweather import load
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Image
from allweather.trainers.models.registry import build_model

Call = Callable[[Image], Any]


def ours(bundle: Path, policy: str) -> Call:
    """A decision."""
    return load(bundle, engine="openvino", precision="fp32", policy=policy)


def with_ttach(bundle: Bundle, looks: int) -> Call:
    """Torch, and ttach's mean where there are two looks."""
    ttach: Any = importlib.import_module("ttach")
    torch.manual_seed(0)
    network: Any = build_model("resnet50", 10, bundle.input).eval()
    if looks == 2:
        network = ttach.ClassificationTTAWrapper(network, ttach.Compose([ttach.HorizontalFlip()]), merge_mode="mean")

    @torch.inference_mode()
    def call(frame: Image) -> Any:
        picture = torch.from_numpy(cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA))
        return network(picture.permute(2, 0, 1)[None].float() / 255).softmax(1).argmax().item()

    return call


def with_model_api(bundle: Bundle, folder: Path) -> Call:
    """OpenVINO Model API."""
    models: Any = importlib.import_module("model_api.models")
    onnx = folder / "resnet50.onnx"
    network = build_model("resnet50", 10, bundle.input).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, 224, 224),), str(onnx), dynamo=False)
    model = models.ClassificationModel.create_model(str(onnx), "Classification", preload=True)
    return lambda frame: model(frame)


def with_ultralytics(folder: Path) -> Call:
    """Ultralytics' prediction of its own classifier on OpenVINO."""
    library: Any = importlib.import_module("ultralytics")
    path = library.YOLO("yolo11x-cls.yaml", verbose=False).export(format="openvino", imgsz=224, verbose=False)
    model = library.YOLO(path, task="classify", verbose=False)
    return lambda frame: model.predict(frame, imgsz=224, verbose=False)


def main() -> None:
    """Prints p50 and p99 of each, and ratios of medians to ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=150)
    given = parser.parse_args()
    frames = np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        untrained_bundle(folder / "resnet50.aw", precisions=("fp32",))
        bundle = Bundle.open(folder / "resnet50.aw")
        makers: dict[str, Callable[[], Call]] = {
            "ours, one look": lambda: ours(bundle.path, "center"),
            "torch": lambda: with_ttach(bundle, 1),
            "OpenVINO Model API": lambda: with_model_api(bundle, folder),
            "Ultralytics (its own network)": lambda: with_ultralytics(folder),
            "ours, two looks": lambda: ours(bundle.path, "hflip"),
            "torch with ttach": lambda: with_ttach(bundle, 2),
        }
        calls: dict[str, Call] = {}
        for each, make in makers.items():
            try:
                calls[each] = make()
            except ImportError as error:
                print(f"left out: {each}: {error}")
        times: dict[str, list[float]] = {each: [] for each in calls}
        for number in range(given.calls + 10):
            for each, call in calls.items():
                began = time.perf_counter()
                call(frames[number % len(frames)])
                times[each].append(time.perf_counter() - began)
    print(f"{this_device().line()}; {given.calls} calls each")
    reference = {"one": statistics.median(times["ours, one look"]), "two": statistics.median(times["ours, two looks"])}
    for each, seconds in times.items():
        p50, p99 = (1000 * float(np.percentile(seconds[10:], q)) for q in (50, 99))
        beside = reference["two" if "two looks" in each or "ttach" in each else "one"]
        print(f"{each:30s} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   beside ours {p50 / 1000 / beside:.2f}")


if __name__ == "__main__":
    main()
