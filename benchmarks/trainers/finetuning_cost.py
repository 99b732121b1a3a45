"""Measures the cost of the training step of each robust method.

    python benchmarks/trainers/finetuning_cost.py [ARCH]

Rival: the plain cross-entropy step of the same network on the same batch of 128 clean images of 32 px (forward,
backward, SGD). Each step is measured right after a plain one. The script prints its median time, the median of the
ratios to the plain step, and its peak memory. "naive fma" computes equation 6 of Kapoor et al. as it is written, with
two forward passes; "ait" takes the batch as two variants of 64 images; "learned" first augments the batch with the
network of a learned augmentation, and "augmix", "corruptions" and "augmix+corruptions" with that augmentation; "robust
augmix", "robust prime" and "robust mixed" add two augmented copies of each image, for consistency. ARCH is resnet20 by
default.
"""

from __future__ import annotations

import argparse
import statistics
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
from allweather.trainers.augmentations.learned.augmentation import LearnedAugmentation, open_augmentation
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.augmentations.mixed_chains import ROBUST_AUGMENTATIONS
from allweather.trainers.augmentations.pairing import Augmentation, CombinedAugmentation
from allweather.trainers.augmentations.photometric import AUGMENTATIONS
from allweather.trainers.augmentations.variants import CROP
from allweather.trainers.methods.consistency import ConsistencyObjective
from allweather.trainers.methods.invariant import InvariantObjective
from allweather.trainers.methods.pair_objective import PairObjective, loss_weights
from allweather.trainers.models.activation_hooks import LAST, capture_activations
from allweather.trainers.models.registry import build_model
from allweather.trainers.training.launch import fast_bf16
from allweather.trainers.training.objective import CrossEntropy

BATCH_SIZE, ROUNDS = 128, 15
MAX_RATIOS = {"at": 2.1, "st": 2.1, "fma": 2.3, "ait": 1.05} | {f"robust {name}": 3.2 for name in ROBUST_AUGMENTATIONS}
AUGMENTATION = CombinedAugmentation({name: augmentation.paper for name, augmentation in AUGMENTATIONS.items()})
LEARNED = LearnedAugmentation(AugmentationNetwork("parallel").eval(), "")
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def plain(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy of the clean batch."""
    return functional.cross_entropy(model(images), labels)


def robust(method: str, model: nn.Module, images: Tensor, labels: Tensor, layers: tuple[str, ...] = ()) -> Tensor:
    """Returns the loss of a method of `finetune`, augmentation included."""
    objective = PairObjective(loss_weights(method, 1.0), AUGMENTATION, layers=layers)  # type: ignore[arg-type]
    return objective.loss(model, images, labels, 0, torch.Generator().manual_seed(0))


def naive(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Returns the FMA loss from two forward passes, with gradients by autograd alone."""
    with capture_activations() as clean_maps:
        outputs = model(images)
    with capture_activations() as maps:
        model(AUGMENTATION(images, 0, torch.Generator().manual_seed(0)))
    total = functional.cross_entropy(outputs, labels)
    for clean, augmented in zip(clean_maps, maps, strict=True):
        mean = clean.flatten(1).mean(1).reshape(-1, *[1] * (clean.dim() - 1))
        total = total + (((clean - augmented) / mean) ** 2).mean() / len(maps)
    return total


def ait(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Returns the loss of augmentation-invariant training on as many images as the plain step has."""
    return InvariantObjective("ait", (CROP, CROP), 1.0).loss(model, images, labels, 0, torch.Generator())


def augmented(augmentation: Augmentation, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy of augmented images."""
    return CrossEntropy(augmentation=augmentation).loss(model, images, labels, 0, torch.Generator())


def consistent(augmentation: Augmentation, model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Returns the loss of training for consistency over each image and two augmented copies."""
    return ConsistencyObjective(augmentation).loss(model, images, labels, 0, torch.Generator())


STEPS: dict[str, Loss] = {
    "plain": plain,
    **{method: partial(robust, method) for method in ("at", "st", "fma", "robust")},
    "fma, last layer": partial(robust, "fma", layers=(LAST,)),
    "naive fma": naive,
    "ait": ait,
    "learned": partial(augmented, LEARNED),
    **{name: partial(augmented, open_augmentation(name)) for name in ("augmix", "corruptions", "augmix+corruptions")},
    **{f"robust {name}": partial(consistent, each) for name, each in ROBUST_AUGMENTATIONS.items()},
}


def prepare(arch: str) -> tuple[nn.Module, Tensor, Tensor]:
    """Returns a network in train mode and a batch; the process keeps freed memory, as in training."""
    keep_freed_memory()
    torch.manual_seed(0)
    model = build_model(arch, 10, InputSpec(32, 32)).to(memory_format=torch.channels_last).train()
    images = torch.rand(BATCH_SIZE, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    return model, images, torch.randint(0, 10, (BATCH_SIZE,))


def seconds_of_step(loss: Loss, model: nn.Module, images: Tensor, labels: Tensor) -> float:
    """Runs one training step and returns its duration in seconds."""
    started = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=fast_bf16()):
        value = loss(model, images, labels)
    value.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * parameter.grad  # type: ignore[operator]
            parameter.grad = None
    return time.perf_counter() - started


def peak_memory(arch: str, name: str) -> float:
    """Returns the peak memory of two steps in MB; runs in a process of its own."""
    model, images, labels = prepare(arch)
    before = peak_kilobytes()
    for _ in range(2):
        seconds_of_step(STEPS[name], model, images, labels)
    return (peak_kilobytes() - before) / 1024


def peak_kilobytes() -> int:
    """Returns the peak memory of this process in KB; getrusage would also count the process that started it."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def main() -> None:
    """Prints one line for each kind of step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("arch", nargs="?", default="resnet20")
    arch = parser.parse_args().arch
    model, images, labels = prepare(arch)
    times: dict[str, list[float]] = {name: [] for name in STEPS}
    for loss in STEPS.values():
        seconds_of_step(loss, model, images, labels)  # the first step includes set-up
    ratios: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(ROUNDS):
        for name, loss in STEPS.items():
            base = seconds_of_step(plain, model, images, labels)
            times[name].append(seconds_of_step(loss, model, images, labels))
            ratios[name].append(times[name][-1] / base)
    print(f"{this_device().line()}; {arch}, {BATCH_SIZE} images, {'bf16' if fast_bf16() else 'fp32'}, {ROUNDS} rounds")
    with get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for name, each in times.items():
            megabytes = pool.apply(peak_memory, (arch, name))
            median, ratio = statistics.median(each), statistics.median(ratios[name])
            limit = f"  (at most {MAX_RATIOS[name]})" if name in MAX_RATIOS else ""
            print(f"{name:18} {1000 * median:7.0f} ms  ratio {ratio:5.2f}  {megabytes:6.0f} MB{limit}")


if __name__ == "__main__":
    main()
