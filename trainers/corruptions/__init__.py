"""The nineteen common corruptions of images at five severities (Hendrycks and Dietterich 2019, arXiv:1903.12261).

Test sets of corrupted images are in `allweather.trainers.corruptions.sets`.
"""

from __future__ import annotations

from allweather.trainers.corruptions.catalogue import (
    COMMON,
    CORRUPTIONS,
    EXTRA,
    corrupt_images,
    get_corruption,
    validate_images,
)
from allweather.trainers.corruptions.corruption import FAMILIES, SEVERITIES, Corruption

__all__ = [
    "COMMON",
    "CORRUPTIONS",
    "EXTRA",
    "FAMILIES",
    "SEVERITIES",
    "Corruption",
    "corrupt_images",
    "get_corruption",
    "validate_images",
]
