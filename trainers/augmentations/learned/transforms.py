"""The two transforms of the augmentation network (Lee et al., section 4): pure, differentiable, for any image size.

Their parameters are given on a coarse grid and interpolated bilinearly over the image.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def flow_field(weight: Tensor, bias: Tensor, size: tuple[int, int]) -> Tensor:
    """Computes where each pixel is sampled from (eq. 20): an affine function of its own coordinates.

    Rows and columns both go from -1 to 1 over the image, so a field means the same at every size. If weight and bias
    are constant over the grid, the field is one affine transform of the whole image.

    Args:
        weight: float [n, 4, gh, gw]; two factors of (column, row) for the source column, then two for the source row.
        bias: float [n, 2, gh, gw]; added to the source column and to the source row.
        size: Height and width of the image in pixels.

    Returns:
        float [n, h, w, 2], columns and rows as `grid_sample` takes them. Where weight and bias are zero, each pixel is
        sampled from its own position.
    """
    change = _interpolate(torch.cat([weight, bias], 1), size)
    rows, columns = (_pixel_centers(count, weight) for count in size)
    own = torch.stack([columns.expand(size), rows[:, None].expand(size)])
    a, b, c, d, right, down = change.unbind(1)
    column = a * own[0] + b * own[1] + right + own[0]
    row = c * own[0] + d * own[1] + down + own[1]
    return torch.stack([column, row], -1)


def warp(images: Tensor, field: Tensor) -> Tensor:
    """Samples each pixel bilinearly from where a field points; beyond the border the image is reflected.

    Args:
        images: float [n, 3, h, w].
        field: float [n, h, w, 2]; see `flow_field`.

    Returns:
        Warped images of the same shape. Gradients reach images and field.
    """
    return functional.grid_sample(images, field, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolor(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Adds to each pixel the output of a 1 x 1 filter on that pixel (section 4.2), and clips.

    Args:
        images: float [n, 3, h, w] in 0..1.
        weight: float [n, 9, gh, gw]; three factors of (red, green, blue) for the change of red, then of green, then of
            blue.
        bias: float [n, 3, gh, gw]; added to red, green and blue.

    Returns:
        Images of the same shape, in 0..1. Gradients reach images, weight and bias where nothing was clipped.
    """
    change = _interpolate(torch.cat([weight, bias], 1), (images.shape[2], images.shape[3]))
    filters, offset = change[:, :9].reshape(len(change), 3, 3, *images.shape[2:]), change[:, 9:]
    return (images + (filters * images[:, None]).sum(2) + offset).clamp(0, 1)


def _interpolate(grid: Tensor, size: tuple[int, int]) -> Tensor:
    if grid.shape[2:] == size:
        return grid
    return functional.interpolate(grid, size, mode="bilinear", align_corners=False)


def _pixel_centers(count: int, like: Tensor) -> Tensor:
    """Returns the centers of `count` pixels that span -1 to 1, with the device and dtype of `like`."""
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1
