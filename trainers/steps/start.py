"""What a step starts from: a checkpoint in memory or in a file, or a trained network of the user's own."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.data.dataset import Dataset

Start = Checkpoint | nn.Module | Path | str


def check_start(start: object) -> None:
    """Checks that a step starts from a model in memory or from the path of one.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(start, Checkpoint | nn.Module | Bundle):
        as_path(start, "a model")  # type: ignore[arg-type] # it is what is checked


def checkpoint_of(start: Start, data: Dataset) -> Checkpoint:
    """Returns the checkpoint that a step starts from.

    Args:
        start: A checkpoint, or its .safetensors file; or a trained nn.Module that takes images normalized with
            ImageNet's mean and std, whose logits are in the order of the classes of the data. `Checkpoint.of` is for
            modules that take others.
        data: Its classes and image size are those of a module.

    Raises:
        UsageError: It is none of these; or the module is no classifier of these classes and this size.
        CheckpointError: The file cannot be read, or the module's weights are not finite.
    """
    if isinstance(start, Checkpoint):
        return start
    if isinstance(start, nn.Module):
        return Checkpoint.of(start, data.classes, data.input, data=data.name, hflip=data.hflip)
    path = as_path(start, "a checkpoint")
    if path.suffix != ".safetensors":
        raise UsageError(
            f"this starts from a trained classifier: a Checkpoint, its .safetensors file or an nn.Module; got {path}: "
            "trainers.train trains an architecture by its name"
        )
    return load_checkpoint(path)
