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
from allweather.trainers.choices import AugmentationAim, AugmentationMode, HeldOut

if TYPE_CHECKING:
    from allweather.trainers.methods.learned_augmentation.reliability import Reliability
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
    held_out: Annotated[
        HeldOut,
        typer.Option(
            help="Images to hold out: share takes a fifth of the training images, which the classifier is then not "
            "trained on; val takes the validation images, which are then no longer unseen when something is chosen on "
            "them."
        ),
    ] = "share",
    classifiers: Annotated[
        int,
        typer.Option(
            help="Number of classifiers to average the influence over; each is trained with a seed of its own."
        ),
    ] = 1,
    grid: Annotated[
        int,
        typer.Option(
            help="Side of the grid of cells that have a warp and a color change of their own: 1, 4 or 8; 1 changes the "
            "image as a whole, 8 is the paper's."
        ),
    ] = 1,
    color_limit: Annotated[
        float,
        typer.Option(
            help="Largest factor and offset of the color change, above 0, at most 1, where colors go from 0 to 1; the "
            "paper has no limit."
        ),
    ] = 0.08,
    damping: Annotated[
        float, typer.Option(help="Damping of the last layer's Hessian before it is inverted, above 0.")
    ] = 1e-3,
    gan_epochs: Annotated[int, typer.Option(help="Number of epochs of adversarial pre-training; 0 leaves it out.")] = 5,
    epochs: Annotated[
        int,
        typer.Option(
            help="Number of epochs of learning from influence; 0 leaves it out, and with --gan-epochs 0 the network "
            "augments by chance, as a control."
        ),
    ] = 10,
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
        mode=mode, aim=aim, held_out=held_out, classifiers=classifiers, grid=grid, color_limit=color_limit,
        damping=damping, gan_epochs=gan_epochs, epochs=epochs,
        classifier=FitSettings(epochs=classifier_epochs, batch_size=batch_size, hflip=hflip, seed=seed),
    )  # fmt: skip
    with training_run(
        "learn-augmentation",
        lambda: open_dataset(data, parsed_size, reading=reading, download=download).subset(fraction, seed),
        devices=devices,
        precision=precision,
    ) as run:
        learned = learn(
            arch, run.dataset, settings, out, fabric=run.fabric, watch=_watcher(run, settings),
            measured=lambda reliability: run.say(reliability_line(reliability, settings, len(run.dataset.val))),
        )  # fmt: skip
    if learned.metrics.get("gain", 1.0) <= 0:
        run.say("by influence it does not lower the held-out loss; try a classifier that is trained for longer")
    facts = {"augmentation": str(out), "mode": learned.mode, "grid": learned.grid, "data": shown(data)}
    run.print_result({**facts, **learned.metrics}, as_json, "learned")


def reliability_line(reliability: Reliability, settings: LearnAugmentationSettings, val_images: int) -> str:
    """Says how reliable the influence is, and what to do where it is not."""
    count = reliability.held_out_images
    line = f"influence: two halves of {count} held-out images correlate by {reliability.split_half_correlation:.2f}"
    if not reliability.mostly_chance:
        return line
    needed = reliability.images_needed
    more = "more held-out images" if needed is None else f"about {needed} held-out images for 0.5"
    how = f" (--held-out val has {val_images})" if settings.held_out == "share" and val_images > count else ""
    return f"{line}, which is mostly chance; take {more}{how}, or train with --augment trivial instead"


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
