"""Finds labeled image files, in folders or by a list, and those of the same content; it decodes none."""

from __future__ import annotations

from allweather.trainers.data.files.duplicates import contradictions, same_content, shared_images
from allweather.trainers.data.files.folders import find_folder, folder_classes
from allweather.trainers.data.files.labeled_files import LabeledFiles, SplitFiles
from allweather.trainers.data.files.lists import find_list, list_classes

__all__ = [
    "LabeledFiles",
    "SplitFiles",
    "contradictions",
    "find_folder",
    "find_list",
    "folder_classes",
    "list_classes",
    "same_content",
    "shared_images",
]
