"""The conditions by name, how strong each is, and which part of a drive has which."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import Image
from allweather.trainers.data.signs.conditions.air import fog, snow
from allweather.trainers.data.signs.conditions.lens import blur, dirt
from allweather.trainers.data.signs.conditions.sensor import add_noise, dusk

CLEAR = "clear"


class Condition(NamedTuple):
    """A condition of the drive.

    Attributes:
        apply: Function of a frame (uint8 [H, W, 3], RGB), the strength, the frame's index and the seed of the drive.
        strength: How strong it is. A ResNet-20 that was trained on clear days misreads a quarter or more of the signs,
            which a person can still read.
    """

    apply: Callable[[Image, float, int, int], Image]
    strength: float


_BAD: Mapping[str, Condition] = MappingProxyType(
    {
        "dusk": Condition(dusk, 1.1),
        "snow": Condition(snow, 1.9),
        "fog": Condition(fog, 0.78),
        "noise": Condition(add_noise, 1.1),
        "blur": Condition(blur, 0.48),
        "dirty lens": Condition(dirt, 1.2),
    }
)
CONDITIONS = (CLEAR, *_BAD)


def condition_schedule(frames: int) -> tuple[str, ...]:
    """Returns the condition of every frame: equal parts, first a clear one, then one of each bad condition."""
    return tuple(CONDITIONS[index * len(CONDITIONS) // frames] for index in range(frames))


def apply_condition(frame: Image, condition: str, index: int, seed: int) -> Image:
    """Returns the frame as the camera records it under a condition.

    Args:
        frame: uint8 [H, W, 3], RGB, clear.
        condition: One of `CONDITIONS`.
        index: Index of the frame in the drive: snow falls and fog drifts with it.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].

    Raises:
        UsageError: There is no such condition.
    """
    if condition == CLEAR:
        return frame
    if condition not in _BAD:
        raise UsageError(f"condition must be one of {', '.join(CONDITIONS)}; got {condition!r}")
    return _BAD[condition].apply(frame, _BAD[condition].strength, index, seed)
