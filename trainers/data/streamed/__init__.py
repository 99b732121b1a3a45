"""Images that are read when they are needed: decoded, cropped and batched by worker processes."""

from __future__ import annotations

from allweather.trainers.data.streamed.image_source import FileSource, ImageSource
from allweather.trainers.data.streamed.streamed_split import StreamedSplit

__all__ = ["FileSource", "ImageSource", "StreamedSplit"]
