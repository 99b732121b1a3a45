"""The road and the land beside it: one long texture, laid flat and seen by the camera."""

from __future__ import annotations

import cv2
import numpy as np

from allweather.trainers.data.signs.landscape.camera import EYE_HEIGHT, View
from allweather.trainers.data.signs.landscape.texture import HAZE, Bytes, contrast, mix, noise, tint

LENGTH = 48  # metres until the texture repeats: four marks of the middle line
HALF = 30  # metres to each side of the middle of the lane
ALONG, ACROSS = 16, 32  # texels a metre
LEVELS = 7
# metres to where air begins to show, then to 63 % of it; and the most it hides: the woods beyond are as pale
NEAR, CLEAR, THICKEST = 8.0, 105.0, 0.6
EDGES = (-5.5, 1.85)  # of the asphalt, in metres from the middle of the lane
MIDDLE = -1.85


def fog(ahead: float) -> float:
    """Share of air in what is seen at a distance in metres: 0..1."""
    return float(THICKEST * (1 - np.exp(-max(0.0, ahead - NEAR) / CLEAR)))


def _land(rng: np.random.Generator) -> Bytes:
    """Grass with dry and lush places, and gravel next to the asphalt."""
    rows, columns = LENGTH * ALONG, 2 * HALF * ALONG
    fine, broad = noise(rng, rows, columns, 10, 3), noise(rng, rows, columns, 160, 4)
    grass = mix(
        tint(contrast(fine, 1.5), (58, 82, 34), (110, 128, 58)),
        tint(contrast(fine, 1.5), (98, 98, 50), (146, 138, 82)),
        contrast(broad - np.float32(0.1), 3),
    )
    gravel = tint(contrast(noise(rng, rows, columns, 4, 2), 1.6), (104, 100, 90), (168, 162, 148))
    place = (np.arange(columns, dtype=np.float32) + 0.5) / ALONG - HALF
    outside = np.maximum(EDGES[0] - place, place - EDGES[1])[None, :]
    frayed = outside + 0.5 * (noise(rng, rows, columns, 24, 4) - np.float32(0.5))
    land = mix(gravel, grass, np.clip((frayed - np.float32(0.55)) * 5, 0, 1).astype(np.float32))
    return np.asarray(cv2.resize(land, (2 * HALF * ACROSS, rows), interpolation=cv2.INTER_LINEAR), np.uint8)


def _asphalt(rng: np.random.Generator, rows: int, columns: int) -> Bytes:
    """Gray with darker wheel tracks and a few patches."""
    tone = contrast(0.6 * noise(rng, rows, columns, 5, 2) + 0.4 * noise(rng, rows, columns, 90, 4), 1.3)
    place = (np.arange(columns, dtype=np.float32) + 0.5) / ACROSS + EDGES[0]
    tracks = sum(np.exp(-(((place - track) / 0.28) ** 2)) for track in (-4.55, -2.95, -0.8, 0.8))
    shaded = (tone - 0.22 * np.asarray(tracks)[None, :]).astype(np.float32)
    road = tint(shaded, (94, 95, 98), (130, 130, 130))
    for _ in range(3):
        x, y = (int(value) for value in rng.uniform((0, 0), (columns * 0.7, rows * 0.9)))
        patch = road[y : y + 60, x : x + 52]
        patch[:] = (patch * np.float32(rng.uniform(0.92, 1.05))).astype(np.uint8)
    return road


def _marks(road: Bytes, rng: np.random.Generator) -> Bytes:
    """The lines: full along both edges, four metres in twelve along the middle; a little worn."""
    paint = np.zeros(road.shape[:2], np.float32)
    center = int((MIDDLE - EDGES[0]) * ACROSS)
    half = 2
    for edge in (int(0.2 * ACROSS), road.shape[1] - int(0.2 * ACROSS)):
        paint[:, edge - half : edge + half] = 1
    for begin in range(0, LENGTH * ALONG, 12 * ALONG):
        paint[begin : begin + 4 * ALONG, center - half : center + half] = 1
    worn = contrast(noise(rng, road.shape[0], road.shape[1], 14, 4) + np.float32(0.28), 4)
    return mix(road, np.full_like(road, 228), paint * (np.float32(0.3) + np.float32(0.62) * worn))


def _closed(texture: Bytes, overlap: int) -> Bytes:
    """Fades the last rows into the first, so that the texture can repeat; keeps its length."""
    share = np.linspace(0, 1, overlap, dtype=np.float32)[:, None].repeat(texture.shape[1], 1)
    texture[-overlap:] = mix(texture[-overlap:], texture[overlap - 1 :: -1][:overlap], share)
    return texture


class Ground:
    """The land under the drive.

    Args:
        rng: source of the textures.
        view: any view of the drive; its size and horizon count.
    """

    def __init__(self, rng: np.random.Generator, view: View) -> None:
        left, right = (round((edge + HALF) * ACROSS) for edge in EDGES)
        texture = _land(rng)
        texture[:, left:right] = _asphalt(rng, len(texture), right - left)
        texture = _closed(texture, 8 * ALONG)
        texture[:, left:right] = _marks(texture[:, left:right].copy(), rng)
        self.levels = [texture]
        # the road is seen at a glancing angle: along it, it shrinks far sooner than across
        for number in range(1, LEVELS):
            last = self.levels[-1]
            size = (last.shape[1] // (2 if number > 2 else 1), last.shape[0] // 2)
            self.levels.append(np.asarray(cv2.resize(last, size, interpolation=cv2.INTER_AREA), np.uint8))
        self._columns = np.arange(view.width, dtype=np.float32)[None, :]
        self._haze = np.full((view.height, view.width, 3), HAZE, np.uint8)
        ahead = view.focal * EYE_HEIGHT / np.maximum(np.arange(view.height) - view.horizon, 0.5)
        air = np.array([fog(distance) for distance in ahead], np.float32)
        self._air = np.repeat(air[:, None], view.width, axis=1)

    def paint(self, canvas: Bytes, view: View) -> None:
        """Paints the rows below the horizon of uint8 [H, W, 3], in place."""
        first = int(view.horizon) + 2
        rows = np.arange(first, view.height)
        ahead = view.focal * EYE_HEIGHT / (rows - view.horizon)
        texels = ahead**2 / (view.focal * EYE_HEIGHT) * ALONG
        wanted = np.clip(np.rint(np.log2(np.maximum(texels, 1))), 0, LEVELS - 1).astype(int)
        for number in range(LEVELS):
            here = np.flatnonzero(wanted == number)
            if len(here):
                band = slice(first + int(here[0]), first + int(here[-1]) + 1)
                canvas[band] = self._seen(view, self.levels[number], ahead[here])
        area = slice(first, int(np.flatnonzero(self._air[:, 0])[-1]) + 1)
        share = self._air[area]
        canvas[area] = cv2.blendLinear(canvas[area], self._haze[area], 1 - share, share)

    def _seen(self, view: View, texture: Bytes, ahead: np.ndarray) -> Bytes:
        """The rows of the picture at these distances: uint8 [n, W, 3]."""
        across, along = texture.shape[1] / (2 * HALF), texture.shape[0] / LENGTH
        scale = (ahead / view.focal * across).astype(np.float32)[:, None]
        right = view.aside - view.bend * ahead**2 / 2 + HALF
        start = (right * across - 0.5).astype(np.float32)[:, None]
        columns = np.clip((self._columns - np.float32(view.middle)) * scale + start, 0, texture.shape[1] - 1)
        place = ((view.travelled + ahead) % LENGTH * along - 0.5).astype(np.float32)
        rows = np.repeat(place[:, None], view.width, axis=1)
        seen = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(seen, np.uint8)
