"""Reads the items of data sets of other libraries: torch's, whatever form their images have, and those of datasets."""

from __future__ import annotations

from allweather.trainers.data.items.hugging_face import hugging_face_classes, load_hugging_face
from allweather.trainers.data.items.read_splits import read_splits

__all__ = ["hugging_face_classes", "load_hugging_face", "read_splits"]
