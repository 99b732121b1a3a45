"""allweather import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from allweather.cli.console import guarded, result
from allweather.cli.options import AsJson, OutCheckpoint, checkpoint_path, numbers
from allweather.runtimes.errors import UsageError

IMAGENET = "0.485,0.456,0.406", "0.229,0.224,0.225"
CIFAR10 = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"


@guarded
def import_(
    file: Annotated[Path, typer.Argument(help="a .safetensors state dict")],
    arch: Annotated[str, typer.Option(help="such as resnet20; a name that is none gets the list")],
    classes: Annotated[str, typer.Option(help="cifar10, or names with commas between, in the order of the outputs")],
    out: OutCheckpoint,
    size: Annotated[int, typer.Option(help="side of the pictures in pixels")] = 32,
    mean: Annotated[str, typer.Option(help="R,G,B that the network's inputs were normalised with")] = IMAGENET[0],
    std: Annotated[str, typer.Option(help="R,G,B that the network's inputs were normalised with")] = IMAGENET[1],
    as_json: AsJson = False,
) -> None:
    """Makes a checkpoint of somebody else's weights."""
    checkpoint_path(out)
    names = tuple(name.strip() for name in (CIFAR10 if classes == "cifar10" else classes).split(","))
    if len(names) < 2 or not all(names):
        raise UsageError(f"--classes is cifar10 or names with commas between; got {classes!r}")
    from allweather.runtimes.preprocess import InputSpec
    from allweather.trainers.checkpoint.checkpoint import checkpoint_from_state_dict, save_checkpoint

    means = numbers(mean, 3, float, "--mean is three numbers R,G,B of a scale from 0 to 1")
    stds = numbers(std, 3, float, "--std is three numbers R,G,B of a scale from 0 to 1")
    spec = InputSpec(size, size, (means[0], means[1], means[2]), (stds[0], stds[1], stds[2]))
    save_checkpoint(out, checkpoint_from_state_dict(file, arch, names, spec))
    result({"checkpoint": str(out), "arch": arch, "classes": len(names)}, as_json, "imported")
