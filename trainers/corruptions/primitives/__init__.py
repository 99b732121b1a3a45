"""Building blocks of the corruptions: filters over batches, motion blur, zoom, plasma fractals and sheets of frost."""

from __future__ import annotations

from allweather.trainers.corruptions.primitives.filters import (
    filter_batch,
    gaussian_filter,
    gaussian_kernel,
    gaussian_matrix,
    max_channel,
    to_rgb,
)
from allweather.trainers.corruptions.primitives.frost import NUM_SHEETS, crop_sheets
from allweather.trainers.corruptions.primitives.motion_blur import motion_blur
from allweather.trainers.corruptions.primitives.plasma import plasma_fractal, plasma_side
from allweather.trainers.corruptions.primitives.zoom import zoom_image, zoom_layers, zoom_matrix

__all__ = [
    "NUM_SHEETS",
    "crop_sheets",
    "filter_batch",
    "gaussian_filter",
    "gaussian_kernel",
    "gaussian_matrix",
    "max_channel",
    "motion_blur",
    "plasma_fractal",
    "plasma_side",
    "to_rgb",
    "zoom_image",
    "zoom_layers",
    "zoom_matrix",
]
