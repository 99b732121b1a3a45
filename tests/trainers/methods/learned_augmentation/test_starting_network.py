"""The statistics of the augmentation network as it starts."""

from __future__ import annotations

import pytest
import torch

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork, TransformStage, code_dropout
from allweather.trainers.data.dataset import Split
from allweather.trainers.methods.learned_augmentation import starting_network
from allweather.trainers.methods.learned_augmentation.starting_network import with_statistics

CPU = torch.device("cpu")
IMAGES = torch.randint(256, (60, 32, 32, 3), generator=torch.Generator().manual_seed(1)).to(torch.uint8)
TRAIN = Split(IMAGES, torch.arange(60) % 3)


@pytest.mark.parametrize("grid", [1, 4])
@pytest.mark.slow
def test_its_parameters_are_around_zero_and_as_large_as_in_training(grid: int) -> None:
    torch.manual_seed(0)
    network = AugmentationNetwork("parallel", grid)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    fitted = with_statistics(network, TRAIN, 2, CPU)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items()), "it is a copy"
    assert network.training
    assert not fitted.training
    stage = fitted.parts[0]
    assert isinstance(stage, TransformStage)
    rng, images = torch.Generator().manual_seed(3), IMAGES.permute(0, 3, 1, 2) / 255
    with torch.no_grad():
        draws = [stage.decode(code_dropout(stage.encode(images), rng)).biases["spatial"] for _ in range(8)]
    relative = torch.cat(draws) / stage.limits("spatial")[1]
    assert float(relative.mean((0, 2, 3)).abs().max()) < 0.1
    assert 0.5 < float(relative.std()) < 0.75  # the deviation of the hyperbolic tangent of a normal number is 0.63


@pytest.mark.slow
def test_the_same_seed_gives_the_same_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting_network, "BATCHES", 2)
    torch.manual_seed(0)
    network = AugmentationNetwork("serial")
    one, same, other = (with_statistics(network, TRAIN, seed, CPU).state_dict() for seed in (2, 2, 3))
    assert all(torch.equal(value, same[key]) for key, value in one.items())
    assert not all(torch.equal(value, other[key]) for key, value in one.items())
