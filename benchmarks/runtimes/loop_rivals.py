"""Compares a decision with other ways to make it: the same ResNet-50, frames and number of views, in one run.

    pip install ttach openvino-model-api ultralytics
    python benchmarks/runtimes/loop_rivals.py [--calls N]

The others are (a) torch, alone and with ttach's mean over the image and its horizontal flip, (b) the classification
model of OpenVINO Model API, (c) an Ultralytics classifier exported to OpenVINO. The last is another model (YOLO11x-cls,
whose size is nearest to a ResNet-50's), so it shows what Ultralytics adds to the time of its model rather than how fast
that model is. All run in FP32 and take turns, one frame of 640 x 480 at a time. A library that is not installed is
named and not measured.
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
    """Returns our perceiver with a policy."""
    return load(bundle, engine="openvino", precision="fp32", policy=policy)


def with_ttach(bundle: Bundle, views: int) -> Call:
    """Returns the model in torch, with ttach's mean where there are two views."""
    ttach: Any = importlib.import_module("ttach")
    torch.manual_seed(0)
    network: Any = build_model("resnet50", 10, bundle.input).eval()
    if views == 2:
        network = ttach.ClassificationTTAWrapper(network, ttach.Compose([ttach.HorizontalFlip()]), merge_mode="mean")

    @torch.inference_mode()
    def call(frame: Image) -> Any:
        image = torch.from_numpy(cv2.resize(frame, (224, 224), interpolation=cv2.INTER_AREA))
        return network(image.permute(2, 0, 1)[None].float() / 255).softmax(1).argmax().item()

    return call


def with_model_api(bundle: Bundle, folder: Path) -> Call:
    """Returns the classification model of OpenVINO Model API."""
    models: Any = importlib.import_module("model_api.models")
    onnx = folder / "resnet50.onnx"
    network = build_model("resnet50", 10, bundle.input).eval()
    torch.onnx.export(network, (torch.zeros(1, 3, 224, 224),), str(onnx), dynamo=False)
    model = models.ClassificationModel.create_model(str(onnx), "Classification", preload=True)
    return lambda frame: model(frame)


def with_ultralytics(folder: Path) -> Call:
    """Returns the prediction of Ultralytics' own classifier on OpenVINO."""
    library: Any = importlib.import_module("ultralytics")
    path = library.YOLO("yolo11x-cls.yaml", verbose=False).export(format="openvino", imgsz=224, verbose=False)
    model = library.YOLO(path, task="classify", verbose=False)
    return lambda frame: model.predict(frame, imgsz=224, verbose=False)


def main() -> None:
    """Prints p50 and p99 of each way to decide, and the ratio of its median to ours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=150)
    arguments = parser.parse_args()
    frames = np.random.default_rng(0).integers(0, 256, (4, 480, 640, 3), dtype=np.uint8)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        untrained_bundle(folder / "resnet50.aw", precisions=("fp32",))
        bundle = Bundle.open(folder / "resnet50.aw")
        makers: dict[str, Callable[[], Call]] = {
            "ours, one view": lambda: ours(bundle.path, "center"),
            "torch": lambda: with_ttach(bundle, 1),
            "OpenVINO Model API": lambda: with_model_api(bundle, folder),
            "Ultralytics (its own model)": lambda: with_ultralytics(folder),
            "ours, two views": lambda: ours(bundle.path, "hflip"),
            "torch with ttach": lambda: with_ttach(bundle, 2),
        }
        calls: dict[str, Call] = {}
        for each, make in makers.items():
            try:
                calls[each] = make()
            except ImportError as error:
                print(f"not measured: {each}: {error}")
        times: dict[str, list[float]] = {each: [] for each in calls}
        for index in range(arguments.calls + 10):
            for each, call in calls.items():
                started = time.perf_counter()
                call(frames[index % len(frames)])
                times[each].append(time.perf_counter() - started)
    print(f"{this_device().line()}; {arguments.calls} calls each")
    reference = {"one": statistics.median(times["ours, one view"]), "two": statistics.median(times["ours, two views"])}
    for each, seconds in times.items():
        p50, p99 = (1000 * float(np.percentile(seconds[10:], q)) for q in (50, 99))
        beside = reference["two" if "two views" in each or "ttach" in each else "one"]
        print(f"{each:30s} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   divided by ours {p50 / 1000 / beside:.2f}")


if __name__ == "__main__":
    main()
