"""The data set that needs no files: road signs drawn with OpenCV, and a drive past them with ground truth."""

from __future__ import annotations

from allweather.trainers.data.signs.dataset import SPLITS, render_signs
from allweather.trainers.data.signs.drive import DriveFrame, render_drive
from allweather.trainers.data.signs.sign.sign_faces import CLASSES

__all__ = ["CLASSES", "SPLITS", "DriveFrame", "render_drive", "render_signs"]
