"""How the images of a data set are read: all at once into memory, or one after the other when they are needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import is_whole
from allweather.runtimes.system.memory import fits
from allweather.trainers.choices import TrainCrop
from allweather.trainers.data.streamed.workers import default_workers

MAX_WORKERS = 256
MAX_GPU_SHARE = 0.5  # of the memory of the GPU that is free, for images; a training keeps them there
PRESET_FRACTION = 224 / 256


@dataclass(frozen=True)
class Reading:
    """How the images of a data set are read.

    Attributes:
        stream: Whether images are read when they are needed; None if they would take too much memory otherwise.
        workers: Number of processes that decode streamed images; 0 for none beside this one, None for one a core.
        random_resized: Whether training takes random parts of the images, of random size and aspect ratio, for which
            they are streamed.
    """

    stream: bool | None = None
    workers: int | None = None
    random_resized: bool = False

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            UsageError: The number of workers is out of range, or random parts are to be taken of images in memory.
        """
        workers = self.workers
        if workers is not None and not (is_whole(workers) and 0 <= workers <= MAX_WORKERS):
            raise UsageError(f"the number of workers is 0 to {MAX_WORKERS}; got {workers!r:.40}")
        if not isinstance(self.stream, bool | None):
            raise UsageError(f"stream is True, False or None; got {self.stream!r:.40}")
        if not isinstance(self.random_resized, bool):
            raise UsageError(f"random_resized is True or False; got {self.random_resized!r:.40}")
        if self.random_resized and self.stream is False:
            raise UsageError(
                "random resized crops need images that are streamed, as those in memory have one size; leave out one"
            )

    def streams(self, count: int, spec: InputSpec) -> bool:
        """Returns whether so many images in all are to be streamed."""
        if self.stream is not None:
            return self.stream
        return self.random_resized or not _fit(count * spec.height * spec.width * 3)

    @property
    def processes(self) -> int:
        """Number of processes that decode."""
        return default_workers() if self.workers is None else self.workers


def _fit(size: int) -> bool:
    """Returns whether images of so many bytes fit into the memory, and into that of the GPU if there is one."""
    return fits(size) and (not torch.cuda.is_available() or size <= MAX_GPU_SHARE * torch.cuda.mem_get_info()[0])


def evaluation_crop(kind: TrainCrop, fraction: float | None) -> Crop:
    """Returns the crop outside of training, for the crop of the training images.

    Args:
        kind: Crop of the training images.
        fraction: Share of the sides that is kept; None for 0.875 beside random resized crops, as in torchvision's
            presets, and 1 otherwise.

    Raises:
        UsageError: The fraction is out of range.
    """
    if kind == "random-resized":
        return Crop("center", PRESET_FRACTION if fraction is None else fraction)
    return Crop(kind, 1.0 if fraction is None else fraction)


AS_IT_FITS = Reading()  # in memory if the images fit there
