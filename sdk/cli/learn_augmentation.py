"""allweather augmenter."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, progress, result, say
from allweather.cli.options import (
    Arithmetic,
    AsJson,
    Data,
    Devices,
    Download,
    OutCheckpoint,
    Seed,
    TrainPrecision,
    checkpoint_path,
)

if TYPE_CHECKING:
    from allweather.trainers.methods.learned_augmentation.learn import Stage
    from allweather.trainers.training.progress import Progress


class ModeChoice(str, Enum):
    """What an augmentation network changes, and how."""

    parallel = "parallel"
    serial = "serial"
    spatial = "spatial"
    appearance = "appearance"


class AimChoice(str, Enum):
    """Pictures whose loss is to fall."""

    clean = "clean"
    combined = "combined"
    corrupted = "corrupted"


@guarded
def augmenter(
    data: Data,
    arch: Annotated[str, typer.Option(help="of the classifier that it is learned through, such as resnet20")],
    out: OutCheckpoint,
    mode: Annotated[
        ModeChoice, typer.Option(help="warp and colors from one code, one after the other, or one of them")
    ] = ModeChoice.parallel,
    aim: Annotated[
        AimChoice, typer.Option(help="pictures whose loss is to fall: as they are, augmented, or corrupted")
    ] = AimChoice.clean,
    damping: Annotated[float, typer.Option(help="of the last layer, for the inverse of its Hessian")] = 1e-3,
    gan_epochs: Annotated[int, typer.Option(help="epochs of learning to augment plainly first; 0 for none")] = 5,
    epochs: Annotated[int, typer.Option(help="of learning from influence")] = 10,
    classifier_epochs: Annotated[int, typer.Option(help="of training the classifier")] = 36,
    batch: Annotated[int, typer.Option(help="pictures a step, over all processes")] = 128,
    fraction: Annotated[float, typer.Option(help="share of the training pictures to learn from")] = 1.0,
    size: Annotated[int | None, typer.Option(help="side of the pictures in pixels; the data's own")] = None,
    devices: Devices = 1,
    precision: TrainPrecision = Arithmetic.auto,
    seed: Seed = 0,
    download: Download = False,
    as_json: AsJson = False,
) -> None:
    """Learns an augmentation from how it will change the loss on held-out pictures; killed, it goes on."""
    checkpoint_path(out)
    from allweather.trainers.data.registry import open_dataset
    from allweather.trainers.methods.learned_augmentation.learn import (
        LearnAugmentationSettings,
        learn_augmentation,
    )
    from allweather.trainers.models.registry import get_architecture
    from allweather.trainers.training.launch import launch
    from allweather.trainers.training.settings import FitSettings

    get_architecture(arch)
    settings = LearnAugmentationSettings(
        mode=mode.value, aim=aim.value, damping=damping, gan_epochs=gan_epochs, epochs=epochs,
        classifier=FitSettings(epochs=classifier_epochs, batch_size=batch, seed=seed),
    )  # fmt: skip
    fabric = launch(devices, precision.value)
    dataset = open_dataset(data, size, download=download).subset(fraction, seed)
    leads = fabric.is_global_zero
    for note in dataset.notes if leads else ():
        say(note)
    with progress("augmenter", None) as update:

        def watch(stage: Stage, now: Progress) -> None:
            if not leads:
                return
            update(now.step, stage)
            if row := now.report:
                judged = {
                    "classifier": f"val {row.val_accuracy:.4f}",
                    "mimicry": "",
                    "benefit": f"helps {100 * row.val_accuracy:.1f} % of the pictures",
                }[stage]
                say(f"{stage}: epoch {row.epoch}  loss {row.loss:.4f}  {judged}  {row.images_per_second:.0f} images/s")

        made = learn_augmentation(arch, dataset, settings, out, fabric=fabric, watch=watch)
    if leads:
        if made.metrics["gain"] <= 0:
            say("by influence it does not lower the held-out loss; a classifier trained for longer may help")
        facts = {"augmentation": str(out), "mode": made.mode, "data": data}
        result({**facts, **made.metrics}, as_json, "learned")
