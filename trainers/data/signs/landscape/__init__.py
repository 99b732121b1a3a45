"""The landscape of the drawn data set: textures, ground, sky and scenery, seen by a moving camera."""

from __future__ import annotations

from allweather.trainers.data.signs.landscape.camera import CameraPose, camera_path
from allweather.trainers.data.signs.landscape.ground import Ground
from allweather.trainers.data.signs.landscape.scenery import Sprite, draw_sprite, sprites
from allweather.trainers.data.signs.landscape.sky import Panorama, draw_sky

__all__ = ["CameraPose", "Ground", "Panorama", "Sprite", "camera_path", "draw_sky", "draw_sprite", "sprites"]
