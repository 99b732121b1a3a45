from __future__ import annotations

import pytest
import torch

from allweather.trainers.augmentations.learned import networks
from allweather.trainers.augmentations.learned.networks import (
    CODE,
    LIMITS,
    STAGE_HEADS,
    AugmentationMode,
    AugmentationNetwork,
    TransformStage,
    code_dropout,
)
from allweather.trainers.augmentations.learned.transforms import flow_field, warp


def rng(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("mode", STAGE_HEADS)
@pytest.mark.parametrize("side", [32, 48])
def test_it_augments_by_chance(mode: AugmentationMode, side: int) -> None:
    torch.manual_seed(0)
    network, images = AugmentationNetwork(mode), torch.rand(3, 3, side, side, generator=rng())
    made = network(images, rng(2))
    assert made.shape == images.shape
    assert 0 <= float(made.detach().min()) <= float(made.detach().max()) <= 1
    torch.testing.assert_close(made, network(images, rng(2)))
    assert float((made - network(images, rng(3))).detach().abs().max()) > 1e-3
    made.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_it_learns_in_bf16_at_any_size() -> None:
    network, images = AugmentationNetwork("serial"), torch.rand(3, 3, 48, 48, generator=rng())
    with torch.autocast("cpu", torch.bfloat16):
        network(images.bfloat16(), rng(2)).sum().backward()


def test_bf16_moves_no_pixel_by_itself() -> None:
    part, images = TransformStage(("spatial", "appearance")), torch.rand(3, 3, 224, 224, generator=rng())
    with torch.autocast("cpu", torch.bfloat16):
        fields = part.decode(part.encode(images))
        field = flow_field(fields.weights["spatial"] * 0, fields.biases["spatial"] * 0, (224, 224))
    torch.testing.assert_close(warp(images, field), images, atol=1e-4, rtol=0)


def test_a_picture_does_not_depend_on_its_batch() -> None:
    part, images = TransformStage(("spatial", "appearance")), torch.rand(4, 3, 32, 32, generator=rng())
    torch.testing.assert_close(part.encode(images)[:2], part.encode(images[:2]), atol=1e-4, rtol=1e-4)


def test_what_it_asks_for_is_bounded() -> None:
    part = TransformStage(("spatial", "appearance"))
    fields = part.decode(1000 * torch.randn(5, CODE, generator=rng()))
    for head, (most, added) in LIMITS.items():
        assert float(fields.weights[head].detach().abs().max()) <= most
        assert float(fields.biases[head].detach().abs().max()) <= added


def test_a_network_keeps_the_limits_it_was_made_with(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(4, 3, 32, 32, generator=rng())
    made = AugmentationNetwork("parallel").eval()
    monkeypatch.setattr(networks, "LIMITS", {"spatial": (0.0, 0.0), "appearance": (0.0, 0.0)})
    later = AugmentationNetwork("parallel").eval()
    later.load_state_dict(made.state_dict())
    torch.testing.assert_close(later(images, rng()), made(images, rng()))


def test_half_of_a_code_is_dropped_and_the_mean_stays() -> None:
    code = torch.ones(1000, CODE)
    some = code_dropout(code, rng())
    assert set(some.unique().tolist()) == {0.0, 2.0}
    assert float(some.mean()) == pytest.approx(1, abs=0.02)
