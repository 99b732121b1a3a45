from __future__ import annotations

import pytest
import torch

from allweather.trainers.augmentations.learned.networks import (
    CODE_SIZE,
    COLOR_LIMIT,
    GRIDS,
    STAGE_HEADS,
    WARP_LIMITS,
    AugmentationMode,
    AugmentationNetwork,
    Head,
    TransformStage,
    code_dropout,
)
from allweather.trainers.augmentations.learned.transforms import flow_field, warp


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", STAGE_HEADS)
@pytest.mark.parametrize("side", [32, 48])
def test_it_augments_at_random_and_repeats_with_the_seed(mode: AugmentationMode, side: int) -> None:
    torch.manual_seed(0)
    network, images = AugmentationNetwork(mode), torch.rand(3, 3, side, side, generator=rng())
    augmented = network(images, rng(2))
    assert augmented.shape == images.shape
    assert 0 <= float(augmented.detach().min()) <= float(augmented.detach().max()) <= 1
    torch.testing.assert_close(augmented, network(images, rng(2)))
    assert float((augmented - network(images, rng(3))).detach().abs().max()) > 1e-3
    augmented.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("grid", GRIDS)
def test_a_grid_has_parameters_of_its_own_in_each_cell(grid: int) -> None:
    torch.manual_seed(0)
    stage = TransformStage(("spatial", "appearance"), grid)
    parameters = stage.decode(torch.randn(5, CODE_SIZE, generator=rng()))
    assert parameters.weights["spatial"].shape == (5, 4, grid, grid)
    assert parameters.biases["appearance"].shape == (5, 3, grid, grid)
    assert len(parameters.weights["appearance"][0, 0].unique()) == grid * grid


@pytest.mark.slow
@pytest.mark.parametrize("mode", STAGE_HEADS)
def test_a_file_has_weights_of_its_grid_alone(mode: AugmentationMode) -> None:
    weights = AugmentationNetwork(mode, 4).state_dict()
    AugmentationNetwork(mode, 4).load_state_dict(weights)
    with pytest.raises(RuntimeError, match="size mismatch"):
        AugmentationNetwork(mode).load_state_dict(weights)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.slow
def test_it_trains_in_bf16_at_any_size(grid: int) -> None:
    network, images = AugmentationNetwork("serial", grid), torch.rand(3, 3, 48, 48, generator=rng())
    with torch.autocast("cpu", torch.bfloat16):
        network(images.bfloat16(), rng(2)).sum().backward()


def test_bf16_moves_no_pixel_by_itself() -> None:
    stage, images = TransformStage(("spatial", "appearance")), torch.rand(3, 3, 224, 224, generator=rng())
    with torch.autocast("cpu", torch.bfloat16):
        parameters = stage.decode(stage.encode(images))
        field = flow_field(parameters.weights["spatial"] * 0, parameters.biases["spatial"] * 0, (224, 224))
    torch.testing.assert_close(warp(images, field), images, atol=1e-4, rtol=0)


def test_the_code_of_an_image_does_not_depend_on_its_batch() -> None:
    stage, images = TransformStage(("spatial", "appearance")), torch.rand(4, 3, 32, 32, generator=rng())
    torch.testing.assert_close(stage.encode(images)[:2], stage.encode(images[:2]), atol=1e-4, rtol=1e-4)


def test_transform_parameters_stay_within_their_limits() -> None:
    stage = TransformStage(("spatial", "appearance"), color_limit=0.25)
    parameters = stage.decode(1000 * torch.randn(5, CODE_SIZE, generator=rng()))
    limits: dict[Head, tuple[float, float]] = {"spatial": WARP_LIMITS, "appearance": (0.25, 0.25)}
    for head, (max_weight, max_bias) in limits.items():
        assert float(parameters.weights[head].detach().abs().max()) <= max_weight
        assert float(parameters.biases[head].detach().abs().max()) <= max_bias
    assert float(parameters.weights["appearance"].detach().abs().max()) > COLOR_LIMIT


def test_a_state_dict_keeps_the_limits_it_was_made_with() -> None:
    images = torch.rand(4, 3, 32, 32, generator=rng())
    saved = AugmentationNetwork("parallel", color_limit=0.25).eval()
    loaded = AugmentationNetwork("parallel").eval()
    loaded.load_state_dict(saved.state_dict())
    torch.testing.assert_close(loaded(images, rng()), saved(images, rng()))


def test_half_of_a_code_is_dropped_and_the_mean_stays() -> None:
    code = torch.ones(1000, CODE_SIZE)
    dropped = code_dropout(code, rng())
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert float(dropped.mean()) == pytest.approx(1, abs=0.02)
