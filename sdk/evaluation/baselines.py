"""Baselines of the mean corruption error: the errors of the classifier that others are compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import out_of_reach
from allweather.runtimes.text import printable

ALEXNET = {  # percent, on ImageNet-C at 224 px: Hendrycks and Dietterich 2019, table 1 and their published code
    "gaussian_noise": 88.6428, "shot_noise": 89.4468, "impulse_noise": 92.2640, "defocus_blur": 81.9880,
    "glass_blur": 82.6268, "motion_blur": 78.5948, "zoom_blur": 79.8360, "snow": 86.6816, "frost": 82.6572,
    "fog": 81.9324, "brightness": 56.4592, "contrast": 85.3204, "elastic_transform": 64.6056, "pixelate": 71.7840,
    "jpeg_compression": 60.6500, "speckle_noise": 84.5388, "gaussian_blur": 78.7108, "spatter": 71.7512,
    "saturate": 65.8248,
}  # fmt: skip


@dataclass(frozen=True)
class Baseline:
    """A classifier that others are compared with.

    Attributes:
        name: "alexnet", or the file that the errors were read from.
        errors: Mean error over the severities of each corruption, 0..1.
    """

    name: str
    errors: Mapping[str, float]


def read_baseline(text: str) -> Baseline:
    """Returns a baseline by its name, or reads it from a file.

    The file has percent; `Baseline.errors` are shares, 0..1, as `mean_corruption_error` takes them.

    Args:
        text: "alexnet" (for ImageNet-C), or the path of a JSON file: errors in percent by corruption, or a result.json
            of one model that `allweather evaluate --corrupted` wrote.

    Raises:
        UsageError: It is neither.
    """
    if not isinstance(text, str):
        raise UsageError(f"a baseline is named by text, alexnet or the path of a file; got {type(text).__name__}")
    if text == "alexnet":
        return Baseline(text, {name: error / 100 for name, error in ALEXNET.items()})
    path = Path(text)
    if reason := out_of_reach(path):
        raise UsageError(f"{text} cannot be read: {reason}")
    if not path.is_file() and (path.suffix or len(path.parts) > 1):
        raise UsageError(f"no file {text}, to read a baseline from: check the path, or give alexnet (for ImageNet-C)")
    if not path.is_file():
        raise UsageError(
            f"no baseline {text!r}: give alexnet (for ImageNet-C), or the path of a JSON file of errors by corruption"
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if "results" in content:
            return Baseline(text, _checked(text, _mean_errors(content)))
        errors = {str(name): float(error) / 100 for name, error in content.items()}
    except (ValueError, TypeError, KeyError, AttributeError, OSError, RecursionError) as error:
        raise UsageError(
            f'{text} is not a baseline: expected JSON such as {{"fog": 12.1, ...}} in percent, or the result.json of '
            "one model, written by evaluate --corrupted"
        ) from error
    if _checked(text, errors) and max(errors.values()) <= 0.01:
        raise UsageError(f"{text} has no error above 1 %: it seems to hold shares; expected percent, as in 12.1")
    return Baseline(text, errors)


def _checked(text: str, errors: dict[str, float]) -> dict[str, float]:
    """Returns errors, each of which is a share.

    Raises:
        UsageError: One of them is not in 0..1; the message names it.
    """
    if wrong := [name for name, error in errors.items() if not 0 <= error <= 1]:
        name = printable(wrong[0])
        raise UsageError(f"{text}: the error of {name!r} is {100 * errors[wrong[0]]:g}; an error is 0 to 100 percent")
    return errors


def _mean_errors(content: Mapping[str, Any]) -> dict[str, float]:
    """Returns the mean error over severities of each corruption from the content of a result.json."""
    (result,) = content["results"]
    rows: dict[str, list[float]] = {}
    for cell in result["cells"]:
        rows.setdefault(cell["corruption"], []).append(float(cell["error"]))
    return {name: sum(errors) / len(errors) for name, errors in rows.items()}
