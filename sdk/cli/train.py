"""allweather train."""

from __future__ import annotations

from enum import Enum
from typing import Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import (
    Arithmetic,
    AsJson,
    AugmentChoice,
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


@guarded
def train(
    data: Data,
    arch: Annotated[str, typer.Option(help="resnet20, resnet32, resnet56, resnet18, resnet50 or vgg16")],
    out: OutCheckpoint,
    epochs: Annotated[int, typer.Option(help="passes over the training pictures")] = 36,
    batch: Annotated[int, typer.Option(help="pictures a step, over all processes")] = 128,
    peak_rate: Annotated[float | None, typer.Option(help="highest learning rate; the architecture's own")] = None,
    schedule: Annotated[ScheduleChoice, typer.Option(help="of the learning rate")] = ScheduleChoice.onecycle,
    label_smoothing: Annotated[float, typer.Option(help="share of the target spread over all classes")] = 0.0,
    ema: Annotated[float, typer.Option(help="decay of the averaged weights a step; 0 is off")] = 0.998,
    mirrors: Annotated[bool | None, typer.Option(help="mirror half of the pictures; the data's own answer")] = None,
    size: Annotated[int | None, typer.Option(help="side of the pictures in pixels; the data's own")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="start from torchvision's weights")] = False,
    augment: Annotated[AugmentChoice | None, typer.Option(help="torchvision's, beside shifts and mirroring")] = None,
    devices: Devices = 1,
    precision: TrainPrecision = Arithmetic.auto,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Trains a classifier; killed, it goes on where it was when it is started again."""
    checkpoint_path(out)
    from allweather.trainers.data import open_dataset
    from allweather.trainers.launch import launch
    from allweather.trainers.models import architecture
    from allweather.trainers.progress import Progress
    from allweather.trainers.settings import FitSettings
    from allweather.trainers.train import train as train_classifier

    settings = FitSettings(
        epochs=epochs, batch=batch, peak_rate=peak_rate, schedule=schedule.value, label_smoothing=label_smoothing,
        ema=ema, mirrors=mirrors, seed=seed,
    )  # fmt: skip
    architecture(arch)  # a name that is none should not wait for the data
    fabric = launch(devices, precision.value)
    dataset = open_dataset(data, size, download=download)
    leads = fabric.is_global_zero
    for note in dataset.notes if leads else ():
        say(note)
    with progress(f"train {arch}", None) as update:

        def watch(now: Progress) -> None:
            if not leads:
                return
            if now.report is None:
                update(now.step, f"train {arch}")
                return
            row = now.report
            say(
                f"epoch {row.epoch}/{epochs}  loss {row.loss:.4f}  val {row.val_accuracy:.4f}  "
                f"{row.images_per_second:.0f} images/s"
            )

        checkpoint = train_classifier(
            arch, dataset, settings, out, fabric=fabric, pretrained=pretrained,
            augment=augment.value if augment else None, watch=watch,
        )  # fmt: skip
    if leads:
        result({"checkpoint": str(out), "arch": arch, "data": data, **checkpoint.metrics}, as_json, "trained")
