"""allweather train."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say, table
from allweather.cli.options import (
    Arithmetic,
    AsJson,
    Augment,
    Data,
    Devices,
    Download,
    OutCheckpoint,
    Seed,
    TrainPrecision,
    checkpoint_path,
)


class ScheduleChoice(str, Enum):
    """Shapes of the learning rate over a run."""

    onecycle = "onecycle"
    cosine = "cosine"


class TrainMethodChoice(str, Enum):
    """What is made small: labels alone, or answers to variants as well."""

    plain = "plain"
    ait = "ait"
    multi_ait = "multi-ait"
    dml = "dml"


class MetricChoice(str, Enum):
    """How unlike answers are measured."""

    kl = "kl"
    euclidean = "euclidean"
    both = "both"


class LayerChoice(str, Enum):
    """Where answers are compared."""

    logits = "logits"
    feature = "feature"
    map = "map"


@guarded
def train(
    data: Data,
    arch: Annotated[
        list[str], typer.Option(help="such as resnet20; given more than once, networks that learn from one another")
    ],
    out: OutCheckpoint,
    method: Annotated[
        TrainMethodChoice, typer.Option(help="labels alone; or the same answer to variants, of one network or several")
    ] = TrainMethodChoice.plain,
    variants: Annotated[
        str,
        typer.Option(help="r and p (crop), g (grayscale), c (color), such as rpc; rh for none; one or a list"),
    ] = "rp",
    weight: Annotated[
        float | None, typer.Option(help="of the term that ties answers, the papers' lambda; 1, of multi-ait 3")
    ] = None,
    metric: Annotated[MetricChoice | None, typer.Option(help="of --method ait; kl")] = None,
    layer: Annotated[LayerChoice | None, typer.Option(help="that --method ait compares; logits")] = None,
    epochs: Annotated[int, typer.Option(help="passes over the training pictures")] = 36,
    batch: Annotated[int, typer.Option(help="pictures a step, over all processes")] = 128,
    lr: Annotated[float | None, typer.Option(help="highest learning rate; the architecture's own")] = None,
    schedule: Annotated[ScheduleChoice, typer.Option(help="of the learning rate")] = ScheduleChoice.onecycle,
    label_smoothing: Annotated[float, typer.Option(help="share of the target spread over all classes")] = 0.0,
    ema: Annotated[float, typer.Option(help="decay of the averaged weights a step; 0 is off")] = 0.998,
    hflip: Annotated[bool | None, typer.Option(help="mirror half of the pictures; the data's own answer")] = None,
    fraction: Annotated[float, typer.Option(help="share of the training pictures to learn from")] = 1.0,
    label_noise: Annotated[float, typer.Option(help="share of the training labels that are replaced at random")] = 0.0,
    size: Annotated[int | None, typer.Option(help="side of the pictures in pixels; the data's own")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="start from torchvision's weights")] = False,
    augment: Augment = None,
    devices: Devices = 1,
    precision: TrainPrecision = Arithmetic.auto,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Trains a classifier; killed, it goes on where it was when it is started again."""
    checkpoint_path(out)
    from allweather.trainers.data.registry import open_dataset
    from allweather.trainers.methods.config import TrainConfig
    from allweather.trainers.methods.train import places
    from allweather.trainers.methods.train import train as train_classifiers
    from allweather.trainers.models.registry import get_architecture
    from allweather.trainers.training.launch import launch
    from allweather.trainers.training.progress import Progress
    from allweather.trainers.training.settings import FitSettings

    settings = FitSettings(
        epochs=epochs, batch_size=batch, lr=lr, schedule=schedule.value, label_smoothing=label_smoothing,
        ema=ema, hflip=hflip, seed=seed,
    )  # fmt: skip
    config = TrainConfig(
        method=method.value, variants=variants, weight=weight, metric=metric.value if metric else None,
        layer=layer.value if layer else None, augment=augment,
    )  # fmt: skip
    for each in arch:  # what cannot be should not wait for the data
        get_architecture(each)
    config.objective(len(arch), label_smoothing)
    fabric = launch(devices, precision.value)
    dataset = open_dataset(data, size, download=download).subset(fraction, seed).with_label_noise(label_noise, seed)
    leads = fabric.is_global_zero
    for note in dataset.notes if leads else ():
        say(note)
    name = f"train {', '.join(arch)}"
    with progress(name, None) as update:

        def watch(now: Progress) -> None:
            if not leads:
                return
            if now.report is None:
                update(now.step, name)
                return
            row = now.report
            accuracies = " / ".join(f"{each:.4f}" for each in (row.val_accuracy, *row.val_metrics.values()))
            say(
                f"epoch {row.epoch}/{epochs}  loss {row.loss:.4f}  val {accuracies}  "
                f"{row.images_per_second:.0f} images/s"
            )

        checkpoints = train_classifiers(
            arch, dataset, settings, out, fabric=fabric, pretrained=pretrained, config=config, watch=watch
        )
    if leads:
        made = [
            {"checkpoint": str(place), "arch": each.arch, "data": data, **each.metrics}
            for place, each in zip(places(out, len(arch)), checkpoints, strict=True)
        ]
        if len(made) == 1 or as_json:
            result(made[0] if len(made) == 1 else {"networks": made}, as_json, "trained")
        else:
            rows = [(str(each["checkpoint"]), str(each["arch"]), f"{each['val_accuracy']:.4f}") for each in made]
            table([("trained", "arch", "val accuracy"), *rows])
