"""Training speed: images per second of the project's training step beside a bare torch loop with the same step.

Both train on images that are on the device as a whole: a batch is shifted and flipped, then forward, backward, SGD with
Nesterov momentum, and a moving average of the weights; channels-last, in bf16 where the device computes it fast. On a
GPU each is measured again with the network compiled by torch.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import first_line
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.models.ema import MovingAverage
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.fit import fit
from allweather.trainers.training.settings import FitSettings
from gpu.budget import Budget
from gpu.compiled import COMPILE_SECONDS, compile_in_place, compiles_on
from gpu.records import Work
from gpu.timing import StepClock, wait_for

NETWORKS = ("resnet20", "resnet18", "vgg16")
BATCH_SIZE = 128
WARM_UP_STEPS = 2  # before the clock starts; a GPU chooses its kernels in them
MOST_STEPS = 200  # of one measurement
PAIRS = 3  # measurements of each loop, in turn
SHIFT = 4  # pixels, as in `FitSettings`
LR = 1e-3  # of both loops; speed is measured, and not accuracy


def run(work: Work, networks: Sequence[str] = NETWORKS) -> None:
    """Measures each network within its share of the time."""
    for index, arch in enumerate(networks):
        name = f"speed-{arch}"
        if work.finished(name) is None:
            budget = work.budget.share(1 / (len(networks) - index))
            schedule, results = measure(work, arch, budget)
            work.finish(name, schedule, results)


def measure(work: Work, arch: str, budget: Budget) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measures both loops, then both with the compiled network; returns what was run and the results."""
    on_gpu = compiles_on(work.fabric.device)
    model = _network(work, arch)
    batch, steps = affordable(work, model, budget.share(0.3 if on_gpu else 1.0))
    results: dict[str, Any] = {"plain": in_turn(work, model, batch, steps, budget)}
    results["ratio"] = results["plain"]["ratio"]
    if on_gpu and budget.left() > COMPILE_SECONDS:
        try:
            results["compiled"] = in_turn(work, compile_in_place(model), batch, steps, budget)
            results["ratio compiled"] = results["compiled"]["ratio"]
        except RuntimeError as error:  # of torch's compiler, which needs more of a machine than torch does
            results["not compiled"] = first_line(error)
    rates = "; ".join(
        f"{kind} {results[kind]['allweather']:.0f} images/s, bare {results[kind]['bare']:.0f}, "
        f"ratio {results[kind]['ratio']:.3f}"
        for kind in ("plain", "compiled")
        if kind in results
    )
    schedule = {"arch": arch, "batch_size": batch, "full_batch_size": BATCH_SIZE, "steps": steps, "pairs": PAIRS}
    return schedule | {"cut": batch < BATCH_SIZE}, {**results, "text": rates}


def in_turn(work: Work, model: nn.Module, batch: int, steps: int, budget: Budget) -> dict[str, Any]:
    """Returns the median images/s of both loops, measured in turn, their ratio, and all measurements."""
    rates: dict[str, list[float]] = {"allweather": [], "bare": []}
    for _ in range(PAIRS):
        for name, loop in (("allweather", ours), ("bare", bare)):
            rates[name].append(loop(work, model, batch, steps, budget))
    ratios = [mine / theirs for mine, theirs in zip(*rates.values(), strict=True)]
    medians = {name: statistics.median(values) for name, values in rates.items()}
    return {**medians, "ratio": statistics.median(ratios), "measurements": rates}


def affordable(work: Work, model: nn.Module, budget: Budget) -> tuple[int, int]:
    """Returns the batch size, smaller if need be, and the timed steps with which all measurements fit in."""
    batch = BATCH_SIZE if work.fabric.device.type == "cuda" else min(8, BATCH_SIZE)
    seconds_per_image = 1 / bare(work, model, batch, 1, budget)
    images = 0.5 * budget.left() / (2 * PAIRS) / seconds_per_image  # of one measurement; the rest is for setting up
    batch = BATCH_SIZE
    while batch > 2 and batch * (WARM_UP_STEPS + 2) > images:
        batch //= 2
    return batch, int(min(MOST_STEPS, max(2, images / batch - WARM_UP_STEPS)))


def ours(work: Work, model: nn.Module, batch: int, steps: int, budget: Budget) -> float:
    """Returns the images per second of `fit`."""
    last = WARM_UP_STEPS + steps
    clock = StepClock(work.fabric, (WARM_UP_STEPS, last), budget.check)
    fit(
        model,
        repeated(work.dataset, last * batch),
        FitSettings(epochs=1, batch_size=batch),
        LR,
        fabric=work.fabric,
        watch=clock,
    )
    return steps * batch / (clock.at[last] - clock.at[WARM_UP_STEPS])


def bare(work: Work, model: nn.Module, batch: int, steps: int, budget: Budget) -> float:
    """Returns the images per second of the same step, written out in plain torch."""
    device = work.fabric.device
    model = model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
    average = MovingAverage(model, 0.998)
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
    data = repeated(work.dataset, (WARM_UP_STEPS + steps) * batch).train.to(device)
    half = "bf16" in str(work.fabric._precision.precision)
    started = time.monotonic()
    for step in range(WARM_UP_STEPS + steps):
        if step == WARM_UP_STEPS:
            wait_for(device)
            started = time.monotonic()
        part = slice(step * batch, (step + 1) * batch)
        images = shifted_and_flipped(data.images[part])
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            loss = functional.cross_entropy(model(images), data.labels[part])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        average.update(step)
        budget.check()
    wait_for(device)
    return steps * batch / (time.monotonic() - started)


def shifted_and_flipped(images: Tensor) -> Tensor:
    """Shifts uint8 [n, h, w, 3] by up to 4 pixels and flips half of them; returns float32 [n, 3, h, w] in 0..1."""
    count, height, width, _ = images.shape
    device = images.device
    shift = torch.randint(-SHIFT, SHIFT + 1, (2, count, 1), device=device)
    rows, columns = torch.arange(height, device=device) + shift[0], torch.arange(width, device=device) + shift[1]
    rows, columns = (side - 1 - (side - 1 - at.abs()).abs() for at, side in ((rows, height), (columns, width)))
    columns = torch.where(torch.rand(count, 1, device=device) < 0.5, columns.flip(1), columns)
    index = torch.arange(count, device=device)[:, None, None]
    return images[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).float() / 255


def repeated(dataset: Dataset, count: int) -> Dataset:
    """Returns `count` training images, from the first on and over again, and two val images that cost nothing."""
    train = dataset.train.take(torch.arange(count) % len(dataset.train))
    few = dataset.train.take(torch.arange(2))
    return replace(dataset, train=train, val=few, test=few)


def _network(work: Work, arch: str) -> nn.Module:
    height, width = work.dataset.train.images.shape[1:3]
    return build_model(arch, len(work.dataset.classes), InputSpec(height, width))
