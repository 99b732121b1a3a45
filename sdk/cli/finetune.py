"""allweather finetune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import check_checkpoint_path, check_keeps, check_not_given
from allweather.cli.console import handle_errors
from allweather.cli.options import (
    AUGMENTATIONS_HELP,
    OPTIMIZER_PANEL,
    Accumulate,
    AsJson,
    BatchSize,
    CheckpointFile,
    ClassifierPrecision,
    ClassWeights,
    ClipNorm,
    Data,
    Devices,
    Download,
    Epochs,
    Hflip,
    Log,
    Optimizer,
    OutCheckpoint,
    OwnModel,
    Patience,
    RandomResized,
    Sampling,
    Schedule,
    Seed,
    Stream,
    SyncBatchNorm,
    Warmup,
    WeightDecay,
    Workers,
)
from allweather.cli.output_lock import locks_output
from allweather.cli.training import check_logs, training_run
from allweather.runtimes.errors import UsageError
from allweather.trainers.choices import FinetuneMethod, Strategy

if TYPE_CHECKING:
    from allweather.trainers.methods.gamma_selection import GammaSelection, GammaTrial
    from allweather.trainers.training.progress import EpochReport

SEARCH = "search"


@handle_errors
@locks_output
def finetune(
    context: typer.Context,
    checkpoint: CheckpointFile,
    data: Data,
    out: OutCheckpoint,
    method: Annotated[
        FinetuneMethod,
        typer.Option(
            help="What ties augmented copies to the clean images: their labels (at), logits (st), feature maps (fma), "
            "augmentation-invariant training (ait), or a mixture (robust)."
        ),
    ],
    strategy: Annotated[
        Strategy | None,
        typer.Option(
            help="Augmentations of each copy: one (ia), all combined (ca), or random subsets at random strengths "
            "(mixed). ca if not given, mixed for --method robust."
        ),
    ] = None,
    gamma: Annotated[
        str | None,
        typer.Option(
            help="Weight of the method's loss term, or search to find it; 0.3 for fma and st and 1 for others if not "
            "given."
        ),
    ] = None,
    only: Annotated[
        str | None, typer.Option(help="The one augmentation that --strategy ia uses; all seven in turn if not given.")
    ] = None,
    layers: Annotated[
        str | None,
        typer.Option(
            help="Layers whose outputs --method fma compares, separated by commas, or last for the last activation "
            "function; the outputs of all activation functions if not given."
        ),
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help=f"Augmentation of the copies instead of a --strategy: {AUGMENTATIONS_HELP}")
    ] = None,
    strength_points: Annotated[
        float,
        typer.Option(
            help="Percentage points of accuracy that each augmentation must cost the classifier. Its augmentation "
            "strengths are searched first, unless the checkpoint has some."
        ),
    ] = 10.0,
    max_clean_drop: Annotated[
        float | None,
        typer.Option(
            help="Percentage points of accuracy on clean validation images that may be lost: as much of the weights "
            "before finetuning is mixed in as that takes. The finetuned weights as they are if not given."
        ),
    ] = None,
    epochs: Epochs = 30,
    batch_size: BatchSize = 128,
    accumulate: Accumulate = 1,
    patience: Patience = None,
    lr: Annotated[
        float | None,
        typer.Option(
            help="Highest learning rate; a tenth of what train takes if not given.",
            rich_help_panel=OPTIMIZER_PANEL,
        ),
    ] = None,
    schedule: Schedule = "cosine",
    warmup: Warmup = None,
    optimizer: Optimizer = None,
    weight_decay: WeightDecay = None,
    clip_norm: ClipNorm = None,
    class_weights: ClassWeights = "none",
    sampling: Sampling = "uniform",
    hflip: Hflip = None,
    crop: RandomResized = None,
    stream: Stream = None,
    workers: Workers = None,
    devices: Devices = 1,
    sync_batchnorm: SyncBatchNorm = False,
    precision: ClassifierPrecision = "auto",
    seed: Seed = 0,
    log: Log = None,
    own_model: OwnModel = None,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Makes a classifier robust by training it on augmented copies of its images.

    If it is stopped, the same command resumes it.
    """
    check_checkpoint_path(out)
    check_keeps(out, "--augment", augment)
    check_logs(log, out, data)
    from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
    from allweather.trainers.data.registry import open_dataset_of
    from allweather.trainers.data.shards.patterns import shown
    from allweather.trainers.data.streamed.reading import Reading
    from allweather.trainers.methods.finetune import FinetuneSettings
    from allweather.trainers.methods.finetune import finetune as finetune_classifier
    from allweather.trainers.methods.gamma_search import search_gamma
    from allweather.trainers.training.settings import FitSettings

    if gamma == SEARCH and method == "at":
        raise UsageError("method at has no gamma to search for; leave out --gamma")
    settings = FinetuneSettings(
        method=method, strategy=strategy, gamma=None if gamma == SEARCH else _parse_gamma(gamma), only=only,
        layers=_parse_layers(layers), augment=augment, strength_points=strength_points,
        max_clean_drop=max_clean_drop,
        fit=FitSettings(
            epochs=epochs, batch_size=batch_size, accumulate=accumulate, patience=patience, lr=lr, optimizer=optimizer,
            schedule=schedule, warmup=warmup, clip_norm=clip_norm, weight_decay=weight_decay,
            class_weights=class_weights, sampling=sampling, hflip=hflip, sync_batchnorm=sync_batchnorm, seed=seed,
        ),
    )  # fmt: skip
    reading = Reading(stream, workers, random_resized=crop is not None)
    start = load_checkpoint(checkpoint, own_model)
    if start.strengths:
        check_not_given(context, ["strength_points"], f"{checkpoint} has augmentation strengths already")
    description = f"finetune {method}"
    with training_run(
        description,
        lambda: open_dataset_of(data, start.classes, start.input, reading=reading, download=download),
        devices=devices,
        precision=precision,
    ) as run:

        def watch_strengths(name: str) -> None:
            run.show(f"strength of {name}")

        selection: GammaSelection | None = None
        if gamma == SEARCH:

            def watch_trial(trial: GammaTrial) -> None:
                accuracies = f"clean {trial.clean_accuracy:.4f}, average {trial.average_accuracy:.4f}"
                run.say(f"gamma {trial.gamma:g}: {accuracies}, of {trial.images} validation images")

            selection = search_gamma(
                start, run.dataset, settings, out, fabric=run.fabric, watch=watch_trial, watch_strengths=watch_strengths
            )
            for sentence in selection.sentences():
                run.say(sentence)
            settings = settings.with_gamma(selection.gamma)
        done = finetune_classifier(
            start, run.dataset, settings, out, fabric=run.fabric, watch_strengths=watch_strengths,
            loggers=run.loggers(log, out), watch=run.watch_epochs(description, epochs, _accuracies),
        )  # fmt: skip
        run.say_kept_epoch(done, epochs)
        if done.strengths:
            run.say(strengths_in_words(done.strengths))
        if max_clean_drop is not None:
            run.say(_share_in_words(done.settings["finetuned_share"], max_clean_drop))
        if start.predictor or start.policies:
            run.say(f"{out} has no loss predictor and no policies, which belong to weights: train and tune them anew")
    facts = {"checkpoint": str(out), "method": method, "gamma": done.settings["gamma"], "data": shown(data)}
    facts["val_images"] = len(run.dataset.val)  # the accuracies below are of them
    values = {**facts, **done.metrics, "seconds": run.seconds, "strengths": done.strengths}
    if max_clean_drop is not None:
        values["finetuned_share"] = done.settings["finetuned_share"]
    if selection:
        values["judgement"] = selection.sentences()  # of the search for gamma
    run.print_result(values, as_json, "finetuned")


def _accuracies(report: EpochReport) -> str:
    from allweather.trainers.methods.finetune import epoch_metrics

    average = epoch_metrics(report).get("average_accuracy")
    return f"clean {report.val_accuracy:.4f}" + (f"  average {average:.4f}" if average else "")


def strengths_in_words(strengths: Mapping[str, float]) -> str:
    """Returns how strong the augmentations are that the classifier was finetuned against.

    Args:
        strengths: Parameters of the photometric augmentations, by name.
    """
    numbers = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in strengths.items())
    return f"augmentation strengths: {numbers} (brightness and noise in shares of the range of values)"


def _share_in_words(share: float, max_clean_drop: float) -> str:
    bound = f"{max_clean_drop:g} point{'s' * (max_clean_drop != 1)} of clean accuracy"
    if share == 1:
        return f"the finetuned weights lose at most {bound}, and are kept as they are"
    if share == 0:
        return (
            f"each share of the finetuned weights loses more than {bound}: the weights are those before finetuning; "
            "allow a larger --max-clean-drop, or finetune for more epochs"
        )
    return (
        f"{100 * share:.0f} % of the finetuned weights and {100 - 100 * share:.0f} % of those before: with more of the "
        f"finetuned ones, more than {bound} would be lost"
    )


def _parse_layers(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text is not None else ()
    if not all(names):
        raise UsageError(f"--layers is names of layers separated by commas, such as layer1,layer2; got {text!r}")
    return names


def _parse_gamma(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--gamma is a number, at least 0, or {SEARCH}; got {text!r}") from None
