"""Made footage for camera_health.py: clear scenes, and faults that are injected into them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import cv2
import numpy as np

from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.signs import render_drive
from allweather.trainers.data.signs.conditions.lens import dirt
from allweather.trainers.data.signs.landscape.texture import smooth_noise

RATE = 4.0  # frames a second: as many as are measured of 30
SIZE = (240, 360)  # height and width; as small as that so that photographs need not be enlarged
MARGIN = 64  # pixels by which a field of noise is larger than an image
BASE_NOISE = 2.0  # levels, of the sensor in all scenes but the drive
PHOTOS = (
    ("sklearn.datasets", "images/china.jpg"),
    ("sklearn.datasets", "images/flower.jpg"),
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
)


def photos() -> list[Image]:
    """Returns three photographs that come with scikit-learn and matplotlib, uint8 [H, W, 3] RGB."""
    paths = [files(package).joinpath(*name.split("/")) for package, name in PHOTOS]
    return [cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in paths]


def noisy(image: Image | Floats, deviation: float, rng: np.random.Generator) -> Image:
    """Returns an image with independent noise of each pixel and channel: a part of a field that all images share."""
    top, left = rng.integers(0, MARGIN, 2)
    noise = _noise_field(image.shape[0], image.shape[1])[top : top + image.shape[0], left : left + image.shape[1]]
    return np.asarray(cv2.add(noise * np.float32(deviation), np.asarray(image, np.float32)).clip(0, 255), np.uint8)


@lru_cache(maxsize=4)
def _noise_field(height: int, width: int) -> Floats:
    return np.random.default_rng(9).standard_normal((height + MARGIN, width + MARGIN, 3), np.float32)


def drive(seed: int, count: int) -> Iterator[Image]:
    """Yields a clear drive at a quarter of the speed of the demo's: each of its frames is one that is measured."""
    yield from (frame.image for frame in render_drive(seed, count, SIZE, conditions=False))


def panned_photo(seed: int, count: int, light: float = 1.0, noise: float = BASE_NOISE) -> Iterator[Image]:
    """Yields a part of a photograph that moves slowly over it, as from a camera that pans."""
    rng = np.random.default_rng([seed, 1])
    photo = photos()[seed % len(PHOTOS)]
    free = np.array(photo.shape[:2]) - SIZE
    phases, periods = rng.uniform(0, 2 * math.pi, 2), rng.uniform(20, 60, 2)  # seconds
    for index in range(count):
        share = 0.5 + 0.5 * np.sin(phases + 2 * math.pi * index / RATE / periods)
        top, left = (free * share).astype(int)
        part = photo[top : top + SIZE[0], left : left + SIZE[1]]
        yield noisy(part * np.float32(light), noise, rng)


def fixed_camera(seed: int, count: int, light: float = 1.0, noise: float = BASE_NOISE) -> Iterator[Image]:
    """Yields a photograph that stands still, in which six textured things pass by now and then."""
    rng = np.random.default_rng([seed, 2])
    background, *others = np.roll(np.arange(len(PHOTOS)), -(seed % len(PHOTOS)))
    all_photos = photos()
    scene = all_photos[background][: SIZE[0], -SIZE[1] :]
    sides = rng.integers(30, 90, 6)
    textures = [all_photos[rng.choice(others)][100 : 100 + side, 200 : 200 + side] for side in sides]
    rows, speeds = rng.uniform(0.2, 0.9, 6) * SIZE[0], rng.uniform(-40, 40, 6)  # pixels a second
    for index in range(count):
        canvas = scene.copy()
        for texture, row, speed in zip(textures, rows, speeds, strict=True):
            left = int(speed * index / RATE) % (2 * SIZE[1]) - len(texture)
            top = int(min(row, SIZE[0] - len(texture)))
            shown = texture[:, max(0, -left) : max(0, SIZE[1] - left)]
            canvas[top : top + len(texture), max(0, left) : max(0, left) + shown.shape[1]] = shown
        yield noisy(canvas * np.float32(light), noise, rng)


def flat_scene(seed: int, count: int) -> Iterator[Image]:
    """Yields a scene with little in it: a sky with soft clouds that drift, or a wall with a faint texture."""
    rng = np.random.default_rng([seed, 3])
    height, width = SIZE
    is_sky = seed % 2 == 0
    texture = smooth_noise(rng, height, 3 * width, 80.0 if is_sky else 6.0, 4)
    slope = np.linspace(-30, 30, height, dtype=np.float32)[:, None]
    for index in range(count):
        left = int(4 * index / RATE) % (2 * width) if is_sky else 0
        luma = 150 + slope + (60 if is_sky else 25) * (texture[:, left : left + width] - 0.5)
        yield noisy(luma[..., None] * np.float32([0.92, 1.0, 1.08]), BASE_NOISE, rng)


SCENES: Mapping[str, Callable[[int, int], Iterator[Image]]] = {
    "drive": drive, "panned photo": panned_photo, "fixed camera": fixed_camera,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A fault and what the camera's health should be called behind it.

    Attributes:
        apply: Function of a frame, of how far the fault has come (0..1), and a random generator of the run.
        seconds: How long it takes to come.
        state: The state that it should bring.
        reasons: The reasons of which at least one should be named.
    """

    apply: Callable[[Image, float, int], Image]
    seconds: float
    state: str
    reasons: tuple[str, ...]


@lru_cache(maxsize=4)
def _blobs(seed: int, height: int, width: int, share: float) -> Floats:
    """Draws the opacity of mud, float32 [H, W, 1]."""
    field = smooth_noise(np.random.default_rng([seed, 4]), height, width, 0.35 * height, 3)
    edge = np.float32(np.quantile(field, 1 - share))
    return np.asarray(np.clip((field - edge) / 0.03 + 0.5, 0, 1)[..., None], np.float32)


def mud(share: float) -> Callable[[Image, float, int], Image]:
    """Returns a fault: blobs on the lens, opaque with soft edges, that hide a share of the image."""

    def apply(image: Image, progress: float, seed: int) -> Image:
        opacity = _blobs(seed, image.shape[0], image.shape[1], share) * np.float32(progress)
        return np.asarray(image * (1 - opacity) + np.float32([62, 50, 38]) * opacity, np.uint8)

    return apply


def light(factor: float, noise: float = 0.0) -> Callable[[Image, float, int], Image]:
    """Returns a fault: only so much of the light is left, and the sensor has more noise."""

    def apply(image: Image, progress: float, seed: int) -> Image:
        left = np.float32(factor**progress)
        return noisy(image * left, noise * progress, np.random.default_rng([seed, 5, int(image[0, 0, 0])]))

    return apply


def defocus(share: float) -> Callable[[Image, float, int], Image]:
    """Returns a fault: a Gaussian blur with a deviation of a share of the height."""

    def apply(image: Image, progress: float, seed: int) -> Image:
        deviation = share * progress * len(image)
        return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.uint8) if deviation > 0.1 else image

    return apply


def sensor_noise(deviation: float) -> Callable[[Image, float, int], Image]:
    """Returns a fault: independent noise."""
    return lambda image, progress, seed: noisy(
        image, deviation * progress, np.random.default_rng([seed, 6, int(image[::40, ::40].sum())])
    )


def cloth(level: float) -> Callable[[Image, float, int], Image]:
    """Returns a fault: a cloth over the lens, through which a little light comes, more in the middle."""

    def apply(image: Image, progress: float, seed: int) -> Image:
        height, width = image.shape[:2]
        rows, columns = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
        veil = np.float32(level * (1.2 - 0.2 * (rows**2 + columns**2)))[..., None]
        soft = cv2.blur(image, (width // 2, height // 2)) * np.float32(0.01)
        mixed = image * np.float32(1 - progress) + (veil + soft) * np.float32(progress)
        return noisy(mixed, BASE_NOISE, np.random.default_rng([seed, 7, int(image[::40, ::40].sum())]))

    return apply


def glare(image: Image, progress: float, seed: int) -> Image:
    """A fault: twice the light, and a veil of it over everything."""
    return np.asarray((image * np.float32(1 + progress) + np.float32(150 * progress)).clip(0, 255), np.uint8)


FAULTS: Mapping[str, Fault] = {
    "mud on 30 % of the lens": Fault(mud(0.3), 1.0, "degraded", ("covered",)),
    "mud on 60 % of the lens": Fault(mud(0.6), 1.0, "degraded", ("covered",)),
    "film of dirt, as in the drive": Fault(
        lambda image, progress, seed: dirt(image, 1.2 * progress, 0, seed), 1.0, "degraded", ("blurred", "covered")
    ),
    "dusk, a sixth of the light": Fault(light(1 / 6, 4.0), 20.0, "degraded", ("dark",)),
    "night, a hundredth of it": Fault(light(0.01, 2.0), 40.0, "blind", ("dark",)),
    "defocus, 0.8 % of the height": Fault(defocus(0.008), 5.0, "degraded", ("blurred",)),
    "defocus, 1.6 % of the height": Fault(defocus(0.016), 5.0, "degraded", ("blurred",)),
    "noise, deviation 25": Fault(sensor_noise(25), 0.0, "degraded", ("noisy",)),
    "noise, deviation 60": Fault(sensor_noise(60), 0.0, "degraded", ("noisy",)),
    "dark cloth": Fault(cloth(4.0), 0.5, "blind", ("covered",)),
    "white cloth": Fault(cloth(120.0), 0.5, "blind", ("covered",)),
    "sun in the lens": Fault(glare, 1.0, "degraded", ("overexposed",)),
}
