"""Weights that a file holds: whether they are numbers that a network can compute with, and whether they fit it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from allweather.runtimes.errors import CheckpointError
from allweather.runtimes.text import printable
from allweather.trainers.models.classifier import Classifier

FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
INDICES = (torch.int64, torch.int32, torch.bool)  # of buffers that are no weights, such as positions and counters
STEM = "conv1.weight"


def check_finite(weights: Mapping[str, Tensor], where: str = "") -> None:
    """Checks that all weights are real, finite numbers.

    Args:
        weights: State dict.
        where: Name of the file, for the message; "" where the caller adds it.

    Raises:
        CheckpointError: One of them is complex, a small integer, sparse, NaN, infinite or not in the file; the message
            names it.
    """
    source = f"{where}: " if where else ""
    for key, value in weights.items():
        if value.layout != torch.strided or value.is_meta:
            kind = "stored without its values (meta)" if value.is_meta else "a sparse tensor"
            raise CheckpointError(f"{source}the weight {_name(key)} is {kind}; save it as a plain tensor")
        if value.dtype in INDICES:
            continue
        if value.dtype not in FLOATS:
            fault = f"is of type {str(value.dtype).removeprefix('torch.')}, not fp32, fp16, bf16 or fp64"
        elif not bool(torch.isfinite(value).all()):
            fault = "holds NaN or infinity, as after a training that diverged"
        else:
            continue
        raise CheckpointError(f"{source}the weight {_name(key)} {fault}; name a file of a training that succeeded")


def load_weights(model: Classifier, weights: Mapping[str, Tensor]) -> None:
    """Copies a state dict into `model.network`; every name and shape must fit, and all weights must be finite.

    Raises:
        CheckpointError: A weight does not fit or is not finite; the message names the first one.
    """
    own = model.network.state_dict()
    missing, extra = [key for key in own if key not in weights], [key for key in weights if key not in own]
    misshapen = [key for key in own if key in weights and own[key].shape != weights[key].shape]
    if misshapen:
        key = misshapen[0]
        raise CheckpointError(
            f"{key} has the shape {_shape(weights[key])} where this architecture with this number of classes "
            f"and input size has {_shape(own[key])}; {_shape_cure(key, weights[key], own[key])}"
        )
    if missing or extra:
        reason = f"{missing[0]} is missing" if missing else f"{_name(extra[0])} is not part of it"
        raise CheckpointError(
            f"the weights do not fit the architecture: {reason} ({len(missing)} missing, {len(extra)} left over); "
            "name the --arch that they were trained with"
        )
    check_finite(weights)
    for key, value in own.items():
        if value.is_floating_point() != weights[key].is_floating_point():
            kinds = (str(each.dtype).removeprefix("torch.") for each in (weights[key], value))
            raise CheckpointError(
                "the weight {} is of type {} where this architecture has {}; name a file of weights that are not "
                "quantized".format(_name(key), *kinds)
            )
    model.network.load_state_dict(dict(weights))


def _shape_cure(key: str, found: Tensor, own: Tensor) -> str:
    """Returns what to do about a weight of another shape."""
    if key == STEM and found.dim() == own.dim() and found.shape[1] != own.shape[1]:
        return (
            f"the channels of its images are {found.shape[1]} where all are RGB here; a network of gray images becomes "
            "one of RGB by weight.repeat(1, 3, 1, 1) / 3"
        )
    if key == STEM and found.dim() == own.dim() and found.shape[:2] == own.shape[:2]:
        if found.shape[-1] == 7:
            return "the stem of 7 x 7 pixels is that of images above 64 pixels: name a --size above 64, such as 224"
        if found.shape[-1] == 3:
            return "the stem of 3 x 3 pixels is that of images up to 64 pixels: name a --size up to 64, such as 32"
    return "name the architecture, classes and size of its training"


def _name(key: str) -> str:
    return printable(key[:80])


def _shape(value: Tensor) -> str:
    return str(list(value.shape))[:100]


def path_text(path: Path) -> str:
    """Returns a path for a message."""
    return printable(str(path))
