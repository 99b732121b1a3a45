"""Learns an augmentation for a data set in three stages (Lee et al., section 4.3), each of which can be resumed.

First a classifier is trained on four fifths of the training images. Then the augmentation network is pre-trained as a
GAN. Last, the network learns to make images that lower the classifier's loss on the remaining fifth, as influence
functions of its last layer predict it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import nn

from allweather.runtimes.errors import DataError, TrainingError, UsageError
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint, save_augmentation
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.division import split_off_each_class
from allweather.trainers.methods.learned_augmentation.adversarial import AdversarialObjective, GanModel
from allweather.trainers.methods.learned_augmentation.influence_objective import (
    FeatureExtractor,
    InfluenceObjective,
    TwoDraws,
    fit_estimator,
    influence_deviation,
)
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings, Stage
from allweather.trainers.methods.learned_augmentation.stage_folder import (
    CLASSIFIER_FILE,
    GAN_FILE,
    influence_file,
    open_stage_folder,
    remove_stage_folder,
)
from allweather.trainers.methods.learned_augmentation.validation_images import validation_images
from allweather.trainers.methods.output_paths import resume_path
from allweather.trainers.methods.train import train
from allweather.trainers.models.activation_hooks import last_linear
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.training.fit import fit
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings

MIN_TRAIN_IMAGES = 10
HELD_OUT_SHARE = 0.2  # share of the training images that are held out; the loss on them is to decrease
GAN_LR, INFLUENCE_LR = 0.02, 0.02


def learn_augmentation(
    arch: str,
    dataset: Dataset,
    settings: LearnAugmentationSettings,
    out: Path | str,
    *,
    fabric: Fabric,
    watch: Callable[[Stage, Progress], None] = lambda stage, progress: None,
) -> AugmentationCheckpoint:
    """Learns an augmentation and saves it.

    While the run is unfinished, the folder `.<name>.stages` beside `out` holds the finished stages and the running one;
    a later call continues from there, also with another aim, damping or number of epochs.

    Args:
        arch: Architecture of the classifier, a name of `models.ARCHITECTURES`.
        dataset: Its train split is used; the val split only shows how well the classifier has learned. Of streamed
            images, all of train are decoded once at the start, as those that cannot be read must be known.
        settings: Settings of the run.
        out: The file to write.
        fabric: A launched Fabric.
        watch: Called in every process with the stage and its progress, after each step and each epoch.

    Raises:
        UsageError: The classifier has no linear layer, or a batch has fewer than two images for each process.
        DataError: There are too few training images.
        TrainingError: A stage diverged, or the folder belongs to another run.
        OutputError: A file cannot be written.
    """
    out = as_path(out)
    dataset = dataclasses.replace(dataset, train=dataset.train.readable())
    if len(dataset.train) < MIN_TRAIN_IMAGES:
        raise DataError(
            f"learning an augmentation takes at least {MIN_TRAIN_IMAGES} training images, because a fifth of them is "
            f"held out; {dataset.name} has {len(dataset.train)}: add images"
        )
    seed = settings.classifier.seed
    train_split, held_out = split_off_each_class(dataset.train, [HELD_OUT_SHARE], seed)
    if (batch_size := min(settings.classifier.batch_size, len(train_split))) < 2 * fabric.world_size:
        raise UsageError(
            "a step takes at least two images in each process, because the network normalizes over its batch; "
            f"got a batch of {batch_size} for {fabric.world_size} processes"
        )
    data = dataclasses.replace(dataset, train=train_split)
    folder = open_stage_folder(out, arch, dataset, settings)
    start = folder / CLASSIFIER_FILE
    if not start.is_file():
        train([arch], data, settings.classifier, start, fabric=fabric, watch=lambda now: watch("classifier", now))
        fabric.barrier()  # the first process writes the file that all processes read
    classifier = load_checkpoint(start).classifier().to(fabric.device)
    extractor, digest = FeatureExtractor(classifier), weights_digest(classifier)
    torch.manual_seed(seed)
    gan = GanModel(AugmentationNetwork(settings.mode), last_linear(classifier).in_features)
    objective = AdversarialObjective(extractor, digest)
    _pretrain(gan, objective, data, settings, folder, fabric, lambda now: watch("gan", now))
    aimed_at = validation_images(held_out, settings.aim, seed)
    estimator = fit_estimator(extractor, train_split, aimed_at, settings.damping)
    influence_objective = InfluenceObjective(
        estimator, influence_deviation(estimator, train_split), f"{digest} {settings.aim} {settings.damping:g}"
    )
    averaged, history = fit(
        TwoDraws(gan.network), dataclasses.replace(data, val=train_split), _fit_settings(settings, settings.epochs),
        INFLUENCE_LR, fabric=fabric, objective=influence_objective,
        resume=resume_path(folder / influence_file(settings)), watch=lambda now: watch("influence", now),
    )  # fmt: skip
    assert isinstance(averaged, TwoDraws)
    result = _augmentation(arch, averaged.network, dataset, settings, history)
    if fabric.is_global_zero:
        save_augmentation(out, result)
        remove_stage_folder(folder)
    return result


def _pretrain(
    gan: GanModel,
    objective: AdversarialObjective,
    dataset: Dataset,
    settings: LearnAugmentationSettings,
    folder: Path,
    fabric: Fabric,
    watch: Callable[[Progress], None],
) -> None:
    """Trains the network and its discriminators, or loads the result of an earlier run."""
    path = folder / GAN_FILE
    if not settings.gan_epochs:
        return
    if not path.is_file():
        averaged, _ = fit(
            gan, dataset, _fit_settings(settings, settings.gan_epochs), GAN_LR,
            fabric=fabric, objective=objective, resume=resume_path(path), watch=watch,
        )  # fmt: skip
        if fabric.is_global_zero:
            tensor_file.write(path, averaged.state_dict(), {})
        fabric.barrier()  # the first process writes the file that all processes read
    try:
        gan.load_state_dict(tensor_file.read(path)[0])
    except RuntimeError:
        raise TrainingError(
            f"{path} was made by another version of allweather; delete {folder} to start over"
        ) from None


def _fit_settings(settings: LearnAugmentationSettings, epochs: int) -> FitSettings:
    return FitSettings(
        epochs=epochs, batch_size=settings.classifier.batch_size, schedule="cosine", weight_decay=0.0,
        seed=settings.classifier.seed, hflip=settings.classifier.hflip, shift=settings.classifier.shift,
    )  # fmt: skip


def _augmentation(
    arch: str,
    network: nn.Module,
    dataset: Dataset,
    settings: LearnAugmentationSettings,
    history: tuple[EpochReport, ...],
) -> AugmentationCheckpoint:
    hflip = dataset.hflip if settings.classifier.hflip is None else settings.classifier.hflip
    inventory = {"inventory": dataset.inventory.as_dict()} if dataset.inventory else {}
    return AugmentationCheckpoint(
        mode=settings.mode,
        weights=network.state_dict(),
        data=dataset.name,
        settings={"arch": arch, **dataclasses.asdict(settings), "hflip": hflip, **inventory},
        metrics={"improved_share": history[-1].val_accuracy, **history[-1].val_metrics},
        history=tuple(report.row() for report in history),
    )
