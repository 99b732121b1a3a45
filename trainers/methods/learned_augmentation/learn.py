"""Learns an augmentation for a data set in three stages (Lee et al., section 4.3), each of which can be resumed.

First a classifier is trained, or several, and some images are held out from that. Then the augmentation network is
pre-trained as a GAN. Last, the network learns to make images that lower the classifier's loss on the held-out ones, as
influence functions of its last layer predict it. Before that it is measured how far two halves of them agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from allweather.runtimes.errors import DataError, TrainingError, UsageError
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.augmentations.learned.augmentation import AugmentationCheckpoint, save_augmentation
from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.checkpoint import tensor_file
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset, LabeledImages
from allweather.trainers.data.division import split_off_each_class
from allweather.trainers.methods.learned_augmentation.adversarial import AdversarialObjective, GanModel
from allweather.trainers.methods.learned_augmentation.estimators import (
    FeatureExtractor,
    influences_on_parts,
    mean_influences,
)
from allweather.trainers.methods.learned_augmentation.influence_objective import InfluenceObjective, TwoDraws
from allweather.trainers.methods.learned_augmentation.reliability import (
    Reliability,
    random_halves,
    split_half_correlation,
)
from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings, Stage
from allweather.trainers.methods.learned_augmentation.stage_folder import (
    GAN_FILE,
    classifier_file,
    influence_file,
    open_stage_folder,
    remove_stage_folder,
)
from allweather.trainers.methods.learned_augmentation.starting_network import with_statistics
from allweather.trainers.methods.learned_augmentation.validation_images import validation_images
from allweather.trainers.methods.output_paths import resume_path
from allweather.trainers.methods.train import train
from allweather.trainers.models.activation_hooks import last_linear
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.training.fit import fit
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MIN_TRAIN_IMAGES = 10
MIN_HELD_OUT_IMAGES = 4  # so that each half has some; how many are enough is measured
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
    measured: Callable[[Reliability], None] = lambda reliability: None,
) -> AugmentationCheckpoint:
    """Learns an augmentation and saves it.

    While the run is unfinished, the folder `.<name>.stages` beside `out` holds the finished stages and the running one;
    a later call continues from there, also with another aim, damping, number of classifiers or number of epochs.

    Args:
        arch: Architecture of the classifier, a name of `models.ARCHITECTURES`.
        dataset: Its train split is used, and the val split if the settings hold that out; otherwise the val split only
            shows how well the classifier has learned. Of streamed images, all of train are decoded once at the start,
            as those that cannot be read must be known.
        settings: Settings of the run.
        out: The file to write.
        fabric: A launched Fabric.
        watch: Called in every process with the stage and its progress, after each step and each epoch.
        measured: Called in every process before the network learns from the influence, with how reliable that is.

    Raises:
        UsageError: The classifier has no linear layer, or a batch has fewer than two images for each process.
        DataError: There are too few training images or held-out images.
        TrainingError: A stage diverged, or the folder belongs to another run.
        OutputError: A file cannot be written.
    """
    out = as_path(out)
    dataset = dataclasses.replace(dataset, train=dataset.train.readable())
    data, held_out = _hold_out(dataset, settings)
    if (batch_size := min(settings.classifier.batch_size, len(data.train))) < 2 * fabric.world_size:
        raise UsageError(
            "a step takes at least two images in each process, because the network normalizes over its batch; "
            f"got a batch of {batch_size} for {fabric.world_size} processes"
        )
    folder, seed = open_stage_folder(out, arch, dataset, settings), settings.classifier.seed
    needed = settings.classifiers if settings.epochs else min(1, settings.gan_epochs)
    run = _Run(data, settings, folder, fabric, watch)
    extractors = [run.classifier(arch, index) for index in range(needed)]
    torch.manual_seed(seed)
    network = AugmentationNetwork(settings.mode, settings.grid, settings.color_limit)
    if settings.gan_epochs:
        run.pretrain(network, extractors[0])
    start = with_statistics(network, data.train, seed, fabric.device)
    if settings.epochs:
        learned, metrics, history = run.learn(network, start, extractors, held_out, measured)
    else:
        learned, metrics, history = start, {}, ()
    result = _augmentation(arch, learned, dataset, settings, metrics, history)
    if fabric.is_global_zero:
        save_augmentation(out, result)
        remove_stage_folder(folder)
    return result


def _hold_out(dataset: Dataset, settings: LearnAugmentationSettings) -> tuple[Dataset, LabeledImages]:
    """Returns the data to train the classifiers on, and the held-out images."""
    if len(dataset.train) < MIN_TRAIN_IMAGES:
        raise DataError(
            f"learning an augmentation takes at least {MIN_TRAIN_IMAGES} training images; {dataset.name} has "
            f"{len(dataset.train)}: add images"
        )
    if settings.held_out == "val":
        data, held_out, origin = dataset, dataset.val.readable(), "are in the validation split"
    else:
        train, held_out = split_off_each_class(dataset.train, [HELD_OUT_SHARE], settings.classifier.seed)
        data, origin = dataclasses.replace(dataset, train=train), f"are a fifth of {len(dataset.train)} training images"
    if len(held_out) < MIN_HELD_OUT_IMAGES:
        raise DataError(
            f"the influence takes at least {MIN_HELD_OUT_IMAGES} held-out images, and thousands to be reliable; "
            f"{len(held_out)} {origin}: add images"
        )
    return data, held_out


@dataclass(frozen=True)
class _Run:
    """What all stages of a run share; `data` is what the classifiers are trained on."""

    data: Dataset
    settings: LearnAugmentationSettings
    folder: Path
    fabric: Fabric
    watch: Callable[[Stage, Progress], None]

    def classifier(self, arch: str, index: int) -> FeatureExtractor:
        """Trains a classifier, from 0, or loads the result of an earlier run."""
        path = self.folder / classifier_file(index)
        settings = dataclasses.replace(self.settings.classifier, seed=self.settings.classifier.seed + index)
        if not path.is_file():
            train([arch], self.data, settings, path, fabric=self.fabric, watch=self._watch_stage("classifier"))
            self.fabric.barrier()  # the first process writes the file that all processes read
        return FeatureExtractor(load_checkpoint(path).classifier().to(self.fabric.device))

    def pretrain(self, network: AugmentationNetwork, extractor: FeatureExtractor) -> None:
        """Trains the network as a GAN, or loads the result of an earlier run."""
        path, settings = self.folder / GAN_FILE, self.settings
        gan = GanModel(network, last_linear(extractor.classifier).in_features)
        if not path.is_file():
            averaged, _ = fit(
                gan, self.data, _fit_settings(settings, settings.gan_epochs), GAN_LR, fabric=self.fabric,
                objective=AdversarialObjective(extractor, weights_digest(extractor.classifier)),
                resume=resume_path(path), watch=self._watch_stage("gan"),
            )  # fmt: skip
            if self.fabric.is_global_zero:
                tensor_file.write(path, averaged.state_dict(), {})
            self.fabric.barrier()  # the first process writes the file that all processes read
        try:
            gan.load_state_dict(tensor_file.read(path)[0])
        except RuntimeError:
            raise TrainingError(
                f"{path} was made by another version of allweather; delete {self.folder} to start over"
            ) from None

    def learn(
        self,
        network: AugmentationNetwork,
        start: AugmentationNetwork,
        extractors: Sequence[FeatureExtractor],
        held_out: LabeledImages,
        measured: Callable[[Reliability], None],
    ) -> tuple[nn.Module, Mapping[str, float], tuple[EpochReport, ...]]:
        """Measures how reliable the influence is, and trains the network by it.

        Args:
            network: The network to train.
            start: The same with the statistics of its normalization, in eval mode.
            extractors: The classifiers.
            held_out: The held-out images, unchanged.
            measured: See `learn_augmentation`.

        Returns:
            The trained network, its metrics, and a report of each epoch.
        """
        settings, train_split, seed = self.settings, self.data.train, self.settings.classifier.seed
        aimed_at = validation_images(held_out, settings.aim, seed)
        parts = (torch.arange(len(aimed_at)), *random_halves(len(aimed_at), seed))
        influence, *halves = mean_influences(extractors, train_split, aimed_at, parts, settings.damping)
        correlation = split_half_correlation(start, train_split, partial(influences_on_parts, halves), seed)
        reliability = Reliability(correlation, len(aimed_at))
        measured(reliability)
        digests = " ".join(weights_digest(each.classifier) for each in extractors)
        averaged, history = fit(
            TwoDraws(network), dataclasses.replace(self.data, val=train_split),
            _fit_settings(settings, settings.epochs), INFLUENCE_LR, fabric=self.fabric,
            objective=InfluenceObjective(influence, f"{digests} {settings.aim} {settings.damping:g}"),
            resume=resume_path(self.folder / influence_file(settings)), watch=self._watch_stage("influence"),
        )  # fmt: skip
        assert isinstance(averaged, TwoDraws)
        metrics = {"improved_share": history[-1].val_accuracy, **history[-1].val_metrics}
        return averaged.network, metrics | dataclasses.asdict(reliability), history

    def _watch_stage(self, stage: Stage) -> Callable[[Progress], None]:
        return lambda progress: self.watch(stage, progress)


def _fit_settings(settings: LearnAugmentationSettings, epochs: int) -> FitSettings:
    return FitSettings(
        epochs=epochs, batch_size=settings.classifier.batch_size, schedule="cosine", weight_decay=0.0,
        seed=settings.classifier.seed, hflip=settings.classifier.hflip, shift=settings.classifier.shift,
        padding=settings.classifier.padding,
    )  # fmt: skip


def _augmentation(
    arch: str,
    network: nn.Module,
    dataset: Dataset,
    settings: LearnAugmentationSettings,
    metrics: Mapping[str, float],
    history: tuple[EpochReport, ...],
) -> AugmentationCheckpoint:
    hflip = dataset.hflip if settings.classifier.hflip is None else settings.classifier.hflip
    inventory = {"inventory": dataset.inventory.as_dict()} if dataset.inventory else {}
    return AugmentationCheckpoint(
        mode=settings.mode,
        weights=network.state_dict(),
        data=dataset.name,
        settings={"arch": arch, **dataclasses.asdict(settings), "hflip": hflip, **inventory},
        metrics=metrics,
        history=tuple(report.row() for report in history),
        grid=settings.grid,
    )
