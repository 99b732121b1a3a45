"""allweather train-predictor."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_keeps, check_model_path, check_not_given, kind_of
from allweather.cli.console import handle_errors, print_result, say
from allweather.cli.options import (
    DATA_HELP,
    AsJson,
    BatchSize,
    Devices,
    Download,
    Epochs,
    Hflip,
    Log,
    ModelFile,
    OutModel,
    OwnModel,
    Seed,
    Stream,
    TrainPrecision,
    Workers,
)
from allweather.cli.output_lock import locks_output
from allweather.cli.training import TrainingRun, check_logs, training_run
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import real_path
from allweather.trainers.choices import CorruptionFamily, PredictorKind, RankLossName

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
    from allweather.trainers.inference.open_model import EvaluatedModel
    from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
    from allweather.trainers.training.progress import EpochReport, Progress

TRAINING_OPTIONS = (
    "kind", "loss", "copies", "held_back", "exclude_family", "view_losses", "epochs", "batch_size", "lr", "hflip",
    "stream", "workers", "devices", "precision", "seed", "log", "download",
)  # fmt: skip


@handle_errors
@locks_output
def train_predictor(
    context: typer.Context,
    model: ModelFile,
    out: OutModel,
    data: Annotated[str | None, typer.Option(help=DATA_HELP)] = None,
    use: Annotated[
        Path | None,
        typer.Option(help="Add this trained predictor, or the one of this checkpoint, instead of training one."),
    ] = None,
    kind: Annotated[
        PredictorKind, typer.Option(help="Network of the predictor: tiny for devices, efficientnet as in the paper.")
    ] = "tiny",
    loss: Annotated[RankLossName, typer.Option(help="Loss that the predictor is trained with.")] = "squared",
    copies: Annotated[
        int,
        typer.Option(
            help="Number of corrupted copies of each training image. Of held-back images there are as many in all, at "
            "most 16 of each."
        ),
    ] = 2,
    held_back: Annotated[
        bool | None,
        typer.Option(
            "--held-back/--no-held-back",
            help="Train on the val split, which the classifier has not learned by heart, or on the training images; if "
            "not given, on the val split where it has 1000 images. tune-policy then takes the fifth that is left.",
        ),
    ] = None,
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
    stream: Stream = None,
    workers: Workers = None,
    own_model: OwnModel = None,
    devices: Devices = 1,
    precision: TrainPrecision = "auto",
    seed: Seed = 0,
    log: Log = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Trains a loss predictor, which tells on which views a classifier does best.

    The classifier is a checkpoint, or a bundle that is written anew with the predictor in it.

    If it is stopped, the same command resumes it.
    """
    check_model_path(model, out)
    check_logs(log, out, data or "")
    if (data is None) == (use is None):
        raise UsageError(
            "give either --data, to train a predictor, or --use FILE, to add one that has been trained already"
        )
    if use is not None:
        check_not_given(context, TRAINING_OPTIONS, "--use adds a predictor as it was trained")
        if real_path(model) != real_path(use):
            check_keeps(out, "--use", str(use))
        _add_trained(model, use, out, own_model, as_json)
        return
    from allweather.exporters.addition import add_to_bundle
    from allweather.runtimes.bundle.bundle import Bundle
    from allweather.runtimes.bundle.output_path import check_outside_bundles
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
    from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
    from allweather.trainers.data.files.outputs import check_output_is_no_class
    from allweather.trainers.data.shards.patterns import shown
    from allweather.trainers.data.streamed.reading import Reading
    from allweather.trainers.inference.open_model import open_model
    from allweather.trainers.methods.loss_predictor import PredictorSettings
    from allweather.trainers.methods.loss_predictor.quality import quality_sentences
    from allweather.trainers.methods.output_paths import resume_path
    from allweather.trainers.training.settings import FitSettings

    assert data is not None
    settings = PredictorSettings(
        kind=kind, loss=loss, copy_settings=CopySettings(copies=copies, seed=seed), held_back=held_back,
        exclude_family=exclude_family,
        fit=FitSettings(epochs=epochs, batch_size=batch_size, lr=lr, shift=0, hflip=hflip, seed=seed),
    )  # fmt: skip
    reading = Reading(stream, workers)
    if view_losses is not None:
        check_outside_bundles(view_losses, "--view-losses")
        check_output_is_no_class(view_losses, data, "--view-losses")
    keep = view_losses or out.with_name(f".{out.name}.view-losses")
    with ExitStack() as stack:
        start = load_checkpoint(model, own_model) if kind_of(model) == "checkpoint" else None
        opened = stack.enter_context(open_model(start or model, model=None if start else own_model))
        run = stack.enter_context(
            training_run(
                "view losses",
                lambda: opened.open_data(data, reading=reading, download=download),
                devices=devices,
                precision=precision,
            )
        )
        watchers = run.watch_steps("view losses"), run.watch_epochs(f"predictor {kind}", epochs, _metrics)
        predictor = _train(opened, start, run, settings, out, keep, run.loggers(log, out), watchers)
        if run.is_main and isinstance(opened.source, Bundle):
            run.show("compiling the predictor")
            add_to_bundle(opened.source, predictor, None, run.dataset, out, watch=run.show)
            resume_path(out).unlink(missing_ok=True)
    if run.is_main and view_losses is None:
        shutil.rmtree(keep, ignore_errors=True)
    for line in quality_sentences(predictor.metrics):
        run.say(line)
    facts = {kind_of(model): str(out), "kind": kind, "data": shown(data)}
    run.print_result({**facts, **predictor.metrics}, as_json, "trained")


def _train(
    opened: EvaluatedModel,
    start: Checkpoint | None,
    run: TrainingRun,
    settings: PredictorSettings,
    out: Path,
    keep: Path,
    loggers: list[Logger],
    watchers: tuple[Callable[[int, int], None], Callable[[Progress], None]],
) -> TrainedPredictor:
    """Trains the predictor of a checkpoint, which is saved with it, or of a bundle."""
    from allweather.trainers.inference.frozen_classifier import FrozenClassifier
    from allweather.trainers.methods.loss_predictor import add_predictor, predictor_for
    from allweather.trainers.methods.output_paths import resume_path

    if start is None:
        return predictor_for(
            FrozenClassifier.of_bundle(opened), opened.input, run.dataset, settings, resume_path(out),
            losses_folder=keep, fabric=run.fabric, watch_losses=watchers[0], loggers=loggers, watch=watchers[1],
        )  # fmt: skip
    done = add_predictor(
        start, run.dataset, settings, out,
        losses_folder=keep, fabric=run.fabric, watch_losses=watchers[0], loggers=loggers, watch=watchers[1],
    )  # fmt: skip
    assert done.predictor is not None
    return done.predictor


def _metrics(report: EpochReport) -> str:
    correlation = report.val_metrics["rank_correlation"]
    return f"accuracy at k = 1 {report.val_accuracy:.4f}  rank correlation {correlation:.3f}"


def _add_trained(model: Path, use: Path, out: Path, own_model: str | None, as_json: bool) -> None:
    """Writes the checkpoint with a predictor of another file, which must have been trained for its classifier."""
    from allweather.trainers.checkpoint.checkpoint_file import extract_predictor, load_checkpoint, save_checkpoint
    from allweather.trainers.methods.loss_predictor.quality import quality_sentences

    if kind_of(model) == "bundle":
        raise UsageError("--use adds a predictor to a checkpoint; a bundle gets one that is trained for it: --data")
    start, predictor = load_checkpoint(model, own_model), extract_predictor(use)
    predictor.check_classifier(start.classifier())
    predictor.model()  # raises an error if its network cannot be built
    save_checkpoint(out, start.with_predictor(predictor))
    for line in quality_sentences(predictor.metrics):
        say(line)
    print_result({"checkpoint": str(out), "kind": predictor.kind, **predictor.metrics}, as_json, "added")
