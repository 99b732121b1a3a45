"""Image files: which names are images, whether the content is whole, its range of values, and decoding to uint8 RGB."""

from __future__ import annotations

from allweather.runtimes.cameras.image_files.decode import decode_image
from allweather.runtimes.cameras.image_files.names import IMAGE_SUFFIXES, is_image_name

__all__ = ["IMAGE_SUFFIXES", "decode_image", "is_image_name"]
