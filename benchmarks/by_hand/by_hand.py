"""One task with the libraries of the field: python benchmarks/by_hand/by_hand.py FOLDER, which prepare.py has made.

A timm classifier of one's own: its error on corrupted images, test-time augmentation chosen on validation images, INT8
with a check of its parity, and a loop over a video that runs it. With timm, ttach, imagecorruptions, NNCF, OpenVINO and
OpenCV; with_allweather.py does the same task.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import nncf
import numpy as np
import openvino
import skimage.filters
import torch
import ttach

_operators = torch.library.Library("torchvision", "FRAGMENT")  # a wheel for CUDA beside a torch without it
_operators.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_operators.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import timm  # noqa: E402

np.float_ = np.float64  # imagecorruptions 1.1.2 is from before NumPy 2 and scikit-image 0.19
_gaussian = skimage.filters.gaussian
skimage.filters.gaussian = lambda image, sigma, multichannel=False, **options: _gaussian(
    image, sigma, channel_axis=-1 if multichannel else None, **options
)
import imagecorruptions  # noqa: E402
import imagecorruptions.corruptions as originals  # noqa: E402

originals.gaussian = skimage.filters.gaussian

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
SIDE, EVERY = 32, 5  # pixels; every fifth test image is corrupted
VIEWS: dict[str, Any] = {
    "none": ttach.Compose([]),
    "hflip": ttach.Compose([ttach.HorizontalFlip()]),
    "multiply": ttach.Compose([ttach.Multiply(factors=[0.8, 1, 1.2])]),
    "hflip x multiply": ttach.Compose([ttach.HorizontalFlip(), ttach.Multiply(factors=[0.8, 1, 1.2])]),
}


def read(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Reads the images of a split, uint8 [n, h, w, 3], and their labels."""
    paths = sorted((folder / "images" / split).glob("*/*.png"))
    names = sorted({path.parent.name for path in paths})
    images = [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]
    return np.stack(images), np.array([names.index(path.parent.name) for path in paths])


def tensor(images: np.ndarray) -> torch.Tensor:
    """Normalizes images for the network, float32 [n, 3, h, w]."""
    return torch.from_numpy((images / np.float32(255) - MEAN) / STD).permute(0, 3, 1, 2).float()


def corrupted(images: np.ndarray, name: str, severity: int) -> np.ndarray:
    """Corrupts images one by one."""
    return np.stack([imagecorruptions.corrupt(image, corruption_name=name, severity=severity) for image in images])


@torch.no_grad()
def accuracy(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    """Returns the accuracy of whatever maps normalized images to logits."""
    logits = torch.cat([model(part) for part in tensor(images).split(250)])
    return float((logits.argmax(1).numpy() == labels).mean())


class EngineModule(torch.nn.Module):
    """A compiled model, for ttach."""

    def __init__(self, compiled: openvino.CompiledModel) -> None:
        super().__init__()
        self.compiled = compiled

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Runs the engine: float32 [n, 3, h, w] -> logits, float32 [n, C]."""
        return torch.from_numpy(self.compiled(images.numpy())[0])


def main() -> None:
    """Does the task and prints seconds and results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder, seconds, result = parser.parse_args().folder, {}, {}
    network = timm.create_model("resnet18d", num_classes=10)
    network.load_state_dict(torch.load(folder / "resnet18d.pth", weights_only=True))
    network.eval()
    (train, _), (val, val_labels), (test, test_labels) = (read(folder, split) for split in ("train", "val", "test"))
    few, few_labels = test[::EVERY], test_labels[::EVERY]

    started = time.perf_counter()
    names = imagecorruptions.get_corruption_names()
    cells = {(name, severity): corrupted(few, name, severity) for name in names for severity in range(1, 6)}
    result["clean error"] = 1 - accuracy(network, test, test_labels)
    result["corrupted error"] = float(np.mean([1 - accuracy(network, cell, few_labels) for cell in cells.values()]))
    seconds["corruption benchmark"] = time.perf_counter() - started

    started = time.perf_counter()
    rng = np.random.default_rng(0)
    mixed = np.concatenate([corrupted(val[i::15], name, int(rng.integers(1, 6))) for i, name in enumerate(names)])
    mixed_labels = np.concatenate([val_labels[i::15] for i in range(15)])
    wrappers = {name: ttach.ClassificationTTAWrapper(network, views) for name, views in VIEWS.items()}
    best = max(wrappers, key=lambda name: accuracy(wrappers[name], mixed, mixed_labels))
    errors = [1 - accuracy(wrappers[best], cell, few_labels) for cell in cells.values()]
    result["views"], result["corrupted error with views"] = best, float(np.mean(errors))
    seconds["test-time augmentation"] = time.perf_counter() - started

    started = time.perf_counter()
    core = openvino.Core()
    float_model = openvino.convert_model(network, example_input=torch.zeros(1, 3, SIDE, SIDE))
    float_model.reshape([-1, 3, SIDE, SIDE])
    data = nncf.Dataset([tensor(image[None]).numpy() for image in train[:300]])
    int8 = nncf.quantize(float_model, data, preset=nncf.QuantizationPreset.MIXED)
    engine = EngineModule(core.compile_model(int8, "CPU"))
    hard = corrupted(val, "gaussian_noise", 3)
    for kind, images in (("clean", val), ("corrupted", hard)):
        drop = accuracy(network, images, val_labels) - accuracy(engine, images, val_labels)
        result[f"int8 loses, {kind}"] = drop
        if drop > 0.005:
            print(f"INT8 loses {100 * drop:.1f} points on {kind} images", file=sys.stderr)
    openvino.save_model(int8, folder / "by_hand.xml")
    seconds["INT8 with parity"] = time.perf_counter() - started

    started = time.perf_counter()
    looped = ttach.ClassificationTTAWrapper(engine, VIEWS[best])
    video, late, decisions, took = cv2.VideoCapture(str(folder / "video.mp4")), 0, 0, []
    while True:
        ok, frame = video.read()
        if not ok:
            break
        begun = time.perf_counter()
        image = cv2.resize(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        looped(tensor(image[None])).argmax(1)
        took.append(time.perf_counter() - begun)
        late += took[-1] > 0.033
        decisions += 1
    video.release()
    result["decisions"], result["late for 33 ms"] = decisions, late
    result["ms a frame, median"] = 1000 * float(np.median(took))
    seconds["video loop"] = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, **result}, indent=1))


if __name__ == "__main__":
    main()
