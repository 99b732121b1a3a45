"""Measures the training images per second of `fit`.

    python benchmarks/trainers/step_speed.py

Rival: a bare PyTorch loop with the same step. Both train ResNet-20 on the same random images: gather a shifted and
horizontally flipped batch, forward, backward, SGD with Nesterov momentum, moving average of the weights. They run in
turn, and the ratio of each pair is printed.
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch.nn import functional

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.data.batches import gather
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.data.epoch_plan import plan_epoch
from allweather.trainers.models.ema import MovingAverage
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import fast_bf16, launch
from allweather.trainers.training.progress import EpochReport
from allweather.trainers.training.settings import FitSettings

STEPS, BATCH_SIZE, PAIRS = 12, 128, 5


def random_data() -> Dataset:
    """Returns the images of an epoch of STEPS steps, and a val split of two images that costs nothing."""
    images = torch.randint(0, 256, (STEPS * BATCH_SIZE, 32, 32, 3), dtype=torch.uint8)
    train = Split(images, torch.randint(0, 10, (STEPS * BATCH_SIZE,)))
    few = train.take(torch.arange(2))
    return Dataset("random", tuple("abcdefghij"), train, few, few, hflip=True)


def ours(data: Dataset) -> float:
    """Returns the images per second of `fit`."""
    reports: list[EpochReport] = []
    settings = FitSettings(epochs=1, batch_size=BATCH_SIZE)
    model = build_model("resnet20", 10, InputSpec(32, 32))
    fit(
        model,
        data,
        settings,
        0.1,
        fabric=launch(),
        watch=lambda progress: reports.append(progress.report) if progress.report else None,
    )
    return reports[0].images_per_second


def bare(data: Dataset) -> float:
    """Returns the images per second of the same step, written out."""
    model = build_model("resnet20", 10, InputSpec(32, 32)).to(memory_format=torch.channels_last).train()
    average = MovingAverage(model, 0.998)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    started = time.monotonic()
    plan = plan_epoch(len(data.train), BATCH_SIZE, shift=4, hflip=True, seed=0, epoch=0)
    for step in range(STEPS):
        images, labels = gather(data.train.images, data.train.labels, *plan.for_step(step, slice(None)))
        with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16()):
            loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(step)
    return STEPS * BATCH_SIZE / (time.monotonic() - started)


def main() -> None:
    """Prints one line for each pair, and the median ratio."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    keep_freed_memory()
    data = random_data()
    ours(data), bare(data)  # the first call of each includes set-up
    print(f"{this_device().line()}; ResNet-20, batch {BATCH_SIZE}, {'bf16' if fast_bf16() else 'fp32'}")
    ratios = []
    for _ in range(PAIRS):
        mine, theirs = ours(data), bare(data)
        ratios.append(mine / theirs)
        print(f"allweather {mine:6.0f} images/s   bare PyTorch {theirs:6.0f} images/s   ratio {ratios[-1]:.3f}")
    print(f"median ratio {statistics.median(ratios):.3f} (at least 0.9)")


if __name__ == "__main__":
    main()
