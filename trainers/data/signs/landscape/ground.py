"""The road and the land beside it: one long texture that lies flat and is projected into the camera's image."""

from __future__ import annotations

import cv2
import numpy as np

from allweather.runtimes.types import Image
from allweather.trainers.data.signs.landscape.camera import CAMERA_HEIGHT, CameraPose
from allweather.trainers.data.signs.landscape.texture import HAZE, blend, colorize, smooth_noise, stretch_contrast

LENGTH = 48  # meters until the texture repeats: four dashes of the center line
HALF_WIDTH = 30  # meters of land to each side of the middle of the lane
TEXELS_ALONG, TEXELS_ACROSS = 16, 32  # texels per meter, along and across the road
NUM_LEVELS = 7  # of the texture pyramid
FOG_START = 8.0  # meters from the camera at which haze begins to show
FOG_LENGTH = 105.0  # meters from there to 63 % of the thickest haze
MAX_FOG = 0.6  # opacity of the thickest haze; ground behind it is as pale as the distant woods
ROAD_EDGES = (-5.5, 1.85)  # of the asphalt, in meters from the middle of the lane
CENTER_LINE = -1.85  # meters from the middle of the lane


def fog_opacity(ahead: float) -> float:
    """Returns the opacity of the haze before something `ahead` meters away, 0..`MAX_FOG`."""
    return float(MAX_FOG * (1 - np.exp(-max(0.0, ahead - FOG_START) / FOG_LENGTH)))


def _draw_land(rng: np.random.Generator) -> Image:
    """Draws grass with dry and lush parts, and gravel next to the asphalt."""
    rows, columns = LENGTH * TEXELS_ALONG, 2 * HALF_WIDTH * TEXELS_ALONG
    fine, broad = smooth_noise(rng, rows, columns, 10, 3), smooth_noise(rng, rows, columns, 160, 4)
    grass = blend(
        colorize(stretch_contrast(fine, 1.5), (58, 82, 34), (110, 128, 58)),
        colorize(stretch_contrast(fine, 1.5), (98, 98, 50), (146, 138, 82)),
        stretch_contrast(broad - np.float32(0.1), 3),
    )
    gravel = colorize(stretch_contrast(smooth_noise(rng, rows, columns, 4, 2), 1.6), (104, 100, 90), (168, 162, 148))
    across = (np.arange(columns, dtype=np.float32) + 0.5) / TEXELS_ALONG - HALF_WIDTH  # meters
    outside = np.maximum(ROAD_EDGES[0] - across, across - ROAD_EDGES[1])[None, :]
    frayed = outside + 0.5 * (smooth_noise(rng, rows, columns, 24, 4) - np.float32(0.5))
    land = blend(gravel, grass, np.clip((frayed - np.float32(0.55)) * 5, 0, 1).astype(np.float32))
    return np.asarray(
        cv2.resize(land, (2 * HALF_WIDTH * TEXELS_ACROSS, rows), interpolation=cv2.INTER_LINEAR), np.uint8
    )


def _draw_asphalt(rng: np.random.Generator, rows: int, columns: int) -> Image:
    """Draws gray asphalt with darker wheel tracks and a few patches."""
    tone = stretch_contrast(
        0.6 * smooth_noise(rng, rows, columns, 5, 2) + 0.4 * smooth_noise(rng, rows, columns, 90, 4), 1.3
    )
    across = (np.arange(columns, dtype=np.float32) + 0.5) / TEXELS_ACROSS + ROAD_EDGES[0]  # meters
    tracks = sum(np.exp(-(((across - track) / 0.28) ** 2)) for track in (-4.55, -2.95, -0.8, 0.8))
    shaded = (tone - 0.22 * np.asarray(tracks)[None, :]).astype(np.float32)
    road = colorize(shaded, (94, 95, 98), (130, 130, 130))
    for _ in range(3):
        x, y = (int(value) for value in rng.uniform((0, 0), (columns * 0.7, rows * 0.9)))
        patch = road[y : y + 60, x : x + 52]
        patch[:] = (patch * np.float32(rng.uniform(0.92, 1.05))).astype(np.uint8)
    return road


def _draw_lane_markings(road: Image, rng: np.random.Generator) -> Image:
    """Draws solid lines along both edges and a center line of 4 m dashes every 12 m, all a little worn."""
    paint = np.zeros(road.shape[:2], np.float32)
    center = int((CENTER_LINE - ROAD_EDGES[0]) * TEXELS_ACROSS)
    half = 2
    for edge in (int(0.2 * TEXELS_ACROSS), road.shape[1] - int(0.2 * TEXELS_ACROSS)):
        paint[:, edge - half : edge + half] = 1
    for start in range(0, LENGTH * TEXELS_ALONG, 12 * TEXELS_ALONG):
        paint[start : start + 4 * TEXELS_ALONG, center - half : center + half] = 1
    worn = stretch_contrast(smooth_noise(rng, road.shape[0], road.shape[1], 14, 4) + np.float32(0.28), 4)
    return blend(road, np.full_like(road, 228), paint * (np.float32(0.3) + np.float32(0.62) * worn))


def _close_loop(texture: Image, overlap: int) -> Image:
    """Fades the last rows into the first ones in reverse order, so that the texture can repeat; keeps its length."""
    opacity = np.linspace(0, 1, overlap, dtype=np.float32)[:, None].repeat(texture.shape[1], 1)
    texture[-overlap:] = blend(texture[-overlap:], texture[overlap - 1 :: -1][:overlap], opacity)
    return texture


class Ground:
    """The land that the drive goes over.

    Args:
        rng: Source of the textures.
        pose: Any pose of the drive; only its image size, focal length and horizon are used.
    """

    def __init__(self, rng: np.random.Generator, pose: CameraPose) -> None:
        left, right = (round((edge + HALF_WIDTH) * TEXELS_ACROSS) for edge in ROAD_EDGES)
        texture = _draw_land(rng)
        texture[:, left:right] = _draw_asphalt(rng, len(texture), right - left)
        texture = _close_loop(texture, 8 * TEXELS_ALONG)
        texture[:, left:right] = _draw_lane_markings(texture[:, left:right].copy(), rng)
        self.levels = [texture]
        # the camera sees the road at a flat angle, so the image needs less detail along the road than across it
        for level in range(1, NUM_LEVELS):
            finer = self.levels[-1]
            size = (finer.shape[1] // (2 if level > 2 else 1), finer.shape[0] // 2)
            self.levels.append(np.asarray(cv2.resize(finer, size, interpolation=cv2.INTER_AREA), np.uint8))
        self._columns = np.arange(pose.width, dtype=np.float32)[None, :]
        self._haze = np.full((pose.height, pose.width, 3), HAZE, np.uint8)
        ahead = pose.focal * CAMERA_HEIGHT / np.maximum(np.arange(pose.height) - pose.horizon, 0.5)
        fog = np.array([fog_opacity(distance) for distance in ahead], np.float32)
        self._fog = np.repeat(fog[:, None], pose.width, axis=1)

    def paint(self, canvas: Image, pose: CameraPose) -> None:
        """Paints the rows below the horizon of uint8 [H, W, 3], in place."""
        first = int(pose.horizon) + 2
        rows = np.arange(first, pose.height)
        ahead = pose.focal * CAMERA_HEIGHT / (rows - pose.horizon)
        texels = ahead**2 / (pose.focal * CAMERA_HEIGHT) * TEXELS_ALONG
        levels = np.clip(np.rint(np.log2(np.maximum(texels, 1))), 0, NUM_LEVELS - 1).astype(int)
        for level in range(NUM_LEVELS):
            of_level = np.flatnonzero(levels == level)
            if len(of_level):
                band = slice(first + int(of_level[0]), first + int(of_level[-1]) + 1)
                canvas[band] = self._project(pose, self.levels[level], ahead[of_level])
        area = slice(first, int(np.flatnonzero(self._fog[:, 0])[-1]) + 1)
        fog = self._fog[area]
        canvas[area] = cv2.blendLinear(canvas[area], self._haze[area], 1 - fog, fog)

    def _project(self, pose: CameraPose, texture: Image, ahead: np.ndarray) -> Image:
        """Returns the rows of the image that show the ground at these distances in meters: uint8 [n, W, 3]."""
        across, along = texture.shape[1] / (2 * HALF_WIDTH), texture.shape[0] / LENGTH
        scale = (ahead / pose.focal * across).astype(np.float32)[:, None]
        right = pose.aside - pose.bend * ahead**2 / 2 + HALF_WIDTH
        start = (right * across - 0.5).astype(np.float32)[:, None]
        columns = np.clip((self._columns - np.float32(pose.middle)) * scale + start, 0, texture.shape[1] - 1)
        position = ((pose.travelled + ahead) % LENGTH * along - 0.5).astype(np.float32)
        rows = np.repeat(position[:, None], pose.width, axis=1)
        warped = cv2.remap(texture, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
        return np.asarray(warped, np.uint8)
