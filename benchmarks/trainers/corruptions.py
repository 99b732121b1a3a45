"""Milliseconds a picture of the 19 corruptions beside the reference's: python benchmarks/trainers/corruptions.py.

The reference was timed elsewhere, one 32 px picture at a time on one core, next to a yardstick: drawing 32 x 32 x 3
normal numbers with numpy's old generator. The yardstick is run here in the same rounds, and the reference's times are
multiplied by the ratio of the two. Ours are batches of pictures on one core too; of every time the best round counts.
Last comes a grid of all 95 cells for one 224 px picture.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # read at import

import cv2
import numpy as np

from allweather.runtimes.system.device import this_device
from allweather.trainers.corruptions import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES, Images
from allweather.trainers.corruptions.sets.random_streams import streams

SHARED = Path(__file__).parents[3] / "shared" / "data"
REFERENCE = SHARED / "golden" / "corruption_reference_speed_32px.json"
CLEAN = SHARED / "cifar10c" / "clean.npy"
BATCH, ROUNDS, DRAWS = 128, 7, 100
LARGE = 224


def pictures() -> Images:
    """CIFAR-10 test pictures where they are, else smooth noise, uint8 [BATCH, 32, 32, 3]."""
    if CLEAN.is_file():
        clean = np.load(CLEAN)
        return np.ascontiguousarray(clean[np.arange(BATCH) % len(clean)])
    noise = np.random.default_rng(0).uniform(0, 255, (BATCH, 8, 8, 3)).astype(np.uint8)
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in noise])


def milliseconds(act: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    began = time.perf_counter()
    act()
    return 1000 * (time.perf_counter() - began)


def draw_yardstick() -> None:
    """What the reference machine was measured by, DRAWS times."""
    for _ in range(DRAWS):
        np.random.normal(size=(32, 32, 3))


def measure(images: Images) -> tuple[dict[str, float], float]:
    """Milliseconds a picture of each corruption, averaged over the severities, and those of the yardstick."""
    best = {(name, severity): np.inf for name in CORRUPTIONS for severity in SEVERITIES}
    yardstick = np.inf
    for round_ in range(ROUNDS + 1):
        for name, severity in best:
            rngs = streams(round_, name, severity, 0, len(images))
            spent = milliseconds(lambda: CORRUPTIONS[name](images, severity, rngs)) / len(images)  # noqa: B023
            if round_:  # the first pays for tables and textures
                best[name, severity] = min(best[name, severity], spent)
        yardstick = min(yardstick, milliseconds(draw_yardstick) / DRAWS)
    mean = {name: float(np.mean([best[name, severity] for severity in SEVERITIES])) for name in CORRUPTIONS}
    return mean, yardstick


def grid(image: Images) -> dict[str, float]:
    """Seconds that the five severities of each corruption take for one picture, uint8 [1, h, w, 3]."""
    best = dict.fromkeys(CORRUPTIONS, np.inf)
    for round_ in range(ROUNDS + 1):
        for name, corruption in CORRUPTIONS.items():

            def all_severities() -> None:
                for severity in SEVERITIES:
                    corruption(image, severity, streams(round_, name, severity, 0, 1))  # noqa: B023

            spent = milliseconds(all_severities) / 1000
            if round_:
                best[name] = min(best[name], spent)
    return best


def main() -> None:
    """Prints a line a corruption, the overall ratio and the large grid."""
    parser = argparse.ArgumentParser(description="Milliseconds a picture beside the reference's, on one core.")
    parser.add_argument("--reference", type=Path, default=REFERENCE, help="JSON file of the reference's milliseconds")
    path = parser.parse_args().reference
    if not path.is_file():
        sys.exit(f"{path} is missing: name the JSON file of the reference's times with --reference PATH")
    known = json.loads(path.read_text())
    cv2.setNumThreads(1)
    images = pictures()
    ours, yardstick = measure(images)
    scale = yardstick / known["yardstick_numpy_standard_normal_32x32x3_ms"]
    reference = {name: scale * spent for name, spent in known["milliseconds_per_image"].items()}
    large = grid(cv2.resize(images[0], (LARGE, LARGE), interpolation=cv2.INTER_CUBIC)[None])
    print(f"{this_device().line()}; one core, batches of {BATCH}, best of {ROUNDS}, mean of five severities")
    print(f"yardstick {yardstick:.5f} ms here: the reference's times are multiplied by {scale:.3f}")
    print(f"{'':20s}{'ours, ms':>10s}{'reference':>11s}{'ratio':>8s}{'224 px x 5':>14s}")
    for name, spent in ours.items():
        ratio, five = reference[name] / spent, 1000 * large[name]
        print(f"{name:20s}{spent:10.4f}{reference[name]:11.4f}{ratio:8.1f}{five:11.1f} ms")
    mean, theirs = np.mean(list(ours.values())), np.mean(list(reference.values()))
    lowest = min(ours, key=lambda name: reference[name] / ours[name])
    median = np.median([reference[name] / spent for name, spent in ours.items()])
    print(f"{'mean':20s}{mean:10.4f}{theirs:11.4f}{theirs / mean:8.1f}{1000 * sum(large.values()):11.1f} ms in all")
    print(f"ratio of the means {theirs / mean:.1f} (held to >= 10); median of the ratios {median:.1f}")
    print(f"lowest ratio {reference[lowest] / ours[lowest]:.2f}, {lowest} (held to >= 1)")
    print(f"all 95 cells of one {LARGE} px picture: {sum(large.values()):.3f} s (held to <= 0.5)")


if __name__ == "__main__":
    main()
