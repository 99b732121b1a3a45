"""What the lens does to a frame: it is out of focus, or dirty."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs.landscape.texture import Color, float_array, smooth_noise, stretch_contrast

DESIGN_ROWS = 360.0  # rows of the frame for which lengths in pixels are given
FILM: Color = (150, 138, 118)  # dust that scatters the light
MUD: Color = (62, 50, 38)
FILM_BLUR = 3.0  # standard deviation in pixels of the blur behind the film
VEIL = 0.6  # share of the film's opacity that is its own color; the rest is blur
SPECKS = 240  # specks of mud, at strength 1
MAX_FILM = 0.95


def blur(frame: Image, strength: float, index: int, seed: int) -> Image:
    """Blurs a frame as a lens out of focus does; the blur varies by a tenth from frame to frame.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (none) upwards; 1 is a standard deviation of a 60th of the height.
        index: Index of the frame in the drive.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].
    """
    deviation = strength * len(frame) / 60 * np.random.default_rng([seed, 16, index]).uniform(0.9, 1.1)
    return np.asarray(cv2.GaussianBlur(frame, (0, 0), deviation), np.uint8) if deviation > 0 else frame.copy()


def dirt(frame: Image, strength: float, index: int, seed: int) -> Image:
    """Shows a frame through a dirty lens: a film that veils and blurs, thicker in places, and specks of mud.

    Args:
        frame: uint8 [H, W, 3], RGB.
        strength: 0 (clean) upwards; 1 is a film that hides about two thirds.
        index: Index of the frame in the drive; the dirt stays where it is.
        seed: Random seed of the drive.

    Returns:
        uint8 [H, W, 3].
    """
    sharp, blurred, dirt_color = _dirt(seed, frame.shape[0], frame.shape[1], strength)
    soft = cv2.GaussianBlur(frame, (0, 0), FILM_BLUR * len(frame) / DESIGN_ROWS)
    return np.asarray(frame * sharp + soft * blurred + dirt_color, np.uint8)


@lru_cache(maxsize=2)
def _dirt(seed: int, height: int, width: int, strength: float) -> tuple[Floats, Floats, Floats]:
    """Draws the dirt: weights of the frame and of its blurred copy, float32 [H, W, 1], and what is added, [H, W, 3]."""
    rng, scale = np.random.default_rng([seed, 23]), height / DESIGN_ROWS
    thickness = stretch_contrast(smooth_noise(rng, height, width, 90 * scale, 4), 2.2)
    film = (strength * (0.35 + 0.65 * thickness)).clip(0, MAX_FILM)[..., None]
    mud = np.zeros((height, width), np.float32)
    count = round(SPECKS * strength)
    places = rng.uniform((0, 0), (width, height), (count, 2))
    for (x, y), radius in zip(places, rng.gamma(2, 2.2, count), strict=True):
        axes = [max(1, int(radius * scale * stretch)) for stretch in rng.uniform(0.7, 1.3, 2)]
        angle, opacity = rng.uniform(0, 180), rng.uniform(0.55, 0.95)
        cv2.ellipse(mud, (int(x), int(y)), axes, float(angle), 0, 360, float(opacity), -1)
    mud = np.asarray(cv2.GaussianBlur(mud, (0, 0), 1.3 * scale), np.float32)[..., None]
    veil = VEIL * film
    clear = (1 - mud) * (1 - veil)
    added = (1 - mud) * veil * float_array(*FILM) + mud * float_array(*MUD)
    weights = (1 - film) * clear, film * clear, added
    sharp, blurred, dirt_color = (np.asarray(each, np.float32) for each in weights)
    return sharp, blurred, dirt_color
