"""Batches of images: selected, shifted and flipped at once; and the conversions between pixels and floats."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.types import Image
from allweather.trainers.choices import Padding


def gather(
    images: Tensor, labels: Tensor, order: Tensor, shift: Tensor, hflip: Tensor, padding: Padding = "reflect"
) -> tuple[Tensor, Tensor]:
    """Selects the images of a batch, shifts and flips them, in one indexing step.

    Args:
        images: uint8 [n, h, w, 3], on any device.
        labels: int64 [n].
        order: int64 [b], indices of images.
        shift: int64 [b, 2], rows and columns to shift by, each less than the side of the image.
        hflip: bool [b], whether to flip each image horizontally.
        padding: What comes in from outside a shifted image: "reflect" for its border reflected, "zeros" for black.

    Returns:
        float32 [b, 3, h, w] in 0..1, channels-last in memory, and the labels, int64 [b].
    """
    device = images.device
    height, width = images.shape[1:3]
    order, shift, hflip = order.to(device), shift.to(device), hflip.to(device)
    rows = torch.arange(height, device=device) + shift[:, :1]
    columns = torch.arange(width, device=device) + shift[:, 1:]
    columns = torch.where(hflip[:, None], columns.flip(1), columns)
    inside = _inside(rows, height)[:, :, None] & _inside(columns, width)[:, None, :] if padding == "zeros" else None
    rows, columns = _reflected(rows, height), _reflected(columns, width)
    # of a list of pixels, 2.6 times as fast on a CPU as indexing images by rows and columns (224 px)
    pixels = (order[:, None] * height + rows)[:, :, None] * width + columns[:, None, :]
    selected = images.reshape(-1, 3).index_select(0, pixels.flatten()).view(-1, height, width, 3)
    if inside is not None:
        selected *= inside[..., None]
    return to_float(selected), labels[order]


def to_float(images: Tensor) -> Tensor:
    """Converts uint8 [n, h, w, 3] to float32 [n, 3, h, w] in 0..1; the memory order stays: channels-last."""
    return images.permute(0, 3, 1, 2).to(torch.float32, copy=True).div_(255)  # a copy, also of what is float32 already


def to_uint8(images: Tensor) -> Image:
    """Converts float [n, 3, h, w] in 0..1 to a NumPy array, uint8 [n, h, w, 3]; values are rounded."""
    rounded = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return np.ascontiguousarray(rounded.numpy())


def _inside(position: Tensor, side: int) -> Tensor:
    """Returns which positions are inside the image."""
    return (position >= 0) & (position < side)


def _reflected(position: Tensor, side: int) -> Tensor:
    """Reflects positions outside the image at the border pixels into 0..side-1, as cv2's BORDER_REFLECT_101 does."""
    last = side - 1
    return last - (last - position.abs()).abs()
