"""allweather predictor."""

from __future__ import annotations

import dataclasses
import shutil
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import (
    Arithmetic,
    AsJson,
    CheckpointFile,
    Devices,
    Download,
    OutCheckpoint,
    Seed,
    TrainPrecision,
    check_not_given,
    checkpoint_path,
)
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.training.progress import Progress


TRAINING = (  # options that a predictor which is trained has no use for
    "kind", "loss", "copies", "without", "targets", "epochs", "batch", "lr", "devices", "precision", "seed",
)  # fmt: skip


class KindChoice(str, Enum):
    """Networks that predict losses."""

    tiny = "tiny"
    efficientnet = "efficientnet"


class LossChoice(str, Enum):
    """What a predictor's training makes small."""

    squared = "squared"
    regret = "regret"
    spearman = "spearman"
    sodeep = "sodeep"
    relative = "relative"


class FamilyChoice(str, Enum):
    """Families of corruptions."""

    noise = "noise"
    blur = "blur"
    weather = "weather"
    digital = "digital"


@guarded
def predictor(
    context: typer.Context,
    checkpoint: CheckpointFile,
    out: OutCheckpoint,
    data: Annotated[str | None, typer.Option(help="signs, cifar10:ROOT, cifar100:ROOT or folder:ROOT")] = None,
    use: Annotated[Path | None, typer.Option(help="a predictor, or a checkpoint with one, to put in as it is")] = None,
    kind: Annotated[KindChoice, typer.Option(help="tiny for a device, efficientnet as in the paper")] = KindChoice.tiny,
    loss: Annotated[LossChoice, typer.Option(help="what its training makes small")] = LossChoice.squared,
    copies: Annotated[int, typer.Option(help="corrupted copies of each training picture")] = 2,
    exclude_family: Annotated[FamilyChoice | None, typer.Option(help="corruptions to show nothing of")] = None,
    targets: Annotated[Path | None, typer.Option(help="folder to keep the view losses in, for the next one")] = None,
    epochs: Annotated[int, typer.Option(help="passes over the corrupted pictures")] = 10,
    batch: Annotated[int, typer.Option(help="pictures a step, over all processes")] = 128,
    lr: Annotated[float | None, typer.Option(help="highest learning rate; the network's own")] = None,
    devices: Devices = 1,
    precision: TrainPrecision = Arithmetic.auto,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Trains what predicts, for each picture, on which view the classifier will do best; killed, it goes on."""
    checkpoint_path(out)
    if (data is None) == (use is None):
        raise UsageError(
            "name --data to train a predictor on, or --use FILE to put in one that is trained; one of both"
        )
    from allweather.trainers.checkpoint.checkpoint import load_checkpoint

    start = load_checkpoint(checkpoint)
    if use is not None:
        check_not_given(context, TRAINING, "--use puts in a predictor as it was trained")
        _put_in(start, use, out, as_json)
        return
    from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
    from allweather.trainers.data.registry import open_dataset_of
    from allweather.trainers.methods.loss_predictor.train import PredictorSettings, add_predictor
    from allweather.trainers.training.launch import launch
    from allweather.trainers.training.settings import FitSettings

    settings = PredictorSettings(
        kind=kind.value, loss=loss.value,
        copy_settings=CopySettings(copies=copies, seed=seed),
        exclude_family=exclude_family.value if exclude_family else None,
        fit=FitSettings(epochs=epochs, batch_size=batch, lr=lr, shift=0, seed=seed),
    )  # fmt: skip
    fabric = launch(devices, precision.value)
    assert data is not None
    dataset = open_dataset_of(data, start.classes, start.input, download=download)
    leads = fabric.is_global_zero
    for note in dataset.notes if leads else ():
        say(note)
    keep = targets or out.with_name(f".{out.name}.targets")
    with progress("view losses", None) as update:

        def told(done: int, total: int) -> None:
            update(done, f"view losses {done}/{total}")

        def watch(now: Progress) -> None:
            if not leads:
                return
            update(now.step, f"predictor {kind.value}")
            if row := now.report:
                alike = row.val_metrics["rank_correlation"]
                say(
                    f"epoch {row.epoch}/{epochs}  loss {row.loss:.4f}  accuracy at k = 1 {row.val_accuracy:.4f}  "
                    f"rank correlation {alike:.3f}  {row.images_per_second:.0f} images/s"
                )

        done = add_predictor(
            start, dataset, settings, out, keep=keep, fabric=fabric, watch_targets=told, watch=watch
        )  # fmt: skip
    if leads:
        if targets is None:
            shutil.rmtree(keep, ignore_errors=True)
        assert done.predictor is not None
        facts = {"checkpoint": str(out), "kind": kind.value, "data": data}
        result({**facts, **done.predictor.metrics}, as_json, "trained")


def _put_in(start: Checkpoint, use: Path, out: Path, as_json: bool) -> None:
    """A predictor of another file into the checkpoint of the classifier that it was trained for."""
    from allweather.trainers.checkpoint.checkpoint import extract_predictor, save_checkpoint

    trained = extract_predictor(use)
    trained.check_classifier(start.classifier())
    trained.model()  # one that cannot be built is refused now
    save_checkpoint(out, dataclasses.replace(start, predictor=trained))
    result({"checkpoint": str(out), "kind": trained.kind, **trained.metrics}, as_json, "put in")
