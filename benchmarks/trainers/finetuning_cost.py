"""The cost of a training step beside a plain one: python benchmarks/trainers/finetuning_cost.py [resnet20].

All steps are on the same batch of 128 clean pictures of 32 px: forward, backward, SGD. Each comes right after a plain
one, and the median of its ratios to that is printed, with the memory that it takes at its peak. "naive" is equation 6
as written; "ait" takes the batch for two variants of 64 pictures; "learned" augments it by a network first.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.augmentations.learned.augmentation import LearnedAugmentation
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.augmentations.pairing import CombinedAugmentation
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.variants import CROP
from allweather.trainers.methods.invariant import InvariantObjective
from allweather.trainers.methods.pair_objective import PairObjective, loss_weights
from allweather.trainers.models.activation_hooks import capture_activations
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.launch import fast_bf16
from allweather.trainers.training.objective import CrossEntropy

BATCH, ROUNDS = 128, 15
HELD_TO = {"at": 2.1, "st": 2.1, "fma": 2.5, "ait": 1.05}
COPIES = CombinedAugmentation({name: kind.paper for name, kind in AUGMENTATIONS.items()})
AUGMENTER = LearnedAugmentation(AugmentationNetwork("parallel").eval(), "")
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def plain(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of the clean batch."""
    return functional.cross_entropy(model(images), labels)


def ours(method: str, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """As `finetune` does it, distortion included."""
    objective = PairObjective(loss_weights(method, 1.0), COPIES)  # type: ignore[arg-type]
    return objective.loss(model, images, labels, 0, torch.Generator().manual_seed(0))


def naive(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """FMA from two forward passes, left to autograd."""
    with capture_activations() as clean_maps:
        answers = model(images)
    with capture_activations() as maps:
        model(COPIES(images, 0, torch.Generator().manual_seed(0)))
    total = functional.cross_entropy(answers, labels)
    for f, g in zip(clean_maps, maps, strict=True):
        mean = f.flatten(1).mean(1).reshape(-1, *[1] * (f.dim() - 1))
        total = total + (((f - g) / mean) ** 2).mean() / len(maps)
    return total


def ait(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Augmentation-invariant training on as many pictures as the plain step."""
    return InvariantObjective("ait", (CROP, CROP), 1.0).loss(model, images, labels, 0, torch.Generator())


def learned(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """The plain step on pictures that a network augments."""
    return CrossEntropy(augmentation=AUGMENTER).loss(model, images, labels, 0, torch.Generator())


STEPS: dict[str, Loss] = {
    "plain": plain,
    **{method: partial(ours, method) for method in ("at", "st", "fma", "robust")},
    "naive fma": naive,
    "ait": ait,
    "learned": learned,
}


def prepared(arch: str) -> tuple[nn.Module, Tensor, Tensor]:
    """A network in train mode and a batch, in a process that keeps freed memory as one that trains does."""
    keep_freed_memory()
    torch.manual_seed(0)
    model = build_model(arch, 10, InputSpec(32, 32)).to(memory_format=torch.channels_last).train()
    images = torch.rand(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    return model, images, torch.randint(0, 10, (BATCH,))


def step(loss: Loss, model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Seconds of one step."""
    began = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16()):
        value = loss(model, images, labels)
    value.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * parameter.grad  # type: ignore[operator]
            parameter.grad = None
    return time.perf_counter() - began


def peak_memory(arch: str, name: str) -> float:
    """MB that two steps take at most; run in a process of its own."""
    model, images, labels = prepared(arch)
    before = most_memory()
    for _ in range(2):
        step(STEPS[name], model, images, labels)
    return (most_memory() - before) / 1024


def most_memory() -> int:
    """KB that this process held at most; getrusage would also count the process that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def main() -> None:
    """Prints one line a step."""
    arch = sys.argv[1] if len(sys.argv) > 1 else "resnet20"
    model, images, labels = prepared(arch)
    times: dict[str, list[float]] = {name: [] for name in STEPS}
    for loss in STEPS.values():
        step(loss, model, images, labels)  # the first pays for set-up
    ratios: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(ROUNDS):
        for name, loss in STEPS.items():
            base = step(plain, model, images, labels)
            times[name].append(step(loss, model, images, labels))
            ratios[name].append(times[name][-1] / base)
    print(f"{this_device().line()}; {arch}, {BATCH} pictures, {'bf16' if fast_bf16() else 'fp32'}, {ROUNDS} rounds")
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, each in times.items():
            megabytes = pool.apply(peak_memory, (arch, name))
            median, ratio = statistics.median(each), statistics.median(ratios[name])
            held = f"  (held to {HELD_TO[name]})" if name in HELD_TO else ""
            print(f"{name:10} {1000 * median:7.0f} ms  ratio {ratio:5.2f}  {megabytes:6.0f} MB{held}")


if __name__ == "__main__":
    main()
