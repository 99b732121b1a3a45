"""The embedded data set: road signs drawn with OpenCV, and a drive-by video of them."""

from allweather.trainers.data.signs.dataset import SPLITS, render
from allweather.trainers.data.signs.drive import DriveFrame, drive
from allweather.trainers.data.signs.sign.faces import CLASSES

__all__ = ["CLASSES", "SPLITS", "DriveFrame", "drive", "render"]
