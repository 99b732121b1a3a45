"""The input of a model as manifests and checkpoints store it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from allweather.runtimes.bundle.strict import Strict
from allweather.runtimes.choices import CropKind
from allweather.runtimes.crop import MIN_FRACTION, WHOLE, Crop
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import MAX_MEAN, MAX_SIDE_PIXELS, MAX_STD, MIN_STD, InputSpec

Side = Annotated[int, Field(ge=1, le=MAX_SIDE_PIXELS)]
Mean = Annotated[float, Field(ge=-MAX_MEAN, le=MAX_MEAN)]
Std = Annotated[float, Field(ge=MIN_STD, le=MAX_STD)]


class Input(Strict):
    """The input of a model, as it is stored; see `InputSpec` and `Crop` for the attributes."""

    height: Side
    width: Side
    mean: tuple[Mean, Mean, Mean]
    std: tuple[Std, Std, Std]
    crop: CropKind = WHOLE.kind
    crop_fraction: Annotated[float, Field(ge=MIN_FRACTION, le=1)] = WHOLE.fraction

    @model_validator(mode="after")
    def _check_crop(self) -> Input:
        try:
            Crop(self.crop, self.crop_fraction)
        except UsageError as error:
            raise ValueError(str(error)) from error
        return self

    @staticmethod
    def from_spec(spec: InputSpec) -> Input:
        """Returns the stored form of `spec`."""
        return Input(
            height=spec.height, width=spec.width, mean=spec.mean, std=spec.std,
            crop=spec.crop.kind, crop_fraction=spec.crop.fraction,
        )  # fmt: skip

    def spec(self) -> InputSpec:
        """Returns the `InputSpec` that is stored here."""
        return InputSpec(self.height, self.width, self.mean, self.std, Crop(self.crop, self.crop_fraction))
