"""Opening data, training a classifier and finetuning it, each as one call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from allweather.runtimes.crop import WHOLE, Crop
from allweather.runtimes.errors import UsageError
from allweather.trainers import methods
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.choices import FinetuneMethod, Strategy
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import ImageSize
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.data.streamed.reading import Reading
from allweather.trainers.methods.config import PLAIN, TrainConfig
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.steps.arguments import check_argument, check_run
from allweather.trainers.steps.output import output_file
from allweather.trainers.steps.start import check_start, checkpoint_of
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger


def load_dataset(
    name: str,
    size: ImageSize | None = None,
    *,
    crop: Crop = WHOLE,
    stream: bool | None = None,
    workers: int | None = None,
    random_resized: bool = False,
    download: bool = False,
) -> Dataset:
    """Opens a data set by name; see `Dataset.from_torch` for data that is in Python already.

    Args:
        name: As the option --data of the command line, such as "signs", "folder:images" or "cifar10:ROOT".
        size: Side in pixels of the square that every image is brought to, or (height, width); None for the data set's
            own size, or 224.
        crop: Which part of an image of another size is taken, and how it is resized; the center without distortion by
            default.
        stream: Whether the images of files are read when they are needed, by processes beside this one; None if they
            would fill more than 40 % of the memory otherwise.
        workers: Number of these processes; None for one for each core, at most 8.
        random_resized: Whether training takes random parts of the images, of random size and aspect ratio, as ImageNet
            networks are trained; `Crop("center", 0.875)` goes with it elsewhere.
        download: Whether torchvision downloads CIFAR into ROOT if it is not there.

    Raises:
        UsageError: The name is not that of a data set, or the size is out of range.
        DataError: The data is missing, empty or damaged.
    """
    reading = Reading(stream, workers, random_resized)
    return open_dataset(name, size, crop=crop, reading=reading, download=download)


def train(
    network: str | nn.Module | Checkpoint,
    data: Dataset,
    *,
    epochs: int | None = None,
    settings: FitSettings | None = None,
    config: TrainConfig = PLAIN,
    pretrained: bool = False,
    out: Path | str | None = None,
    fabric: Fabric | None = None,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Trains a classifier.

    Args:
        network: Name of an architecture, such as "resnet20", "timm:resnet18d" or "torchvision:vit_b_16"; or a network
            of your own, which starts from its weights and is not changed: an nn.Module that takes images normalized
            with ImageNet's mean and std, or a `Checkpoint.of` one that takes others.
        data: Its train and val splits are used.
        epochs: Passes over the training images; None as in the settings.
        settings: Settings of the training loop; None for the defaults.
        config: Method (plain, AIT) and augmentation.
        pretrained: Whether a network that is built by name starts from pretrained weights.
        out: Checkpoint to write (.safetensors).
        fabric: A launched Fabric; one for this process if None.
        loggers: Loggers of Lightning Fabric.
        watch: Called with the progress after each step and each epoch.

    Raises:
        UsageError: An argument has a value that cannot work.
        TrainingError: The run diverged, or its resume file belongs to another run.
        OutputError: The checkpoint cannot be written.
    """
    check_run(out, data, settings, FitSettings, fabric, loggers, watch)
    check_argument("config", config, TrainConfig)
    with output_file(out) as path:
        (checkpoint,) = methods.train(
            [network], data, with_epochs(settings or FitSettings(), epochs), path,
            fabric=fabric or launch(), pretrained=pretrained, config=config, loggers=loggers, watch=watch,
        )  # fmt: skip
    return checkpoint


def finetune(
    start: Checkpoint | nn.Module | Path | str,
    data: Dataset,
    *,
    method: FinetuneMethod | None = None,
    strategy: Strategy | None = None,
    epochs: int | None = None,
    settings: FinetuneSettings | None = None,
    out: Path | str | None = None,
    fabric: Fabric | None = None,
    loggers: Sequence[Logger] = (),
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Finetunes a classifier on augmented copies of its images, so that it stays right in bad conditions.

    Args:
        start: The classifier, which is not changed: a checkpoint, its file, or a trained module (see `Checkpoint.of`).
        data: Data of its classes, in any order, and its image size; the train and val splits are used.
        method: Terms of the loss for the copies: "at", "st", "fma", "ait" or "robust"; see
            `FinetuneSettings`. None for "fma", or as in the settings.
        strategy: How copies are augmented: "ca", "ia" or "mixed"; None for the method's own.
        epochs: Passes over the training images; None as in the settings.
        settings: All settings; `method` and `strategy` are then left out.
        out: Checkpoint to write (.safetensors).
        fabric: A launched Fabric; one for this process if None.
        loggers: Loggers of Lightning Fabric.
        watch: Called with the progress after each step and each epoch.

    Raises:
        UsageError: An argument has a value that cannot work, or the data has other classes.
        TrainingError: The run diverged, or its resume file belongs to another run.
        OutputError: The checkpoint cannot be written.
    """
    check_start(start)
    check_run(out, data, settings, FinetuneSettings, fabric, loggers, watch)
    for name, value in (("method", method), ("strategy", strategy)):
        if settings is not None and value is not None and value != getattr(settings, name):
            raise UsageError(
                f"{name} is {value!r}, and the settings say {getattr(settings, name)!r}; write it in the settings alone"
            )
    chosen = FinetuneSettings(method or "fma", strategy) if settings is None else settings
    chosen = dataclasses.replace(chosen, fit=with_epochs(chosen.fit, epochs))
    with output_file(out) as path:
        return methods.finetune(
            checkpoint_of(start, data), data, chosen, path, fabric=fabric or launch(), loggers=loggers, watch=watch
        )


def with_epochs(settings: FitSettings, epochs: int | None) -> FitSettings:
    """Returns the settings with another number of epochs; None keeps theirs."""
    return settings if epochs is None else dataclasses.replace(settings, epochs=epochs)
