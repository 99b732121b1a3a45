"""Measures the training images per second that are read from a folder of JPEG files.

    python benchmarks/trainers/streaming.py --cifar ROOT --work FOLDER

Rival: torchvision's ImageFolder and torch's DataLoader, with as many worker processes. Both take 128 random resized and
horizontally flipped crops of 224 pixels from 5,000 JPEG files of about 500 x 400 pixels, made from CIFAR-10, and give
float32 batches in 0..1; neither normalizes. They run in turn, and the ratio of each pair is printed. Then it prints how
long `allweather train` takes from its start to the first batch, and how much of that is the import of libraries.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader

from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.epoch_plan import plan_epoch
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.torchvision_import import import_torchvision

FILES, SIZE, BATCH_SIZE, PAIRS = 5000, 224, 128, 5
QUALITY = 92  # of the JPEG files
FIRST_BATCH = """
import os, sys, time
from allweather.cli import main
from allweather.trainers.data.streamed.streamed_split import StreamedSplit
batches = StreamedSplit.training_batches
def timed(split, plan, parts):
    for batch in batches(split, plan, parts):
        print(time.time(), flush=True)
        os._exit(0)
StreamedSplit.training_batches = timed
main()
"""


def make_files(cifar: Path, folder: Path) -> None:
    """Writes enlarged CIFAR-10 images with noise as JPEG files into a folder for each class."""
    train = open_dataset(f"cifar10:{cifar}").train.loaded()
    rng = np.random.default_rng(0)
    for number, (image, label) in enumerate(zip(train.images[:FILES].numpy(), train.labels.tolist(), strict=False)):
        height, width = int(rng.integers(360, 440)), int(rng.integers(450, 550))
        large = cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 6, (height, width, 1))
        place = folder / "train" / f"class{label}"
        place.mkdir(parents=True, exist_ok=True)
        pixels = large.clip(0, 255).astype(np.uint8)[..., ::-1]
        cv2.imwrite(str(place / f"{number}.jpg"), pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def ours(data: Dataset, epoch: int) -> float:
    """Returns the images per second of an epoch of streamed batches."""
    plan = plan_epoch(len(data.train), BATCH_SIZE, shift=0, hflip=True, seed=0, epoch=epoch)
    parts = [(step, slice(None)) for step in range(len(plan.order))]
    started = time.perf_counter()
    count = sum(len(images) for images, _ in data.train.training_batches(plan, parts))
    return count / (time.perf_counter() - started)


def rival(folder: Path, workers: int) -> float:
    """Returns the images per second of an epoch of torchvision's data set in torch's DataLoader."""
    transforms, datasets = import_torchvision("transforms"), import_torchvision("datasets")
    steps = [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), transforms.ToTensor()]
    images = datasets.ImageFolder(str(folder / "train"), transforms.Compose(steps))
    loader = DataLoader(images, BATCH_SIZE, shuffle=True, num_workers=workers, drop_last=True, prefetch_factor=2)
    started = time.perf_counter()
    count = sum(len(batch) for batch, _ in loader)
    return count / (time.perf_counter() - started)


def first_batch(folder: Path, workers: int) -> float:
    """Returns the seconds from the start of `allweather train` to its first batch, imports among them."""
    options = ["--arch", "resnet20", "--size", str(SIZE), "--crop", "random-resized", "--workers", str(workers)]
    command = [sys.executable, "-c", FIRST_BATCH, "train", "--data", f"folder:{folder}", *options]
    started = time.time()
    with TemporaryDirectory() as out:
        done = subprocess.run([*command, "--out", f"{out}/a.safetensors"], capture_output=True, text=True)  # noqa: S603 # this program
    return float(done.stdout.split()[0]) - started


def import_seconds() -> float:
    """Returns the seconds that a Python process takes for the libraries that every training needs."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import torch, torch._dynamo, lightning_fabric"], check=True)
    return time.perf_counter() - started


def main() -> None:
    """Makes the files unless they are there, and prints both speeds and their ratio for each pair of epochs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, help="folder of cifar-10-batches-py")
    parser.add_argument("--work", type=Path, required=True, help="folder for the image files")
    parser.add_argument("--workers", type=int, default=2, help="worker processes of each")
    args = parser.parse_args()
    folder = args.work / "jpegs-500x400"
    if not folder.exists():
        make_files(args.cifar, folder)
    keep_freed_memory()
    torch.set_num_threads(1)
    data = open_dataset(f"folder:{folder}", SIZE, reading=Reading(True, args.workers, random_resized=True))
    print(f"{this_device().line()}; {FILES} files, {args.workers} workers; images/s into batches of {BATCH_SIZE}")
    ratios = []
    for pair in range(PAIRS):
        speeds = ours(data, pair), rival(folder, args.workers)
        ratios.append(speeds[0] / speeds[1])
        print(f"allweather {speeds[0]:.0f}, torchvision {speeds[1]:.0f}, ratio {ratios[-1]:.2f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.2f}")
    seconds = [first_batch(folder, args.workers) for _ in range(3)]
    imports = [import_seconds() for _ in range(3)]
    print(
        f"allweather train: first batch after {statistics.median(seconds):.2f} s; importing torch, torch._dynamo "
        f"(which its optimizers need) and Lightning Fabric alone: {statistics.median(imports):.2f} s (medians of 3)"
    )


if __name__ == "__main__":
    main()
