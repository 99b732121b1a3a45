"""The two transforms of the augmentation network (Lee et al., section 4): pure, differentiable, for any picture size.

Their parameters come on a coarse grid and are spread over the picture bilinearly.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def flow_field(weight: Tensor, bias: Tensor, side: tuple[int, int]) -> Tensor:
    """Where each pixel is taken from (eq. 20): a point-wise affine change of its own place.

    Places go from -1 to 1 over the picture, rows and columns alike, so a field means the same at every size. With the
    same weight and bias everywhere this is one affine transform.

    Args:
        weight: float [n, 4, gh, gw]: what the column of the source takes of (column, row), then the row likewise.
        bias: float [n, 2, gh, gw]: added to column and row.
        side: height and width of the picture.

    Returns:
        float [n, h, w, 2], columns and rows as `grid_sample` takes them; zeros in weight and bias leave each pixel
        where it is.
    """
    change = _spread(torch.cat([weight, bias], 1), side)
    rows, columns = (_centres(count, weight) for count in side)
    place = torch.stack([columns.expand(side), rows[:, None].expand(side)])
    a, b, c, d, right, down = change.unbind(1)
    column = a * place[0] + b * place[1] + right + place[0]
    row = c * place[0] + d * place[1] + down + place[1]
    return torch.stack([column, row], -1)


def warp(images: Tensor, field: Tensor) -> Tensor:
    """Takes pixels from where a field says, bilinearly; beyond the border the picture is mirrored.

    Args:
        images: float [n, 3, h, w].
        field: float [n, h, w, 2]; see `flow_field`.

    Returns:
        The same shape; gradients reach both.
    """
    return functional.grid_sample(images, field, mode="bilinear", padding_mode="reflection", align_corners=False)


def recolor(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Adds to each pixel a 1 x 1 filter of itself (section 4.2), and clips.

    Args:
        images: float [n, 3, h, w] in 0..1.
        weight: float [n, 9, gh, gw]: what red takes of red, green and blue, then green, then blue.
        bias: float [n, 3, gh, gw].

    Returns:
        The same shape, in 0..1; gradients reach all three where nothing was clipped.
    """
    change = _spread(torch.cat([weight, bias], 1), (images.shape[2], images.shape[3]))
    filters, added = change[:, :9].reshape(len(change), 3, 3, *images.shape[2:]), change[:, 9:]
    return (images + (filters * images[:, None]).sum(2) + added).clamp(0, 1)


def _spread(grid: Tensor, side: tuple[int, int]) -> Tensor:
    if grid.shape[2:] == side:
        return grid
    return functional.interpolate(grid, side, mode="bilinear", align_corners=False)


def _centres(count: int, like: Tensor) -> Tensor:
    """Middles of so many pixels between -1 and 1."""
    return (2 * torch.arange(count, device=like.device, dtype=like.dtype) + 1) / count - 1
