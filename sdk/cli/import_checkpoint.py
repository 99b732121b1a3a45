"""allweather import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.checks import check_checkpoint_path, parse_numbers
from allweather.cli.console import handle_errors, print_result
from allweather.cli.options import AsJson, OutCheckpoint
from allweather.runtimes.errors import DataError, UsageError

IMAGENET_MEAN, IMAGENET_STD = "0.485,0.456,0.406", "0.229,0.224,0.225"
CIFAR10 = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"


@handle_errors
def import_checkpoint(
    file: Annotated[Path, typer.Argument(help="State dict (.safetensors or .pth).")],
    arch: Annotated[
        str, typer.Option(help="Architecture of the weights, such as resnet20; an unknown name gets the list of all.")
    ],
    classes: Annotated[
        str, typer.Option(help="cifar10, or the class names separated by commas, in the order of the outputs.")
    ],
    out: OutCheckpoint,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.")] = 32,
    mean: Annotated[
        str, typer.Option(help="Mean R,G,B that the model's inputs were normalized with, on a scale from 0 to 1.")
    ] = IMAGENET_MEAN,
    std: Annotated[
        str,
        typer.Option(help="Standard deviation R,G,B that the model's inputs were normalized with, on that scale."),
    ] = IMAGENET_STD,
    as_json: AsJson = False,
) -> None:
    """Makes a checkpoint of a state dict that was trained with another program."""
    check_checkpoint_path(out)
    names = tuple(name.strip() for name in (CIFAR10 if classes == "cifar10" else classes).split(","))
    if len(names) < 2 or not all(names):
        raise UsageError(f"--classes is cifar10 or class names separated by commas; got {classes!r}")
    from allweather.runtimes.preprocess import InputSpec
    from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
    from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict
    from allweather.trainers.data.class_names import check_class_names

    try:
        check_class_names(names)
    except DataError as error:
        raise UsageError(f"--classes: {error}") from error
    means = parse_numbers(mean, 3, float, "--mean is three numbers R,G,B on a scale from 0 to 1")
    stds = parse_numbers(std, 3, float, "--std is three numbers R,G,B on a scale from 0 to 1")
    if not all(0 <= value <= 1 for value in means) or not all(value <= 1 for value in stds):
        raise UsageError(
            f"--mean and --std are on a scale from 0 to 1; got {mean} and {std}: divide those of a scale to 255 by 255"
        )
    spec = InputSpec(size, size, (means[0], means[1], means[2]), (stds[0], stds[1], stds[2]))
    save_checkpoint(out, checkpoint_from_state_dict(file, arch, names, spec))
    print_result({"checkpoint": str(out), "arch": arch, "classes": len(names)}, as_json, "imported")
