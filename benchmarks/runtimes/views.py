"""Measures how many microseconds a view takes, next to Pillow and torchvision: python benchmarks/runtimes/views.py.

Each library gets the image in its own form (array, Image, uint8 tensor), one at a time, on one core. They take turns,
and the best of several rounds is printed. Unlike ours, rotation and zoom of the other libraries do not reflect the
border. "nan" means that a library has no such function, or defines its factor in another way.
"""

from __future__ import annotations

import argparse
import timeit
from collections.abc import Callable
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageEnhance, ImageOps

from allweather.runtimes.system.device import this_device
from allweather.runtimes.tta.views import CLASSIC_VIEWS, VIEWS, view
from allweather.trainers.torchvision_import import import_torchvision

ROUNDS, SECONDS = 5, 0.02
Call = Callable[[], Any]


def pillow_view(name: str, image: Pillow.Image) -> Call | None:
    """Returns the same view in Pillow; None where there is none."""
    side = image.width
    kind, factor = _split(name)
    if kind == "color":
        return lambda: ImageEnhance.Color(image).enhance(factor)
    if kind == "sharpness":
        return lambda: ImageEnhance.Sharpness(image).enhance(factor)
    if kind == "rotate":
        return lambda: image.rotate(factor, Pillow.Resampling.BILINEAR)
    if kind == "zoom":
        shift = (side - side / factor) / 2
        data = (1 / factor, 0, shift, 0, 1 / factor, shift)
        return lambda: image.transform(image.size, Pillow.Transform.AFFINE, data, Pillow.Resampling.BILINEAR)
    if name.startswith("crop"):
        box = (0, 0, round(side * 7 / 8), round(side * 7 / 8))
        return lambda: image.resize(image.size, Pillow.Resampling.BILINEAR, box)
    others: dict[str, Call] = {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "hflip": lambda: ImageOps.mirror(image),
    }
    return others.get(name)


def torchvision_view(name: str, image: torch.Tensor) -> Call | None:
    """Returns the same view in torchvision; None where there is none."""
    functional = import_torchvision("transforms.v2.functional")
    side = image.shape[-1]
    kind, factor = _split(name)
    part = round(side * 7 / 8)
    calls: dict[str, Call] = {
        "color": partial(functional.adjust_saturation, image, factor),
        "sharpness": partial(functional.adjust_sharpness, image, factor),
        "rotate": partial(functional.rotate, image, factor, functional.InterpolationMode.BILINEAR),
        "zoom": partial(
            functional.affine, image, 0.0, [0, 0], factor, [0.0, 0.0], functional.InterpolationMode.BILINEAR
        ),
        "autocontrast": partial(functional.autocontrast, image),
        "hflip": partial(functional.horizontal_flip, image),
        "crop": partial(functional.resized_crop, image, 0, 0, part, part, [side, side], antialias=False),
    }
    return calls.get(kind)


def _split(name: str) -> tuple[str, float]:
    """Returns a view's kind and the number in its name, 0 where it has none."""
    kind = name.split("-")[0] if name.startswith("crop") else name.rstrip("+-.0123456789")
    return kind, float(name[len(kind) :] or 0) if not name.startswith("crop") else 0.0


def measure(call: Call | None) -> float:
    """Returns the microseconds of a call, averaged over one round; NaN for no call."""
    if call is None:
        return float("nan")
    timer = timeit.Timer(call)
    once = max(timer.timeit(1), 1e-7)
    count = max(1, int(SECONDS / once))
    return 1e6 * timer.timeit(count) / count


def main() -> None:
    """Prints one line for each view and size."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    print(f"{this_device().line()}; one core, microseconds for one image, best of {ROUNDS} rounds")
    for side in (32, 224):
        noise = np.random.default_rng(0).integers(20, 230, (side // 4, side // 4, 3), dtype=np.uint8)
        array = np.ascontiguousarray(cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC))
        image, tensor = Pillow.fromarray(array), torch.from_numpy(array).permute(2, 0, 1).contiguous()
        print(f"\n{side} px {'ours':>20} {'Pillow':>9} {'torchvision':>12} {'ratios':>14}")
        for name in (*VIEWS, *list(CLASSIC_VIEWS)[:2]):
            calls = (partial(view(name).apply, array), pillow_view(name, image), torchvision_view(name, tensor))
            ours, theirs, torchs = (min(measure(call) for _ in range(ROUNDS)) for call in calls)
            ratios = "" if name == "identity" else f"{theirs / ours:7.1f} {torchs / ours:7.1f}"
            print(f"{name:16} {ours:9.2f} {theirs:9.2f} {torchs:12.2f} {ratios}")


if __name__ == "__main__":
    main()
