"""Cameras: sources of frames. `open_camera` opens one by the text that names it; derive from `Camera` for your own.

A training reads image files, too: that imports nothing of the live cameras.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from allweather.runtimes.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from allweather.runtimes.cameras.base import Camera as Camera
    from allweather.runtimes.cameras.base import CameraState as CameraState
    from allweather.runtimes.cameras.base import Capture as Capture
    from allweather.runtimes.cameras.base import StoredCamera as StoredCamera
    from allweather.runtimes.cameras.live import LiveCamera as LiveCamera
    from allweather.runtimes.cameras.open import camera_from as camera_from
    from allweather.runtimes.cameras.open import open_camera as open_camera

_MODULES = {
    "Camera": "base",
    "CameraState": "base",
    "Capture": "base",
    "LiveCamera": "live",
    "StoredCamera": "base",
    "camera_from": "open",
    "open_camera": "open",
}

__all__ = [*sorted(_MODULES)]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
