"""The embedded data set: road signs drawn with OpenCV, and a drive-by video of them."""

from allweather.trainers.signs.dataset import SPLITS, render
from allweather.trainers.signs.drive import DriveFrame, drive
from allweather.trainers.signs.faces import CLASSES

__all__ = ["CLASSES", "SPLITS", "DriveFrame", "drive", "render"]
