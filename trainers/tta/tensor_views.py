"""The built-in views on batches of torch tensors, on any device.

On the CPU they are the views of `allweather.runtimes.tta.views`, which OpenCV computes several times as fast there as
torch. On other devices torch computes the same for the whole batch, and rounds to whole gray levels as those do: with
OpenCV 5 the results differ by one gray level at most, in an eighth of the pixels of a crop and a few percent of those
of other views. OpenCV 4 rounds the positions of rotation and zoom to 1/32 of a pixel, which makes up to six levels at
sharp edges.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import LUMA_WEIGHTS, InputSpec
from allweather.runtimes.tta.policy import FLIP
from allweather.runtimes.tta.views import CHAIN, CROP_SHARE, IDENTITY, deblur_kernel_side, gamma_table, view
from allweather.runtimes.types import Image
from allweather.trainers.data.batches import to_float
from allweather.trainers.image_tensors import check_image_tensor, to_pixels

TensorView = Callable[[Tensor], Tensor]
"""float32 [n, 3, h, w], RGB in 0..1 -> the same, in multiples of 1/255."""
EXACT = frozenset({IDENTITY.name, FLIP})  # views that change no value, and therefore do not round


def apply_view(images: Tensor, name: str) -> Tensor:
    """Applies one view to a batch.

    Args:
        images: RGB, [n, 3, h, w] or [3, h, w], uint8 or float in 0..1. They are not changed. All views but the identity
            and flips round floats to whole gray levels first.
        name: Name of a view, such as "zoom1.2", or of several joined by "/". A view of your own (`register_view`) runs
            on the CPU, image by image.

    Returns:
        The same shape and type, on the same device.

    Raises:
        UsageError: There is no such view.
        DataError: The images are of another form.
    """
    out = ImageBatch(images).view(name)
    out = (out * 255).round() if images.dtype == torch.uint8 else out
    return out.to(images.dtype).reshape(images.shape)


class ImageBatch:
    """Images of which several views are wanted.

    Args:
        images: RGB, [n, 3, h, w] or [3, h, w], uint8 or float in 0..1.

    Raises:
        DataError: The images are of another form.
    """

    def __init__(self, images: Tensor) -> None:
        check_image_tensor(images)
        batch = images if images.dim() == 4 else images[None]
        self.images = batch.float() / 255 if images.dtype == torch.uint8 else batch.float()
        self.dtype = torch.float32 if images.dtype == torch.uint8 else images.dtype  # that a network is given
        self._given = batch

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.images)

    @cached_property
    def array(self) -> Image:
        """The images in whole gray levels, uint8 [n, h, w, 3]."""
        return np.asarray(to_pixels(self._given).permute(0, 2, 3, 1).contiguous().cpu().numpy(), np.uint8)

    def view(self, name: str, rows: Tensor | None = None) -> Tensor:
        """Applies one view, or several joined by "/", to the images of these indices (int64 [m]), or to all.

        Returns:
            float32 [m, 3, h, w] in 0..1.

        Raises:
            UsageError: There is no such view.
        """
        if not isinstance(name, str):
            raise UsageError(f"a view is named by text such as 'hflip'; got {name!r:.40}")
        known, parts = view(name), name.split(CHAIN)
        if set(parts) <= EXACT or (self.images.device.type != "cpu" and set(parts) <= EXACT | set(TENSOR_VIEWS)):
            out = self.images if rows is None else self.images[rows]
            for part in parts:
                out = out.flip(3) if part == FLIP else TENSOR_VIEWS[part](out) if part not in EXACT else out
            return out
        array = self.array if rows is None else self.array[rows.cpu().numpy()]
        return to_float(torch.from_numpy(np.stack([known.apply(image) for image in array]))).to(self.images.device)

    def prepared(self, spec: InputSpec) -> Tensor:
        """Brings the images to the input size of a loss predictor, as `InputSpec.prepare` does on the device.

        Returns:
            float32 [n, 3, spec.height, spec.width] in 0..1.
        """
        height, width = self.images.shape[2:]
        factor = height // spec.height
        if self.images.device.type == "cpu" or (height, width) != (factor * spec.height, factor * spec.width):
            prepared = torch.from_numpy(np.stack([spec.prepare(image) for image in self.array]))
            return to_float(prepared).to(self.images.device)
        return functional.avg_pool2d((self.images * 255).round(), factor).round() / 255


def _in_gray_levels(images: Tensor, apply: Callable[..., Tensor], **arguments: float) -> Tensor:
    """Applies a function of whole gray levels, float32 [n, 3, h, w] in 0..255, to images in 0..1."""
    return apply((images * 255).round(), **arguments).clamp(0, 255) / 255


def _color(pixels: Tensor, factor: float) -> Tensor:
    red, green, blue = pixels.unbind(1)
    luma = LUMA_WEIGHTS[0] * red + LUMA_WEIGHTS[1] * green + LUMA_WEIGHTS[2] * blue
    return (factor * pixels + (1 - factor) * luma[:, None]).round()


def _sharpness(pixels: Tensor, factor: float) -> Tensor:
    out, (height, width) = pixels.clone(), pixels.shape[2:]
    inner = pixels[:, :, 1:-1, 1:-1]
    rows = pixels[:, :, : height - 2] + pixels[:, :, 1:-1] + pixels[:, :, 2:]
    box = rows[..., : width - 2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = ((box + 4 * inner) / 13).round()
    out[:, :, 1:-1, 1:-1] = (factor * inner + (1 - factor) * smooth).round()
    return out


def _autocontrast(pixels: Tensor) -> Tensor:
    values = pixels.flatten(2)
    low, high = values.amin(2, keepdim=True).double(), values.amax(2, keepdim=True).double()
    scale = torch.where(high > low, 255 / (high - low).clamp(min=1), 1.0)
    offset = torch.where(high > low, low * scale, 0.0)
    levels = torch.arange(256, device=pixels.device, dtype=torch.float64)
    table = (levels * scale - offset).clamp(0, 255).floor().float()
    return table.gather(2, values.long()).reshape(pixels.shape)


def _warp(pixels: Tensor, degrees: float = 0.0, factor: float = 1.0) -> Tensor:
    grid = _grid(pixels.shape[2], pixels.shape[3], degrees, factor, pixels.device)
    grid = grid.expand(len(pixels), -1, -1, -1)
    return functional.grid_sample(pixels, grid, "bilinear", "reflection", align_corners=False).round()


@lru_cache(maxsize=32)
def _grid(height: int, width: int, degrees: float, factor: float, device: torch.device) -> Tensor:
    """Returns the positions that the output pixels are taken from, float32 [1, h, w, 2], as `grid_sample` wants them.

    A rotation about the center by `degrees` counter-clockwise, and a magnification by `factor`.
    """
    y = torch.arange(height, dtype=torch.float64)[:, None] - (height - 1) / 2
    x = torch.arange(width, dtype=torch.float64) - (width - 1) / 2
    cosine, sine = math.cos(math.radians(degrees)) / factor, math.sin(math.radians(degrees)) / factor
    grid = torch.stack([(cosine * x - sine * y) * 2 / width, (sine * x + cosine * y) * 2 / height], -1)
    return grid.float()[None].to(device)


def _crop(pixels: Tensor, across: float, down: float) -> Tensor:
    height, width = pixels.shape[2:]
    crop_height, crop_width = max(1, round(CROP_SHARE * height)), max(1, round(CROP_SHARE * width))
    top, left = round(down * (height - crop_height)), round(across * (width - crop_width))
    part = pixels[:, :, top : top + crop_height, left : left + crop_width]
    return functional.interpolate(part, (height, width), mode="bilinear", align_corners=False).round()


def _denoise(pixels: Tensor) -> Tensor:
    padded = functional.pad(pixels, (1, 1, 1, 1), mode="replicate")
    height, width = pixels.shape[2:]
    shifted = [padded[:, :, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.stack(shifted).median(0).values


def _deblur(pixels: Tensor, sigma: float) -> Tensor:
    half = deblur_kernel_side(sigma) // 2
    weights = torch.exp(-0.5 * (torch.arange(-half, half + 1, device=pixels.device) / sigma) ** 2)
    weights, channels = weights / weights.sum(), pixels.shape[1]
    blurred = functional.pad(pixels, (half, half, half, half), mode="replicate")
    for shape in ((1, 1, 1, -1), (1, 1, -1, 1)):
        blurred = functional.conv2d(blurred, weights.reshape(shape).repeat(channels, 1, 1, 1), groups=channels)
    return 2 * pixels - blurred.round()


def _gamma(pixels: Tensor, exponent: float) -> Tensor:
    table = torch.from_numpy(gamma_table(exponent)).to(pixels.device, pixels.dtype)
    return table[pixels.long()]


TENSOR_VIEWS: Mapping[str, TensorView] = MappingProxyType(
    {
        "rotate-20": partial(_in_gray_levels, apply=_warp, degrees=-20),
        "rotate+20": partial(_in_gray_levels, apply=_warp, degrees=20),
        "zoom0.8": partial(_in_gray_levels, apply=_warp, factor=0.8),
        "zoom1.2": partial(_in_gray_levels, apply=_warp, factor=1.2),
        "autocontrast": partial(_in_gray_levels, apply=_autocontrast),
        "sharpness0.2": partial(_in_gray_levels, apply=_sharpness, factor=0.2),
        "sharpness0.5": partial(_in_gray_levels, apply=_sharpness, factor=0.5),
        "sharpness3": partial(_in_gray_levels, apply=_sharpness, factor=3.0),
        "sharpness4": partial(_in_gray_levels, apply=_sharpness, factor=4.0),
        "color0.5": partial(_in_gray_levels, apply=_color, factor=0.5),
        "color2": partial(_in_gray_levels, apply=_color, factor=2.0),
        "denoise": partial(_in_gray_levels, apply=_denoise),
        "deblur1": partial(_in_gray_levels, apply=_deblur, sigma=1.0),
        "deblur2": partial(_in_gray_levels, apply=_deblur, sigma=2.0),
        "gamma0.5": partial(_in_gray_levels, apply=_gamma, exponent=0.5),
        "gamma2": partial(_in_gray_levels, apply=_gamma, exponent=2.0),
        "crop-center": partial(_in_gray_levels, apply=_crop, across=0.5, down=0.5),
        "crop-top-left": partial(_in_gray_levels, apply=_crop, across=0.0, down=0.0),
        "crop-top-right": partial(_in_gray_levels, apply=_crop, across=1.0, down=0.0),
        "crop-bottom-left": partial(_in_gray_levels, apply=_crop, across=0.0, down=1.0),
        "crop-bottom-right": partial(_in_gray_levels, apply=_crop, across=1.0, down=1.0),
    }
)
