"""Cameras: sources of frames. `open_camera` opens one by the text that names it; derive from `Camera` for your own."""

from allweather.runtimes.cameras.base import Camera, CameraState, Capture, StoredCamera
from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.open import camera_from, open_camera

__all__ = ["Camera", "CameraState", "Capture", "LiveCamera", "StoredCamera", "camera_from", "open_camera"]
