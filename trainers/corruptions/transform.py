"""A corruption as a transform of torchvision, so that it can stand in a pipeline beside others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image as PillowImage

from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions.any_image import check_corruption, corrupt
from allweather.trainers.torchvision_import import import_torchvision

v2, tv_tensors = import_torchvision("transforms.v2"), import_torchvision("tv_tensors")
PIXELS = (tv_tensors.Image, tv_tensors.Video)  # the other tensors of torchvision are boxes, masks and key points


class CorruptionTransform(v2.Transform):  # type: ignore[misc,name-defined]  # torchvision has no types
    """Corrupts the images of a sample at a fixed or a random severity; labels, boxes and masks stay as they are.

    It takes PIL images and tensors as `corrupt` does, and draws from torch's global generator, as torchvision's own
    transforms do. Images that are transformed together get the same severity and the same random numbers.

    Args:
        corruption_name: Name of the corruption, a key of `CORRUPTIONS`, such as "fog".
        severity: 1 to 5; or the lowest and the highest, between which a whole number is drawn each time.

    Raises:
        UsageError: There is no such corruption or severity.
    """

    def __init__(self, corruption_name: str, severity: int | Sequence[int] = (1, 5)) -> None:
        super().__init__()
        limits = tuple(severity) if isinstance(severity, list | tuple) else (severity, severity)
        for each in limits:
            check_corruption(corruption_name, each)
        if len(limits) != 2 or limits[0] > limits[1]:
            raise UsageError(f"a range of severities is the lowest and the highest, as in (1, 5); got {severity!r:.40}")
        self.corruption_name, self.lowest, self.highest = corruption_name, int(limits[0]), int(limits[1])

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Checks that there is an image; torchvision would return a numpy array as it is, without a word.

        Raises:
            UsageError: There is none.
        """
        if not any(isinstance(each, torch.Tensor | PillowImage.Image) for each in flat_inputs):
            came = ", ".join(sorted({type(each).__name__ for each in flat_inputs})) or "nothing"
            raise UsageError(
                f"CorruptionTransform takes PIL images and tensors, and got {came}; numpy arrays go to `corrupt`, or "
                "through torchvision's v2.ToImage first"
            )

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """Draws the severity and the seed of one sample."""
        severity = int(torch.randint(self.lowest, self.highest + 1, ()))
        return {"severity": severity, "seed": int(torch.randint(1 << 62, ()))}

    def transform(self, inpt: Any, params: Mapping[str, Any]) -> Any:
        """Corrupts one image of the sample; returns what is no image as it is."""
        if isinstance(inpt, tv_tensors.TVTensor) and not isinstance(inpt, PIXELS):
            return inpt
        out = corrupt(inpt, self.corruption_name, params["severity"], seed=params["seed"])
        return tv_tensors.wrap(out, like=inpt) if isinstance(inpt, tv_tensors.TVTensor) else out

    def extra_repr(self) -> str:
        """Returns the arguments, for `print`."""
        severity = self.lowest if self.lowest == self.highest else (self.lowest, self.highest)
        return f"{self.corruption_name!r}, severity={severity}"
