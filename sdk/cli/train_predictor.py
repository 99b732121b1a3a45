"""allweather train-predictor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_checkpoint_path, check_not_given
from allweather.cli.console import handle_errors, print_result, say
from allweather.cli.options import (
    DATA_HELP,
    AsJson,
    BatchSize,
    CheckpointFile,
    Devices,
    Download,
    Epochs,
    Hflip,
    OutCheckpoint,
    Seed,
    TrainPrecision,
)
from allweather.cli.output_lock import locks_output
from allweather.cli.training import training_run
from allweather.runtimes.errors import UsageError
from allweather.trainers.choices import CorruptionFamily, PredictorKind, RankLossName

if TYPE_CHECKING:
    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.training.progress import EpochReport

TRAINING_OPTIONS = (
    "kind", "loss", "copies", "exclude_family", "view_losses", "epochs", "batch_size", "lr", "hflip", "devices",
    "precision", "seed", "download",
)  # fmt: skip


@handle_errors
@locks_output
def train_predictor(
    context: typer.Context,
    checkpoint: CheckpointFile,
    out: OutCheckpoint,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    use: Annotated[
        Path | None,
        typer.Option(help="Add this trained predictor, or the one of this checkpoint, instead of training one."),
    ] = None,
    kind: Annotated[
        PredictorKind, typer.Option(help="Network of the predictor: tiny for devices, efficientnet as in the paper.")
    ] = "tiny",
    loss: Annotated[RankLossName, typer.Option(help="Loss that the predictor is trained with.")] = "squared",
    copies: Annotated[int, typer.Option(help="Number of corrupted copies of each training image.")] = 2,
    exclude_family: Annotated[
        CorruptionFamily | None,
        typer.Option(help="Family of corruptions that the predictor is not trained on, to evaluate it on unseen ones."),
    ] = None,
    view_losses: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the classifier's losses on all views, so that the next run can use them."),
    ] = None,
    epochs: Epochs = 10,
    batch_size: BatchSize = 128,
    lr: Annotated[
        float | None, typer.Option(help="Highest learning rate; the predictor network's own if not given.")
    ] = None,
    hflip: Hflip = None,
    devices: Devices = 1,
    precision: TrainPrecision = "auto",
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Trains a loss predictor, which tells on which views a classifier does best.

    If it is stopped, the same command resumes it.
    """
    check_checkpoint_path(out)
    if (data is None) == (use is None):
        raise UsageError(
            "give either --data, to train a predictor, or --use FILE, to add one that has been trained already"
        )
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint

    if use is not None:
        check_not_given(context, TRAINING_OPTIONS, "--use adds a predictor as it was trained")
        _add_trained(load_checkpoint(checkpoint), use, out, as_json)
        return
    from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
    from allweather.trainers.data.registry import open_dataset_of
    from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor
    from allweather.trainers.methods.loss_predictor.quality import quality_sentences
    from allweather.trainers.training.settings import FitSettings

    assert data is not None
    settings = PredictorSettings(
        kind=kind, loss=loss, copy_settings=CopySettings(copies=copies, seed=seed), exclude_family=exclude_family,
        fit=FitSettings(epochs=epochs, batch_size=batch_size, lr=lr, shift=0, hflip=hflip, seed=seed),
    )  # fmt: skip
    start = load_checkpoint(checkpoint)
    keep = view_losses or out.with_name(f".{out.name}.view-losses")
    with training_run(
        "view losses",
        lambda: open_dataset_of(data, start.classes, start.input, download=download),
        devices=devices,
        precision=precision,
    ) as run:
        done = add_predictor(
            start, run.dataset, settings, out, losses_folder=keep, fabric=run.fabric,
            watch_losses=run.watch_steps("view losses"),
            watch=run.watch_epochs(f"predictor {kind}", epochs, _metrics),
        )  # fmt: skip
    if run.is_main and view_losses is None:
        shutil.rmtree(keep, ignore_errors=True)
    assert done.predictor is not None
    for line in quality_sentences(done.predictor.metrics):
        run.say(line)
    facts = {"checkpoint": str(out), "kind": kind, "data": data}
    run.print_result({**facts, **done.predictor.metrics}, as_json, "trained")


def _metrics(report: EpochReport) -> str:
    correlation = report.val_metrics["rank_correlation"]
    return f"accuracy at k = 1 {report.val_accuracy:.4f}  rank correlation {correlation:.3f}"


def _add_trained(start: Checkpoint, use: Path, out: Path, as_json: bool) -> None:
    """Writes the checkpoint with a predictor of another file, which must have been trained for its classifier."""
    from allweather.trainers.checkpoint.checkpoint_file import extract_predictor, save_checkpoint
    from allweather.trainers.methods.loss_predictor.quality import quality_sentences

    predictor = extract_predictor(use)
    predictor.check_classifier(start.classifier())
    predictor.model()  # raises an error if its network cannot be built
    save_checkpoint(out, start.with_predictor(predictor))
    for line in quality_sentences(predictor.metrics):
        say(line)
    print_result({"checkpoint": str(out), "kind": predictor.kind, **predictor.metrics}, as_json, "added")
