"""One image of a road sign: the sign's face and wear, the objects around it, the light and the camera."""

from __future__ import annotations

from allweather.trainers.data.signs.sign.scene import Scene, paint_scene, sample_scene
from allweather.trainers.data.signs.sign.sign_faces import CLASSES, sign_face

__all__ = ["CLASSES", "Scene", "paint_scene", "sample_scene", "sign_face"]
