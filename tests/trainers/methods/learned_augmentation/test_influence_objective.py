"""What the draws of an augmentation are held to."""

from __future__ import annotations

import pytest
import torch

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.dataset import Split
from allweather.trainers.methods.learned_augmentation import influence_objective as benefit
from allweather.trainers.methods.learned_augmentation.influence_objective import APART, SPREAD, TwoDraws, diversity_loss
from allweather.trainers.training.launch import launch


def test_equal_draws_lack_all_there_is() -> None:
    asked = torch.rand(64, 6)
    assert float(diversity_loss(asked, asked)) == pytest.approx(APART + SPREAD)


def test_two_looks_by_turns_lack_as_good_as_that_though_their_mean_difference_is_large() -> None:
    rng = torch.Generator().manual_seed(1)
    look = torch.sign(torch.randn(512, 6, generator=rng))  # a picture has one, and its opposite
    one, other = (look * torch.sign(torch.randn(512, 1, generator=rng)) for _ in range(2))
    assert float((one - other).abs().mean()) > APART
    assert float(diversity_loss(one, other)) > APART / 3


def test_draws_of_a_network_that_diverged_lack_no_number() -> None:
    assert diversity_loss(torch.full((8, 6), torch.nan), torch.zeros(8, 6)).isnan()


def test_what_is_gained_is_judged_on_pictures_from_all_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benefit, "MEASURED", 6)
    monkeypatch.setattr(benefit, "BATCH", 3)
    seen: list[int] = []

    class Recorder:
        def influence(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            seen.extend(labels.tolist())
            return images.mean((1, 2, 3))

    val = Split(torch.zeros(60, 32, 32, 3, dtype=torch.uint8), torch.arange(60) // 20)  # class by class, as folders
    judge = benefit.InfluenceObjective(Recorder(), 1.0, "")  # type: ignore[arg-type]
    judge.accuracy(TwoDraws(AugmentationNetwork("appearance")), val, launch())
    assert set(seen) == {0, 1, 2}


def test_draws_on_a_line_lack_variance() -> None:
    rng = torch.Generator().manual_seed(2)
    one, other = (torch.sign(torch.randn(512, 1, generator=rng)).expand(512, 6) for _ in range(2))
    assert float(diversity_loss(one, other)) > SPREAD / 2


def test_draws_all_over_lack_next_to_nothing() -> None:
    rng = torch.Generator().manual_seed(3)
    one, other = (2 * torch.rand(512, 18, generator=rng) - 1 for _ in range(2))
    assert float(diversity_loss(one, other)) < 0.05


@pytest.mark.parametrize("mode", ["parallel", "serial"])
def test_an_augmentation_can_learn_to_differ(mode: str) -> None:
    model, rng = TwoDraws(AugmentationNetwork(mode)), torch.Generator().manual_seed(4)  # type: ignore[arg-type]
    made, same = model(torch.rand(16, 3, 32, 32, generator=rng), rng)
    same.backward()
    assert made.shape == (16, 3, 32, 32)
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
