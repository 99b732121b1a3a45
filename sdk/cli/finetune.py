"""allweather finetune."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import (
    Arithmetic,
    AsJson,
    Augment,
    CheckpointFile,
    Data,
    Devices,
    Download,
    OutCheckpoint,
    Seed,
    TrainPrecision,
    checkpoint_path,
)
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.trainers.methods.gamma_search import GammaTrial
    from allweather.trainers.training.progress import Progress

SEARCH = "search"


class MethodChoice(str, Enum):
    """What ties distorted copies to their clean pictures."""

    at = "at"
    st = "st"
    fma = "fma"
    ait = "ait"
    robust = "robust"


class StrategyChoice(str, Enum):
    """How copies are distorted."""

    ia = "ia"
    ca = "ca"
    mixed = "mixed"


@guarded
def finetune(
    checkpoint: CheckpointFile,
    data: Data,
    out: OutCheckpoint,
    method: Annotated[
        MethodChoice,
        typer.Option(
            help="labels (at), answers (st) or feature maps (fma) of copies follow the clean ones; ait; or ours"
        ),
    ],
    strategy: Annotated[
        StrategyChoice | None, typer.Option(help="one augmentation a copy, combined ones, or random subsets")
    ] = None,
    gamma: Annotated[str | None, typer.Option(help="weight of the method's term, or search; the method's own")] = None,
    only: Annotated[str | None, typer.Option(help="the one augmentation of --strategy ia; all seven in turn")] = None,
    augment: Augment = None,
    epochs: Annotated[int, typer.Option(help="passes over the training pictures")] = 30,
    batch: Annotated[int, typer.Option(help="clean pictures a step, over all processes")] = 128,
    lr: Annotated[float | None, typer.Option(help="highest learning rate; a tenth of the usual")] = None,
    devices: Devices = 1,
    precision: TrainPrecision = Arithmetic.auto,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Makes a calibrated classifier robust; killed, it goes on where it was when it is started again."""
    checkpoint_path(out)
    from allweather.trainers.checkpoint.checkpoint import load_checkpoint
    from allweather.trainers.data.registry import open_dataset_of
    from allweather.trainers.methods.finetune import FinetuneSettings, epoch_metrics
    from allweather.trainers.methods.finetune import finetune as run
    from allweather.trainers.methods.gamma_search import search_gamma
    from allweather.trainers.training.launch import launch
    from allweather.trainers.training.settings import FitSettings

    searched = gamma == SEARCH
    settings = FinetuneSettings(
        method=method.value,
        strategy=strategy.value if strategy else None,
        gamma=None if searched else _number(gamma),
        only=only,
        augment=augment,
        fit=FitSettings(epochs=epochs, batch_size=batch, lr=lr, schedule="cosine", seed=seed),
    )
    start = load_checkpoint(checkpoint)
    fabric = launch(devices, precision.value)
    dataset = open_dataset_of(data, start.classes, start.input, download=download)
    leads = fabric.is_global_zero
    for note in dataset.notes if leads else ():
        say(note)
    with progress(f"finetune {method.value}", None) as update:
        if searched:

            def tried(trial: GammaTrial) -> None:
                if leads:
                    say(f"gamma {trial.gamma:g}: clean {trial.clean_accuracy:.4f}, average {trial.average_accuracy:.4f}")

            best, _ = search_gamma(start, dataset, settings, out, fabric=fabric, watch=tried)
            settings = settings.with_gamma(best)

        def watch(now: Progress) -> None:
            if not leads:
                return
            update(now.step, f"finetune {method.value}")
            if row := now.report:
                mean = epoch_metrics(row).get("average_accuracy")
                judged = f"clean {row.val_accuracy:.4f}" + (f"  average {mean:.4f}" if mean else "")
                say(f"epoch {row.epoch}/{epochs}  loss {row.loss:.4f}  {judged}  {row.images_per_second:.0f} images/s")

        done = run(start, dataset, settings, out, fabric=fabric, watch=watch)
    if leads:
        facts = {"checkpoint": str(out), "method": method.value, "gamma": done.settings["gamma"], "data": data}
        result({**facts, **done.metrics}, as_json, "finetuned")


def _number(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"--gamma is a number from 0, or {SEARCH}; got {text!r}") from None
