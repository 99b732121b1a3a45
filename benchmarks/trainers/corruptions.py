"""Times the 19 corruptions per image against the original implementation: python benchmarks/trainers/corruptions.py.

The original was timed on another machine, one image of 32 px at a time on one core, together with a yardstick: drawing
32 x 32 x 3 normal numbers by numpy's legacy generator. The yardstick is timed here in the same rounds, and the times of
the original are multiplied by the ratio of the two. Ours run on batches of images, also on one core; the best of
several rounds is reported. At the end, all 95 cells (19 corruptions at 5 severities) are timed for one image of 224 px.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# the libraries below read these when they are imported
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import cv2
import numpy as np

from allweather.runtimes.system.device import this_device
from allweather.runtimes.types import Image
from allweather.trainers.corruptions import CORRUPTIONS
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets.random_streams import image_rngs

SHARED = Path(__file__).parents[3] / "shared" / "data"
REFERENCE = SHARED / "golden" / "corruption_reference_speed_32px.json"
CLEAN = SHARED / "cifar10c" / "clean.npy"
BATCH_SIZE, ROUNDS, YARDSTICK_RUNS = 128, 7, 100
LARGE_SIDE = 224  # pixels


def load_images() -> Image:
    """Returns CIFAR-10 test images if they are there, else smooth noise: uint8 [BATCH_SIZE, 32, 32, 3]."""
    if CLEAN.is_file():
        clean = np.load(CLEAN)
        return np.ascontiguousarray(clean[np.arange(BATCH_SIZE) % len(clean)])
    noise = np.random.default_rng(0).uniform(0, 255, (BATCH_SIZE, 8, 8, 3)).astype(np.uint8)
    return np.stack([cv2.resize(image, (32, 32), interpolation=cv2.INTER_CUBIC) for image in noise])


def milliseconds(run: Callable[[], object]) -> float:
    """Returns the wall-clock time of one call."""
    started = time.perf_counter()
    run()
    return 1000 * (time.perf_counter() - started)


def run_yardstick() -> None:
    """Runs the yardstick, by which the speeds of the two machines are compared, YARDSTICK_RUNS times."""
    for _ in range(YARDSTICK_RUNS):
        np.random.normal(size=(32, 32, 3))


def time_corruptions(images: Image) -> tuple[dict[str, float], float]:
    """Returns the milliseconds per image of each corruption, averaged over severities, and those of the yardstick."""
    best = {(name, severity): np.inf for name in CORRUPTIONS for severity in SEVERITIES}
    yardstick = np.inf
    for round_index in range(ROUNDS + 1):
        for name, severity in best:
            rngs = image_rngs(round_index, name, severity, 0, len(images))
            spent = milliseconds(lambda: CORRUPTIONS[name](images, severity, rngs)) / len(images)  # noqa: B023
            if round_index:  # the first round makes tables and textures
                best[name, severity] = min(best[name, severity], spent)
        yardstick = min(yardstick, milliseconds(run_yardstick) / YARDSTICK_RUNS)
    mean = {name: float(np.mean([best[name, severity] for severity in SEVERITIES])) for name in CORRUPTIONS}
    return mean, yardstick


def time_one_image(image: Image) -> dict[str, float]:
    """Returns the seconds that all severities of each corruption take for one image, uint8 [1, h, w, 3]."""
    best = dict.fromkeys(CORRUPTIONS, np.inf)
    for round_index in range(ROUNDS + 1):
        for name, corruption in CORRUPTIONS.items():

            def all_severities() -> None:
                for severity in SEVERITIES:
                    corruption(image, severity, image_rngs(round_index, name, severity, 0, 1))  # noqa: B023

            spent = milliseconds(all_severities) / 1000
            if round_index:
                best[name] = min(best[name], spent)
    return best


def main() -> None:
    """Prints a line per corruption, the ratios, and the time of all cells for one large image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reference", type=Path, default=REFERENCE, help="JSON file of the original's times in milliseconds"
    )
    path = parser.parse_args().reference
    if not path.is_file():
        sys.exit(f"{path} is missing: name the JSON file of the original's times with --reference PATH")
    published = json.loads(path.read_text())
    cv2.setNumThreads(1)
    images = load_images()
    ours, yardstick = time_corruptions(images)
    scale = yardstick / published["yardstick_numpy_standard_normal_32x32x3_ms"]
    reference = {name: scale * spent for name, spent in published["milliseconds_per_image"].items()}
    large = time_one_image(cv2.resize(images[0], (LARGE_SIDE, LARGE_SIDE), interpolation=cv2.INTER_CUBIC)[None])
    print(f"{this_device().line()}; one core, batches of {BATCH_SIZE}, best of {ROUNDS} rounds, mean of 5 severities")
    print(f"yardstick {yardstick:.5f} ms here: the times of the original are multiplied by {scale:.3f}")
    print(f"{'':20s}{'ours, ms':>10s}{'original':>11s}{'ratio':>8s}{'224 px x 5':>14s}")
    for name, spent in ours.items():
        ratio, five = reference[name] / spent, 1000 * large[name]
        print(f"{name:20s}{spent:10.4f}{reference[name]:11.4f}{ratio:8.1f}{five:11.1f} ms")
    mean, original = np.mean(list(ours.values())), np.mean(list(reference.values()))
    lowest = min(ours, key=lambda name: reference[name] / ours[name])
    median = np.median([reference[name] / spent for name, spent in ours.items()])
    print(
        f"{'mean':20s}{mean:10.4f}{original:11.4f}{original / mean:8.1f}{1000 * sum(large.values()):11.1f} ms in total"
    )
    print(f"ratio of the means {original / mean:.1f} (target >= 10); median of the ratios {median:.1f}")
    print(f"lowest ratio {reference[lowest] / ours[lowest]:.2f}, {lowest} (target >= 1)")
    print(f"all 95 cells of one image of {LARGE_SIDE} px: {sum(large.values()):.3f} s (target <= 0.5)")


if __name__ == "__main__":
    main()
