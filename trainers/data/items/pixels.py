"""Brings one image of a torch data set to uint8 [h, w, 3]: a PIL image, a numpy array or a tensor."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image as PillowImage
from torch import Tensor

from allweather.runtimes.cameras.image_files.decode import DecodedImage
from allweather.runtimes.cameras.image_files.deep import FULL, to_8_bits
from allweather.runtimes.errors import DataError, first_line
from allweather.trainers.image_tensors import TOLERANCE

MODES = ("RGB", "L", "RGBA", "LA")  # of PIL images that are taken; the alpha channel is left out, as that of files is
DEEP_MODES = ("I;16", "I;16L", "I;16B", "I;16N")
CHANNELS = (1, 3, 4)
MAX_NORMALIZED = 20  # values that are no larger may come from a normalization, larger ones are not divided by 255


def to_pixels(image: object) -> DecodedImage:
    """Returns an image as uint8 [h, w, 3] RGB.

    What it holds is told by its type and shape, never by its values. Gray becomes three equal channels, an alpha
    channel is left out, floats are multiplied by 255 and rounded, and 16 bits are scaled as those of files are.

    Args:
        image: A PIL image; or an array or tensor, [h, w], [h, w, c] or [c, h, w] with 1, 3 or 4 channels: uint8, uint16
            or float in 0..1.

    Raises:
        DataError: It is something else. The message begins with "it".
    """
    if isinstance(image, PillowImage.Image):
        return _to_8_bits(_of_pillow(image))
    if isinstance(image, Tensor):
        if image.dtype == torch.bfloat16:
            image = image.float()
        if image.is_nested or image.layout != torch.strided or image.is_quantized or image.is_meta:
            raise DataError("its image is a sparse, quantized or meta tensor; wanted is a dense one: image.to_dense()")
        try:
            values = image.detach().cpu().numpy()
        except (TypeError, RuntimeError) as error:  # of 8-bit floats, for example
            raise DataError(f"its image is a tensor that is no numpy array: {first_line(error)}") from error
        return _to_8_bits(_channels_last(values, channels_first=True))
    if isinstance(image, np.ndarray):
        return _to_8_bits(_channels_last(image, channels_first=False))
    raise DataError(f"its image is of the type {type(image).__name__}; wanted is a PIL image, an array or a tensor")


def _of_pillow(image: PillowImage.Image) -> np.ndarray:
    try:
        if image.mode in MODES:
            return np.asarray(image.convert("RGB"))
        if image.mode in DEEP_MODES:
            return np.asarray(image).astype(np.uint16)[..., None]
        if image.mode == "I":  # what Pillow makes of 16-bit files at times
            values = np.asarray(image)[..., None]
            if values.min(initial=0) >= 0 and values.max(initial=0) <= FULL:
                return values.astype(np.uint16)
    except (OSError, SyntaxError, ValueError, AssertionError) as error:  # the last two of one whose file was closed
        raise DataError(f"its image cannot be decoded: {first_line(error)}; remove or replace it") from error
    cure = "scale its values to 0..255, and image.convert('L')" if image.mode in ("F", "I") else "image.convert('RGB')"
    raise DataError(f"its image is a PIL image of mode {image.mode}; wanted is {', '.join(MODES)} or I;16: {cure}")


def _channels_last(values: np.ndarray, *, channels_first: bool) -> np.ndarray:
    """Returns values as [h, w, 1] or [h, w, 3]; where both layouts are possible, `channels_first` tells."""
    shape = values.shape
    if values.ndim == 2:
        return values[..., None]
    if values.ndim == 3:
        first, last = shape[0] in CHANNELS, shape[2] in CHANNELS
        if first and (channels_first or not last):
            values, last = values.transpose(1, 2, 0), True
        if last:
            return values[..., :3]
    raise DataError(
        f"its image has the shape {list(shape)}; wanted is [h, w], [h, w, c] or [c, h, w] with 1, 3 or 4 channels"
    )


def _to_8_bits(values: np.ndarray) -> DecodedImage:
    """Brings values [h, w, 1 or 3] to uint8 [h, w, 3]."""
    maximum = 255
    if not values.size:
        raise DataError("its image is empty")
    if values.dtype.newbyteorder("=") == np.uint16:
        values, maximum = to_8_bits(values.astype(np.uint16)), FULL
    elif np.issubdtype(values.dtype, np.floating):
        values = _of_floats(values)
    elif values.dtype != np.uint8:
        raise DataError(
            f"its image has values of the type {values.dtype}; wanted is uint8, uint16, or float in 0..1: convert "
            "0..255 to uint8"
        )
    return DecodedImage(np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3))), maximum)


def _of_floats(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    if not (low >= -TOLERANCE and high <= 1 + TOLERANCE):  # also if one of them is nan
        cure = "divide them by 255, or give uint8"
        if low < -TOLERANCE or high <= MAX_NORMALIZED:
            cure = "remove transforms.Normalize from the data set, as the model normalizes by itself"
        if not np.isfinite(values).all():
            cure = "find out where they come from"
        raise DataError(f"its image has float values from {low:.3g} to {high:.3g}; wanted are 0 to 1: {cure}")
    return np.rint(values.astype(np.float32) * 255).clip(0, 255).astype(np.uint8)
