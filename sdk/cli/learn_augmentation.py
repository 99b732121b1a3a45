"""allweather learn-augmentation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_checkpoint_path
from allweather.cli.console import handle_errors
from allweather.cli.options import (
    AsJson,
    BatchSize,
    Data,
    Devices,
    Download,
    Fraction,
    Hflip,
    Seed,
    Size,
    Stream,
    TrainPrecision,
    Workers,
)
from allweather.cli.output_lock import locks_output
from allweather.cli.training import TrainingRun, training_run
from allweather.trainers.choices import AugmentationAim, AugmentationMode

if TYPE_CHECKING:
    from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings, Stage
    from allweather.trainers.training.progress import EpochReport, Progress


@handle_errors
@locks_output
def learn_augmentation(
    data: Data,
    arch: Annotated[
        str,
        typer.Option(help="Architecture of the classifier that it is learned with, such as resnet20."),
    ],
    out: Annotated[Path, typer.Option(help="File to write the learned augmentation to (.safetensors).")],
    mode: Annotated[
        AugmentationMode,
        typer.Option(
            help="parallel warps the image and changes its colors from one code, serial does one after the other; "
            "spatial only warps, appearance only changes colors."
        ),
    ] = "parallel",
    aim: Annotated[
        AugmentationAim,
        typer.Option(help="Held-out images whose loss is lowered: clean, augmented (combined) or corrupted ones."),
    ] = "clean",
    damping: Annotated[
        float, typer.Option(help="Damping of the last layer's Hessian before it is inverted, above 0.")
    ] = 1e-3,
    gan_epochs: Annotated[int, typer.Option(help="Number of epochs of adversarial pre-training; 0 leaves it out.")] = 5,
    epochs: Annotated[int, typer.Option(help="Number of epochs of learning from influence.")] = 10,
    classifier_epochs: Annotated[int, typer.Option(help="Number of epochs of training the classifier.")] = 36,
    batch_size: BatchSize = 128,
    hflip: Hflip = None,
    fraction: Fraction = 1.0,
    size: Size = None,
    stream: Stream = None,
    workers: Workers = None,
    devices: Devices = 1,
    precision: TrainPrecision = "auto",
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Learns an augmentation that lowers a classifier's loss on held-out images.

    If it is stopped, the same command resumes it.
    """
    check_checkpoint_path(out)
    from allweather.trainers.data.dataset import check_fraction

    check_fraction(fraction)
    from allweather.trainers.data.image_size import parse_size
    from allweather.trainers.data.registry import open_dataset
    from allweather.trainers.data.shards.patterns import shown
    from allweather.trainers.data.streamed.reading import Reading
    from allweather.trainers.methods.learned_augmentation.learn import learn_augmentation as learn
    from allweather.trainers.methods.learned_augmentation.settings import LearnAugmentationSettings
    from allweather.trainers.models.registry import get_architecture
    from allweather.trainers.training.settings import FitSettings

    get_architecture(arch)
    reading = Reading(stream, workers)
    parsed_size = None if size is None else parse_size(size)
    settings = LearnAugmentationSettings(
        mode=mode, aim=aim, damping=damping, gan_epochs=gan_epochs, epochs=epochs,
        classifier=FitSettings(epochs=classifier_epochs, batch_size=batch_size, hflip=hflip, seed=seed),
    )  # fmt: skip
    with training_run(
        "learn-augmentation",
        lambda: open_dataset(data, parsed_size, reading=reading, download=download).subset(fraction, seed),
        devices=devices,
        precision=precision,
    ) as run:
        learned = learn(arch, run.dataset, settings, out, fabric=run.fabric, watch=_watcher(run, settings))
    if learned.metrics["gain"] <= 0:
        run.say("by influence it does not lower the held-out loss; try a classifier that is trained for longer")
    facts = {"augmentation": str(out), "mode": learned.mode, "data": shown(data)}
    run.print_result({**facts, **learned.metrics}, as_json, "learned")


def _watcher(run: TrainingRun, settings: LearnAugmentationSettings) -> Callable[[Stage, Progress], None]:
    """Returns the callback that shows the progress of each stage."""

    def accuracy(report: EpochReport) -> str:
        return f"val {report.val_accuracy:.4f}"

    def improved(report: EpochReport) -> str:
        return f"improves {100 * report.val_accuracy:.1f} % of the images"

    stages: dict[Stage, Callable[[Progress], None]] = {
        "classifier": run.watch_epochs("classifier", settings.classifier.epochs, accuracy, "classifier: "),
        "gan": run.watch_epochs("GAN", settings.gan_epochs, lambda report: "", "GAN: "),
        "influence": run.watch_epochs("influence", settings.epochs, improved, "influence: "),
    }

    def watch(stage: Stage, progress: Progress) -> None:
        stages[stage](progress)

    return watch
