"""Learns an augmentation for a data set, stage by stage (Lee et al., section 4.3); every stage can be resumed.

A classifier is trained on four fifths of the training pictures; G is pretrained; the validation loss, on the remaining
fifth, is turned into a slope for the last layer; E and G learn to make pictures that lower it.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from allweather.runtimes.errors import DataError, TrainingError, UsageError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint, save_augmentation
from allweather.trainers.augmentations.learned.networks import STAGE_HEADS, AugmentationMode, AugmentationNetwork
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, COMBINATIONS, augment
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint import load_checkpoint
from allweather.trainers.choices import AugmentationAim as AugmentationAim
from allweather.trainers.corruptions import EXTRA, corrupt
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import Dataset, Split, split_off
from allweather.trainers.methods.learned_augmentation.adversarial import AdversarialObjective, GanModel
from allweather.trainers.methods.learned_augmentation.influence_objective import (
    Body,
    InfluenceObjective,
    TwoDraws,
    estimator,
    influence_deviation,
)
from allweather.trainers.methods.train import resume_path, train
from allweather.trainers.models.activation_hooks import last_linear
from allweather.trainers.models.registry import weights_digest
from allweather.trainers.training.fit import fit
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings

Stage = Literal["classifier", "mimicry", "benefit"]
FEWEST = 10  # training pictures
HELD_OUT = 0.2  # of the training pictures: their loss is to fall
PART = 500  # pictures that are distorted at once
RUN = "run.json"  # in the folder of the stages: whose they are
MIMICRY_RATE, BENEFIT_RATE = 0.02, 0.02


@dataclass(frozen=True)
class LearnAugmentationSettings:
    """What learning an augmentation is told.

    Attributes:
        mode: of the network.
        aim: the pictures whose loss is to fall: as they are, by turns under Combined+ and Combined-, or under the four
            extra corruptions; the 15 common ones are left to test on.
        damping: of the last layer's training loss; see `influence`.
        mimicry: epochs of pretraining; 0 leaves it out.
        epochs: of learning from influence.
        classifier: training of the classifier.
    """

    mode: AugmentationMode = "parallel"
    aim: AugmentationAim = "clean"
    damping: float = 1e-3
    gan_epochs: int = 5
    epochs: int = 10
    classifier: FitSettings = dataclasses.field(default_factory=FitSettings)

    def __post_init__(self) -> None:
        """Refuses what cannot be.

        Raises:
            UsageError: naming the setting and what goes.
        """
        if self.mode not in STAGE_HEADS:
            raise UsageError(f"an augmentation is {', '.join(STAGE_HEADS)}; got {self.mode!r}")
        if self.aim not in get_args(AugmentationAim):
            raise UsageError(f"an aim is {', '.join(get_args(AugmentationAim))}; got {self.aim!r}")
        if not 0 < self.damping < float("inf"):
            raise UsageError(f"damping is a number above 0; got {self.damping:g}")
        if self.gan_epochs < 0 or self.epochs < 1:
            raise UsageError(f"epochs are from 1 and those of mimicry from 0; got {self.epochs} and {self.gan_epochs}")


def learn_augmentation(
    arch: str,
    dataset: Dataset,
    settings: LearnAugmentationSettings,
    out: Path,
    *,
    fabric: Fabric,
    watch: Callable[[Stage, Progress], None] = lambda stage, progress: None,
) -> AugmentationCheckpoint:
    """Learns an augmentation and saves it.

    While it learns, the folder `.<name>.stages` beside `out` holds the finished stages and the current one; a run that
    finds it goes on from there, also with another aim, damping or number of epochs.

    Args:
        arch: of the classifier, a name of `models.ARCHITECTURES`.
        dataset: train is used; val says how well the classifier learned, and nothing is chosen by it.
        settings: see there.
        out: the file to write.
        fabric: launched.
        watch: told of every step and epoch of every stage.

    Raises:
        UsageError: the classifier has no linear layer, or the batch is too small.
        DataError: there are too few pictures.
        TrainingError: a stage diverged, or the folder is of another run.
        OutputError: the file cannot be written.
    """
    if len(dataset.train) < FEWEST:
        raise DataError(
            f"{FEWEST} training pictures are needed to learn an augmentation, as a fifth of them is held out; "
            f"{dataset.name} has {len(dataset.train)}: add pictures"
        )
    known, held = split_off(dataset.train, max(1, round(HELD_OUT * len(dataset.train))), settings.classifier.seed)
    if (batch := min(settings.classifier.batch_size, len(known))) < 2 * fabric.world_size:
        raise UsageError(
            "a step takes two pictures or more in each process, as what is learned is normalised over them; "
            f"got a batch of {batch} for {fabric.world_size} processes"
        )
    rest = dataclasses.replace(dataset, train=known)
    stages = _stages(out, arch, dataset, settings)
    start = stages / "classifier.safetensors"
    if not start.is_file():
        train([arch], rest, settings.classifier, start, fabric=fabric, watch=lambda now: watch("classifier", now))
        fabric.barrier()  # the first process writes what all read
    classifier = load_checkpoint(start).classifier().to(fabric.device)
    body, digest = Body(classifier), weights_digest(classifier)
    torch.manual_seed(settings.classifier.seed)
    contest = GanModel(AugmentationNetwork(settings.mode), last_linear(classifier).in_features)
    _mimic(
        contest, AdversarialObjective(body, digest), rest, settings, stages, fabric, lambda now: watch("mimicry", now)
    )
    found = estimator(body, known, held, aimed_at(held, settings.aim, settings.classifier.seed), settings.damping)
    objective = InfluenceObjective(
        found, influence_deviation(found, known), f"{digest} {settings.aim} {settings.damping:g}"
    )
    last = f"influence-{settings.aim}-{settings.damping}-{settings.epochs}.safetensors"
    made, history = fit(
        TwoDraws(contest.augmenter), dataclasses.replace(rest, val=known), _loop(settings, settings.epochs),
        BENEFIT_RATE, fabric=fabric, objective=objective, resume=resume_path(stages / last),
        watch=lambda now: watch("benefit", now),
    )  # fmt: skip
    assert isinstance(made, TwoDraws)
    result = _augmentation(arch, made.augmenter, dataset, settings, history)
    if fabric.is_global_zero:
        save_augmentation(out, result)
        _forget(stages)
    return result


def aimed_at(held: Split, aim: AugmentationAim, seed: int) -> Tensor:
    """The pictures whose loss is to fall.

    Args:
        held: pictures that the classifier was not trained on.
        aim: see `LearnAugmentationSettings`.
        seed: of the distortions.

    Returns:
        uint8 [n, h, w, 3].
    """
    images = held.images
    if aim == "clean":
        return images
    if aim == "corrupted":
        chance, made = np.random.default_rng(seed), images.numpy().copy()
        kinds, severities = (chance.integers(count, size=len(made)) for count in (len(EXTRA), len(SEVERITIES)))
        for kind, name in enumerate(EXTRA):
            for place, severity in enumerate(SEVERITIES):
                mine = (kinds == kind) & (severities == place)
                if mine.any():
                    made[mine] = corrupt(made[mine], name, severity, chance)
        return torch.from_numpy(made)
    rng, strengths = torch.Generator().manual_seed(seed), {name: each.paper for name, each in AUGMENTATIONS.items()}
    mixed = torch.empty_like(images)
    for first, names in enumerate(COMBINATIONS.values()):
        parts = (torch.split(each[first::2], PART) for each in (images, mixed))
        for part, place in zip(*parts, strict=True):
            made_so = augment(to_float(part), names, strengths, rng)
            place.copy_((made_so * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
    return mixed


def _mimic(
    contest: GanModel,
    objective: AdversarialObjective,
    dataset: Dataset,
    settings: LearnAugmentationSettings,
    stages: Path,
    fabric: Fabric,
    watch: Callable[[Progress], None],
) -> None:
    """Pretrains network and judges, or takes over what a run before this one made of it."""
    place = stages / "mimicry.safetensors"
    if not settings.gan_epochs:
        return
    if not place.is_file():
        made, _ = fit(
            contest, dataset, _loop(settings, settings.gan_epochs), MIMICRY_RATE,
            fabric=fabric, objective=objective, resume=resume_path(place), watch=watch,
        )  # fmt: skip
        if fabric.is_global_zero:
            tensor_file.write(place, made.state_dict(), {})
        fabric.barrier()  # as above
    try:
        contest.load_state_dict(tensor_file.read(place)[0])
    except RuntimeError:
        raise TrainingError(f"{place} is of another version of allweather; delete {stages} to begin anew") from None


def _loop(settings: LearnAugmentationSettings, epochs: int) -> FitSettings:
    return FitSettings(
        epochs=epochs, batch_size=settings.classifier.batch_size, schedule="cosine", weight_decay=0.0,
        seed=settings.classifier.seed, hflip=settings.classifier.hflip, shift=settings.classifier.shift,
    )  # fmt: skip


def _stages(out: Path, arch: str, dataset: Dataset, settings: LearnAugmentationSettings) -> Path:
    """The folder of the finished stages, made if there is none; aim, damping and epochs matter to the last one alone.

    Raises:
        TrainingError: it is of another run.
    """
    folder = out.with_name(f".{out.name}.stages")
    first = {
        "mode": settings.mode,
        "mimicry": settings.gan_epochs,
        "classifier": dataclasses.asdict(settings.classifier),
    }
    own = {"arch": arch, "data": [dataset.name, len(dataset.train), dataset.fingerprint()], **first}
    place, text = folder / RUN, json.dumps(own, sort_keys=True)
    if place.is_file():
        if place.read_text() != text:
            raise TrainingError(
                f"{folder} holds an unfinished run with other settings or data; finish it with the same ones, "
                "or delete it to begin anew"
            )
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(place) as beside:
        beside.write_text(text)
    return folder


def _forget(stages: Path) -> None:
    """Removes the folder, last of all what says whose it is: what a kill leaves is not taken for another run's."""
    for place in stages.iterdir():
        if place.name != RUN:
            place.unlink(missing_ok=True)
    shutil.rmtree(stages, ignore_errors=True)


def _augmentation(
    arch: str, made: nn.Module, dataset: Dataset, settings: LearnAugmentationSettings, history: tuple[EpochReport, ...]
) -> AugmentationCheckpoint:
    metrics: dict[str, Any] = {"helped": history[-1].val_accuracy, **history[-1].others}
    return AugmentationCheckpoint(
        mode=settings.mode,
        weights=made.state_dict(),
        data=dataset.name,
        settings={"arch": arch, **dataclasses.asdict(settings)},
        metrics=metrics,
        history=tuple(row.row() for row in history),
    )
