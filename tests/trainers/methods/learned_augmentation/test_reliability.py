"""How far two halves of the held-out images agree on which of several warps is better."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.dataset import Split
from allweather.trainers.methods.learned_augmentation import reliability as module
from allweather.trainers.methods.learned_augmentation.reliability import (
    Reliability,
    random_halves,
    split_half_correlation,
)

Influence = Callable[[Tensor, Tensor], Tensor]
IMAGES = torch.randint(256, (60, 32, 32, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
TRAIN = Split(IMAGES, torch.arange(60) // 20)  # sorted by class


def signal(images: Tensor, labels: Tensor) -> Tensor:
    return images[:, 0].mean((1, 2))


def noise(seed: int) -> Influence:
    rng = torch.Generator().manual_seed(seed)
    return lambda images, labels: torch.randn(len(images), generator=rng)


def correlation(one: Influence, other: Influence) -> float:
    """Halves the images twice; the second time, the halves change places."""

    def influences(images: Tensor, labels: Tensor) -> Tensor:
        first, second = one(images, labels), other(images, labels)
        return torch.stack([first, second, second, first])

    torch.manual_seed(0)
    return split_half_correlation(AugmentationNetwork("parallel").eval(), TRAIN, influences, 3)


@pytest.mark.parametrize("count", [4, 9])
def test_the_halves_are_disjoint_and_all(count: int) -> None:
    halves = random_halves(count, 5, halvings=3)
    assert len(halves) == 6
    for one, other in zip(halves[::2], halves[1::2], strict=True):
        assert sorted([*one.tolist(), *other.tolist()]) == list(range(count))
        assert abs(len(one) - len(other)) <= 1
    assert torch.equal(halves[0], random_halves(count, 5)[0])
    assert not torch.equal(torch.cat(halves[:2]), torch.cat(halves[2:4]))


@pytest.mark.slow
def test_it_is_the_mean_over_halvings() -> None:
    """Two halves that agree, and two that have nothing in common."""

    def influences(images: Tensor, labels: Tensor) -> Tensor:
        return torch.stack([signal(images, labels), signal(images, labels), signal(images, labels), labels.float()])

    torch.manual_seed(0)
    network = AugmentationNetwork("parallel").eval()
    assert split_half_correlation(network, TRAIN, influences, 3) == pytest.approx(0.5)


@pytest.mark.slow
def test_halves_that_agree_correlate_whatever_their_scales() -> None:
    assert correlation(signal, signal) == pytest.approx(1)
    assert correlation(signal, lambda images, labels: 3 * signal(images, labels) + labels) == pytest.approx(1)
    assert correlation(signal, lambda images, labels: -signal(images, labels)) == pytest.approx(-1)


@pytest.mark.slow
def test_what_the_versions_of_an_image_share_is_no_signal() -> None:
    """Influences differ most from image to image, but no augmentation can make another image of one."""

    def of_label(chance: Influence) -> Influence:
        return lambda images, labels: 100 * labels + chance(images, labels)

    assert abs(correlation(of_label(noise(1)), of_label(noise(2)))) < 0.15


@pytest.mark.slow
def test_chance_alone_has_no_correlation() -> None:
    assert abs(correlation(noise(1), noise(2))) < 0.15
    assert correlation(signal, lambda images, labels: labels.float()) == 0


def test_images_of_all_classes_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_IMAGES", 6)
    seen: list[int] = []

    def record(images: Tensor, labels: Tensor) -> Tensor:
        seen.extend(labels.tolist())
        return signal(images, labels)

    correlation(record, signal)
    assert set(seen) == {0, 1, 2}
    assert len(seen) == 6 * module.NUM_WARPS


@pytest.mark.parametrize(
    ("value", "count", "needed", "chance"),
    [(0.5, 900, 900, False), (0.1, 900, 8100, True), (0.8, 1000, 250, False), (0.0, 900, None, True)],
)
def test_how_many_images_are_needed(value: float, count: int, needed: int | None, chance: bool) -> None:
    reliability = Reliability(value, count)
    assert reliability.images_needed == needed
    assert reliability.mostly_chance == chance
    assert Reliability(float("nan"), count).mostly_chance
