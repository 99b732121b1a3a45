from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from allweather.trainers.augmentations.learned.transforms import flow_field, recolor, warp


def some_images(size: tuple[int, int] = (12, 16)) -> Tensor:
    return torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def grid(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1, 1).expand(2, -1, 8, 8)


def warped(images: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return warp(images, flow_field(weight, bias, (images.shape[2], images.shape[3])))


def test_zero_parameters_change_nothing() -> None:
    images = some_images()
    torch.testing.assert_close(warped(images, grid(0, 0, 0, 0), grid(0, 0)), images)
    torch.testing.assert_close(recolor(images, grid(*[0] * 9), grid(0, 0, 0)), images)


def test_a_bias_shifts_by_whole_pixels() -> None:
    images = some_images()
    moved = warped(images, grid(0, 0, 0, 0), grid(2 * 3 / 16, 2 * 2 / 12))  # three columns and two rows
    torch.testing.assert_close(moved[:, :, :-2, :-3], images[:, :, 2:, 3:])


def test_the_weight_flips_and_rotates() -> None:
    images = some_images((12, 12))
    torch.testing.assert_close(warped(images, grid(-2, 0, 0, 0), grid(0, 0)), images.flip(3))
    cos, sin = math.cos(math.pi / 2), math.sin(math.pi / 2)
    rotated = warped(images, grid(cos - 1, -sin, sin, cos - 1), grid(0, 0))
    torch.testing.assert_close(rotated, images.rot90(1, (2, 3)), atol=1e-9, rtol=0)


def test_a_constant_field_is_the_affine_grid_of_torch() -> None:
    theta = torch.tensor([[0.8, 0.3, 0.1], [-0.2, 1.1, -0.05]], dtype=torch.float64).expand(2, 2, 3)
    expected = torch.nn.functional.affine_grid(theta, [2, 3, 12, 16], align_corners=False)
    field = flow_field(grid(-0.2, 0.3, -0.2, 0.1), grid(0.1, -0.05), (12, 16))
    torch.testing.assert_close(field, expected)


def test_recolor_is_a_1_x_1_filter() -> None:
    images = some_images()
    change = torch.tensor([[0.1, 0.2, 0], [0, -0.3, 0.1], [0.05, 0, 0.2]], dtype=torch.float64)
    offset = torch.tensor([0.01, -0.02, 0.03], dtype=torch.float64)
    expected = images + torch.einsum("ij,njhw->nihw", change, images) + offset[:, None, None]
    torch.testing.assert_close(
        recolor(images, grid(*change.flatten().tolist()), grid(*offset.tolist())), expected.clamp(0, 1)
    )


@pytest.mark.slow
def test_gradients_are_those_of_finite_differences() -> None:
    images = (0.3 + 0.4 * some_images((5, 5))).requires_grad_()
    rng = torch.Generator().manual_seed(2)

    def small(channels: int) -> Tensor:
        return (0.05 * torch.randn(2, channels, 2, 2, generator=rng, dtype=torch.float64)).requires_grad_()

    assert torch.autograd.gradcheck(warped, (images, small(4), small(2)))
    assert torch.autograd.gradcheck(recolor, (images, small(9), small(3)))


@pytest.mark.parametrize("size", [(32, 32), (224, 224), (20, 48)])
def test_a_grid_fits_every_image_size(size: tuple[int, int]) -> None:
    images = some_images(size)
    augmented = recolor(warped(images, grid(0.1, 0, 0, 0.1), grid(0, 0)), grid(*[0.1] * 9), grid(0, 0, 0))
    assert augmented.shape == images.shape
    assert float(augmented.min()) >= 0
    assert float(augmented.max()) <= 1
