"""Settings of the training loop: one frozen dataclass, saved in the checkpoint."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.setting_types import check_types
from allweather.trainers.choices import ClassWeights, OptimizerName, Padding, Sampling
from allweather.trainers.training.schedules import Schedule

MIN_BATCH_SIZE = 2  # BatchNorm needs two images


@dataclass(frozen=True)
class FitSettings:
    """Settings of the training loop.

    Attributes:
        epochs: Passes over the training split.
        batch_size: Images that go through a network in a step, over all processes; 128 as in the ResNet paper. Method
            "ait" of `train` counts each variant of an image, as its authors do: 128 are 64 images in two variants.
        accumulate: Number of parts, one after the other, in which a batch is computed, so that it takes less memory.
            Their gradients add up, and learning rate and number of steps stay the same. BatchNorm takes its statistics
            from each part, which must not be too few images.
        lr: Highest learning rate; None means the architecture's default for SGD, and 0.001 at a batch size of 128 for
            AdamW.
        optimizer: "sgd" or "adamw"; None means SGD unless the network has LayerNorm and no BatchNorm, as ViT and
            ConvNeXt have, which are published with AdamW. AdamW has torch's betas, 0.9 and 0.999.
        schedule: "onecycle" reaches a given accuracy in the fewest epochs; "cosine" suits long runs; "step" divides the
            learning rate by ten at each milestone, as in the ResNet paper.
        milestones: Fractions of the run at which schedule "step" lowers the learning rate; as in the ResNet paper.
        warmup: Fraction of the run in which the learning rate rises; None means the schedule's own: 0.2 for "onecycle",
            0.02 for "cosine" and none for "step". Transformers that are trained from scratch need 0.05 or more.
        clip_norm: Norm of all gradients together above which they are scaled down to it; None means that they are not.
            1 is usual for transformers.
        momentum: Momentum of SGD.
        nesterov: Whether it has Nesterov's form, which usually needs fewer epochs; the ResNet paper has the plain one.
        weight_decay: Weight decay of the weights of layers; biases, norms and embeddings of positions and tokens have
            none. None means the optimizer's usual one: 0.0005 for SGD, 0.05 for AdamW.
        label_smoothing: Fraction of the target that is spread over all classes. 0 by default, because ResNet-20 does
            not overfit, and because smoothing blurs the probabilities. Averaging over views and predicted losses depend
            on them.
        class_weights: "balanced" weights the cross-entropy of an image by the inverse frequency of its class, so that
            all classes count the same; the mean weight is 1. For data in which some classes are rare.
        sampling: "balanced" draws each class equally often in an epoch: images of rare classes several times, and of
            frequent ones only a part. For data in which some classes are rare, instead of class weights.
        ema: Decay per step of the exponential moving average of the weights; the averaged weights are evaluated and
            saved. 0.998 averages over about one epoch of 350 steps; the decay is lower at the start of a run.
        patience: Number of epochs without a better validation accuracy after which the run ends; the averaged weights
            of the best epoch are then what is kept. The learning rate follows its schedule as if the run did not end
            early. None means that the run does all its epochs and keeps the last one.
        sync_batchnorm: Whether BatchNorm takes its statistics from the images of all processes in place of each
            process's own. It costs time and pays where a process has few images of a batch. With one process, and in
            networks without BatchNorm, it changes nothing.
        shift: Largest random shift of an image in pixels at 32 px; it scales with the image size.
        padding: What comes in from outside a shifted image: "reflect" for its border reflected; "zeros" for black, as
            in the ResNet paper.
        hflip: Whether half of the images are flipped horizontally; None means the data set's own setting.
        seed: Random seed of the initial weights and of the training; the same seed gives the same result.
    """

    epochs: int = 36
    batch_size: int = 128
    accumulate: int = 1
    lr: float | None = None
    optimizer: OptimizerName | None = None
    schedule: Schedule = "onecycle"
    milestones: tuple[float, ...] = (0.5, 0.75)
    warmup: float | None = None
    clip_norm: float | None = None
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float | None = None
    label_smoothing: float = 0.0
    class_weights: ClassWeights = "none"
    sampling: Sampling = "uniform"
    ema: float = 0.998
    patience: int | None = None
    sync_batchnorm: bool = False
    shift: int = 4
    padding: Padding = "reflect"
    hflip: bool | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: A value is out of range; the message names the setting, the range and the value.
        """
        check_types(self)
        check_choice("schedule", self.schedule, Schedule)
        check_choice("class weighting", self.class_weights, ClassWeights)
        check_choice("sampling", self.sampling, Sampling)
        check_choice("padding", self.padding, Padding)
        if self.class_weights == self.sampling == "balanced":
            raise UsageError("class weights and sampling both balance the classes; leave one of them out")
        if self.optimizer is not None:
            check_choice("optimizer", self.optimizer, OptimizerName)
        requirements = {
            "epochs": (_is_whole(self.epochs) and self.epochs >= 1, "a whole number, at least 1"),
            "batch_size": (
                _is_whole(self.batch_size) and self.batch_size >= MIN_BATCH_SIZE,
                f"a whole number, at least {MIN_BATCH_SIZE}",
            ),
            "accumulate": (_is_whole(self.accumulate) and self.accumulate >= 1, "a whole number, at least 1"),
            "lr": (self.lr is None or 0 < self.lr <= 10, "above 0, at most 10"),
            "momentum": (0 < self.momentum < 1, "above 0 and below 1"),
            "weight_decay": (self.weight_decay is None or 0 <= self.weight_decay < 1, "from 0 to below 1"),
            "milestones": (_is_rising(self.milestones), "fractions of the run, above 0 and below 1, in rising order"),
            "warmup": (self.warmup is None or 0 <= self.warmup < 1, "a fraction of the run, from 0 to below 1"),
            "clip_norm": (self.clip_norm is None or 0 < self.clip_norm < float("inf"), "above 0 and finite"),
            "shift": (_is_whole(self.shift) and 0 <= self.shift < 32, "a whole number of pixels from 0 to 31"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "from 0 to below 1"),
            "ema": (0 <= self.ema < 1, "from 0 (off) to below 1"),
            "patience": (
                self.patience is None or (_is_whole(self.patience) and self.patience >= 1),
                "a whole number of epochs, at least 1",
            ),
            "seed": (_is_whole(self.seed) and 0 <= self.seed < 2**31, "from 0 to 2^31 - 1"),
        }
        for name, (valid, requirement) in requirements.items():
            if not valid:
                raise UsageError(f"{name.replace('_', ' ')} must be {requirement}; got {getattr(self, name)}")

    def as_dict(self) -> dict[str, Any]:
        """Returns the settings as plain values that are the same after they have been written as JSON."""
        return {**dataclasses.asdict(self), "milestones": list(self.milestones)}


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_rising(milestones: tuple[float, ...]) -> bool:
    return all(low < high for low, high in pairwise((0.0, *milestones, 1.0)))
