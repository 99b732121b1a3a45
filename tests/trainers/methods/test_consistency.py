"""Training for consistency over an image and two augmented copies."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.mixed_chains import ROBUST_AUGMENTATIONS
from allweather.trainers.augmentations.variants import parse_variants
from allweather.trainers.losses.consistency import kl_divergence
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.consistency import ConsistencyObjective


class Linear(torch.nn.Module):
    """A network whose outputs for an image depend on no other image."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(3 * 8 * 8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))  # type: ignore[no-any-return]


def test_the_loss_is_that_of_the_paper() -> None:
    model, images, labels = Linear(), torch.rand(6, 3, 8, 8), torch.arange(6) % 5
    augmentation = ROBUST_AUGMENTATIONS["augmix"]
    objective = ConsistencyObjective(augmentation, 7.0, 0.1, class_weights=(1.0, 2.0, 1.0, 1.0, 0.5))
    loss = objective.loss(model, images, labels, 0, torch.Generator().manual_seed(3))

    copies = augmentation(images.repeat(2, 1, 1, 1), 0, torch.Generator().manual_seed(3))
    views = [model(images), *model(copies).chunk(2)]
    mean = torch.stack([each.softmax(1) for each in views]).mean(0).log()
    divergence = torch.stack([kl_divergence(each, mean) for each in views]).mean()
    each = functional.cross_entropy(views[0], labels, label_smoothing=0.1, reduction="none")
    expected = (each * torch.tensor([1.0, 2.0, 1.0, 1.0, 0.5])[labels]).mean() + 7 * divergence
    assert float(loss.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


@pytest.mark.parametrize("name", ROBUST_AUGMENTATIONS)
def test_robust_training_is_an_objective_with_the_weight_of_the_papers(name: Any) -> None:
    config = TrainConfig(robust=name, variants="rh")
    assert config.objective(1, 0.1, (1.0, 2.0)) == ConsistencyObjective(
        ROBUST_AUGMENTATIONS[name], 12.0, 0.1, parse_variants("rh")[0], (1.0, 2.0)
    )
    assert config.as_dict()["robust"] == name
    assert config.as_dict()["loss_weight"] == 12
    assert config.images_per_step(128) == 128
    lighter = TrainConfig(robust=name, loss_weight=3.0).objective(1, 0.0)
    assert lighter.resume_key != config.objective(1, 0.0).resume_key


def test_the_objectives_of_other_augmentations_do_not_resume_one_another() -> None:
    keys = [str(TrainConfig(robust=name).objective(1, 0.0).resume_key) for name in ROBUST_AUGMENTATIONS]
    keys.append(str(TrainConfig(augment="augmix").objective(1, 0.0).resume_key))
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"robust": "augmax"}, "augmix"),
        ({"robust": "prime", "method": "ait"}, "goes with method plain; got ait: leave one out"),
        ({"robust": "prime", "augment": "trivial"}, "of its own; got 'trivial' beside it: leave one out"),
        ({"robust": "prime", "loss_weight": -1.0}, "at least 0; got -1"),
        ({"robust": "prime", "loss_ramp": 3}, "no loss ramp"),
        ({"loss_weight": 2.0}, "choose ait, multi-ait, dml or robust training"),
    ],
)
def test_what_does_not_go_with_robust_training(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainConfig(**values)


def test_robust_training_is_for_one_network() -> None:
    with pytest.raises(UsageError, match="trains one network"):
        TrainConfig(robust="prime").objective(2, 0.0)
