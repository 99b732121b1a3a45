"""allweather train."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_checkpoint_path, check_keeps, is_given
from allweather.cli.console import handle_errors, print_result, print_table
from allweather.cli.options import (
    ARCH_FORMS,
    AUGMENTATIONS_HELP,
    OPTIMIZER_PANEL,
    Accumulate,
    AsJson,
    BatchSize,
    ClassifierPrecision,
    ClassWeights,
    ClipNorm,
    Data,
    Devices,
    Download,
    Epochs,
    Fraction,
    Hflip,
    Log,
    Nesterov,
    Optimizer,
    OutCheckpoint,
    OwnModel,
    Patience,
    Sampling,
    Schedule,
    Seed,
    Size,
    Stream,
    SyncBatchNorm,
    TrainCrop,
    TrainCropFraction,
    Warmup,
    WeightDecay,
    Workers,
)
from allweather.cli.output_lock import locks_output
from allweather.cli.training import check_logs, training_run
from allweather.runtimes.errors import UsageError
from allweather.trainers.choices import Layer, Metric, Padding, RecipeName, RobustName, TrainMethod

if TYPE_CHECKING:
    from torch import nn

    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.data.dataset import Dataset
    from allweather.trainers.data.image_size import ImageSize
    from allweather.trainers.training.progress import EpochReport


@handle_errors
@locks_output
def train(
    context: typer.Context,
    data: Data,
    out: OutCheckpoint,
    arch: Annotated[
        list[str] | None,
        typer.Option(help=f"Architecture: {ARCH_FORMS}. Give it more than once to train several networks jointly."),
    ] = None,
    own_model: OwnModel = None,
    method: Annotated[
        TrainMethod,
        typer.Option(
            help="plain learns from the labels alone; ait from several variants of each image; multi-ait and dml train "
            "several networks jointly."
        ),
    ] = "plain",
    recipe: Annotated[
        RecipeName | None,
        typer.Option(
            help="Take epochs, batch size, padding, moving average, optimizer and its options as in a paper: ait-paper "
            "is 160 epochs of sgd (Chen et al., for every method). Options that are given beside it take precedence."
        ),
    ] = None,
    robust: Annotated[
        RobustName | None,
        typer.Option(
            help="Learn to predict the same for each image and for two augmented copies of it: by AugMix, by PRIME, or "
            "mixed by both and changes of light, blur and noise. A step takes about three times as long."
        ),
    ] = None,
    variants: Annotated[
        str,
        typer.Option(
            help="Random augmentations of each variant as letters: r and p for crops, g for grayscale, c for color, "
            "such as rpc; rh for the usual crop and flip. One name, or several separated by commas."
        ),
    ] = "rp",
    loss_weight: Annotated[
        float | None,
        typer.Option(
            help="Weight of the loss between variants, networks or copies, lambda of the papers; if not given, 1, and "
            "12 with --robust. The paper of multi-ait has 3."
        ),
    ] = None,
    loss_ramp: Annotated[
        int, typer.Option(help="Number of epochs in which that weight rises from 0; 0 for all of it from the start.")
    ] = 0,
    metric: Annotated[
        Metric | None,
        typer.Option(help="Distance between the outputs for two variants, for --method ait; kl if not given."),
    ] = None,
    layer: Annotated[
        Layer | None, typer.Option(help="Outputs that --method ait compares; logits if not given.")
    ] = None,
    epochs: Epochs = 36,
    batch_size: BatchSize = 128,
    accumulate: Accumulate = 1,
    patience: Patience = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate; if not given, the architecture's own for sgd, 0.001 at a batch size of 128 "
            "for adamw.",
            rich_help_panel=OPTIMIZER_PANEL,
        ),
    ] = None,
    schedule: Schedule = "onecycle",
    warmup: Warmup = None,
    optimizer: Optimizer = None,
    nesterov: Nesterov = True,
    weight_decay: WeightDecay = None,
    clip_norm: ClipNorm = None,
    label_smoothing: Annotated[
        float, typer.Option(help="Fraction of each training target that is spread over all classes.")
    ] = 0.0,
    ema: Annotated[
        float, typer.Option(help="Decay per step of the exponential moving average of the weights; 0 turns it off.")
    ] = 0.998,
    class_weights: ClassWeights = "none",
    sampling: Sampling = "uniform",
    padding: Annotated[
        Padding,
        typer.Option(help="What comes in from outside a shifted image: its border reflected, or zeros for black."),
    ] = "reflect",
    hflip: Hflip = None,
    fraction: Fraction = 1.0,
    label_noise: Annotated[
        float, typer.Option(help="Fraction of the training labels that is replaced by random ones, 0 to 1.")
    ] = 0.0,
    size: Size = None,
    crop: TrainCrop = "center",
    crop_fraction: TrainCropFraction = None,
    stream: Stream = None,
    workers: Workers = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Start from pretrained ImageNet weights of the library.")
    ] = False,
    augment: Annotated[str | None, typer.Option(help=f"Further augmentation: {AUGMENTATIONS_HELP}")] = None,
    augment_share: Annotated[
        float | None,
        typer.Option(
            help="Share of each batch that --augment learned:FILE changes, above 0, at most 1; half if not given."
        ),
    ] = None,
    devices: Devices = 1,
    sync_batchnorm: SyncBatchNorm = False,
    precision: ClassifierPrecision = "auto",
    seed: Seed = 0,
    log: Log = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Trains a classifier, or several jointly.

    If it is stopped, the same command resumes it.
    """
    check_checkpoint_path(out)
    check_keeps(out, "--augment", augment)
    check_logs(log, out, data)
    from allweather.trainers.data.dataset import check_fraction, check_label_noise

    check_fraction(fraction)
    check_label_noise(label_noise)
    from allweather.trainers.data.image_size import parse_size
    from allweather.trainers.data.registry import has_own_size, open_dataset
    from allweather.trainers.data.shards.patterns import shown
    from allweather.trainers.data.streamed.reading import Reading, evaluation_crop
    from allweather.trainers.methods.config import TrainConfig
    from allweather.trainers.methods.output_paths import checkpoint_paths
    from allweather.trainers.methods.recipes import recipe as settings_of
    from allweather.trainers.methods.train import train as train_classifiers
    from allweather.trainers.models.own_model import OWN, find_own_model
    from allweather.trainers.models.registry import get_architecture
    from allweather.trainers.training.settings import FitSettings

    settings = FitSettings(
        epochs=epochs, batch_size=batch_size, accumulate=accumulate, patience=patience, lr=lr, optimizer=optimizer,
        schedule=schedule, warmup=warmup, clip_norm=clip_norm, nesterov=nesterov, weight_decay=weight_decay,
        label_smoothing=label_smoothing, ema=ema, padding=padding, hflip=hflip, class_weights=class_weights,
        sampling=sampling, sync_batchnorm=sync_batchnorm, seed=seed,
    )  # fmt: skip
    if recipe:
        given = {each.name: getattr(settings, each.name) for each in fields(settings) if is_given(context, each.name)}
        settings = replace(settings_of(recipe), **given)
    config = TrainConfig(
        method=method, variants=variants, loss_weight=loss_weight, loss_ramp=loss_ramp, metric=metric, layer=layer,
        augment=augment, augment_share=augment_share, robust=robust,
    )  # fmt: skip
    config.images_per_step(settings.batch_size)
    if settings.optimizer == "adamw" and is_given(context, "nesterov"):
        raise UsageError("adamw has no Nesterov momentum; leave --nesterov out, or take --optimizer sgd")
    if crop == "random-resized" and is_given(context, "padding"):
        raise UsageError("--crop random-resized shifts no image, so nothing is padded; leave --padding out")
    if arch and own_model:
        raise UsageError("--arch and --model both name a network; leave one of them out")
    if not arch and not own_model:
        raise UsageError("name the network to train: --arch resnet20, for example, or your own with --model")
    if own_model:
        find_own_model(own_model)  # before the data is opened, which may take minutes
    names = arch or [f"{OWN}{own_model}"]
    architectures = {name: get_architecture(name) for name in arch or ()}
    # a library's network takes its usual size where the data has none; the small ones of our own take any
    sizes = [each.usual_input.height for name, each in architectures.items() if ":" in name]
    if size is not None:
        image_size: ImageSize | None = parse_size(size)
    else:
        image_size = None if has_own_size(data) else max(sizes, default=None)
    reading = Reading(stream, workers, random_resized=crop == "random-resized")
    how = evaluation_crop(crop, crop_fraction)
    config.objective(len(names), label_smoothing)

    def open_data() -> Dataset:
        dataset = open_dataset(data, image_size, crop=how, reading=reading, download=download)
        return dataset.subset(fraction, seed).with_label_noise(label_noise, seed)

    description = f"train {', '.join(names)}"
    with training_run(description, open_data, devices=devices, precision=precision) as run:
        networks: list[str | nn.Module | Checkpoint] = [*(arch or ())]
        if own_model:
            networks = [_own_network(own_model, run.dataset)]
        checkpoints = train_classifiers(
            networks, run.dataset, settings, out, fabric=run.fabric, pretrained=pretrained, config=config,
            loggers=run.loggers(log, out),
            watch=run.watch_epochs(description, settings.epochs, _accuracies),
        )  # fmt: skip
        run.say_kept_epoch(checkpoints[0], settings.epochs)
    if not run.is_main:
        return
    results = [
        {
            "checkpoint": str(path),
            "arch": checkpoint.arch,
            "data": shown(data),
            **checkpoint.metrics,
            "seconds": run.seconds,
            "inventory": run.dataset.inventory,
        }
        for path, checkpoint in zip(checkpoint_paths(out, len(names)), checkpoints, strict=True)
    ]
    if len(results) == 1 or as_json:
        print_result(results[0] if len(results) == 1 else {"networks": results}, as_json, "trained")
    else:
        rows = [(str(each["checkpoint"]), str(each["arch"]), f"{each['val_accuracy']:.4f}") for each in results]
        print_table([("trained", "arch", "val accuracy"), *rows])


def _own_network(own_model: str, dataset: Dataset) -> Checkpoint:
    """Makes a network of the user's own for the classes and the size of the data, with ImageNet's normalization."""
    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.models.own_model import import_own_model

    network = import_own_model(own_model, len(dataset.classes))
    return Checkpoint.of(network, dataset.classes, dataset.input, name=own_model)


def _accuracies(report: EpochReport) -> str:
    """Formats the validation accuracy of each network that is trained."""
    return "val " + " / ".join(f"{each:.4f}" for each in (report.val_accuracy, *report.val_metrics.values()))
