"""Augmentation-invariant training, deep mutual learning, and the training config that chooses between them."""

from __future__ import annotations

import dataclasses
from itertools import permutations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import UsageError
from allweather.trainers.augmentations.augmix import AUGMIX
from allweather.trainers.augmentations.variants import CROP, Variant, parse_variants
from allweather.trainers.choices import InvariantMethod, Layer, Metric, TrainMethod
from allweather.trainers.losses.consistency import ai_loss
from allweather.trainers.methods.config import TrainConfig
from allweather.trainers.methods.invariant import InvariantObjective, JointNetworks
from allweather.trainers.models.activation_hooks import capture_layer
from allweather.trainers.training.objective import CrossEntropy


def rng(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class SmallNetwork(nn.Module):
    """A network without BatchNorm, so that the outputs for an image do not depend on its batch."""

    def __init__(self, seed: int = 0, width: int = 6) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.conv, self.head = nn.Conv2d(3, width, 3), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(functional.relu(self.conv(x)).mean((2, 3)))
        return out


def symmetric_kl(one: Tensor, other: Tensor) -> Tensor:
    """Equation 1, written out."""
    p, q = one.softmax(1), other.softmax(1)
    return (p * (p / q).log() + q * (q / p).log()).sum(1).mean()


def batch(copies: int) -> tuple[Tensor, Tensor]:
    return torch.rand(copies * 6, 3, 8, 8, generator=rng(1)), (torch.arange(6) % 4).repeat(copies)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_ait_is_equation_3(weight: float) -> None:
    model, (images, labels) = SmallNetwork(), batch(2)
    loss = InvariantObjective("ait", (CROP, CROP), weight).loss(model, images, labels, 0, rng())
    one, other = model(images[:6]), model(images[6:])
    expected = (functional.cross_entropy(one, labels[:6]) + functional.cross_entropy(other, labels[:6])) / 2
    torch.testing.assert_close(loss, expected + weight * symmetric_kl(one, other))
    doubled = InvariantObjective("ait", (CROP, CROP), weight, class_weights=(2.0,) * 4)
    torch.testing.assert_close(doubled.loss(model, images, labels, 0, rng()), loss + expected)


def test_multi_ait_gives_each_network_its_variant() -> None:
    networks, (images, labels) = [SmallNetwork(seed) for seed in range(2)], batch(2)
    loss = InvariantObjective("multi-ait", (CROP, CROP), 3.0).loss(
        JointNetworks(networks, shared=False), images, labels, 0, rng()
    )
    one, other = networks[0](images[:6]), networks[1](images[6:])
    expected = functional.cross_entropy(one, labels[:6]) + functional.cross_entropy(other, labels[:6])
    torch.testing.assert_close(loss, expected + 3 * symmetric_kl(one, other))


def test_each_of_three_networks_follows_the_mean_of_the_others() -> None:
    """Deep mutual learning, eq. 8 of Zhang et al.: no gradients flow into the predictions of the others."""
    networks, (images, labels) = [SmallNetwork(seed) for seed in range(3)], batch(1)
    InvariantObjective("dml", (CROP,), 1.0).loss(
        JointNetworks(networks, shared=True), images, labels, 0, rng()
    ).backward()
    logits = [network(images) for network in networks]
    for index, network in enumerate(networks):
        expected = functional.cross_entropy(logits[index], labels)
        for one, other in permutations(range(3), 2):
            if one == index:
                target = logits[other].detach().softmax(1)
                expected = expected + functional.kl_div(logits[one].log_softmax(1), target, reduction="batchmean") / 2
        (gradient,) = torch.autograd.grad(expected, network.head.weight, retain_graph=True)
        torch.testing.assert_close(network.head.weight.grad, gradient)


@pytest.mark.parametrize("method", ["ait", "multi-ait"])
def test_each_prediction_follows_the_other_which_is_held_fixed(method: InvariantMethod) -> None:
    """The gradient of the AiLoss alone: KL(fixed p || q) + KL(fixed q || p)."""
    (images, labels), weight = batch(2), 2.0
    networks = [SmallNetwork(seed) for seed in range(2 if method == "multi-ait" else 1)]
    model = JointNetworks(networks, shared=False) if len(networks) > 1 else networks[0]
    losses = [
        InvariantObjective(method, (CROP, CROP), each).loss(model, images, labels, 0, rng()) for each in (weight, 0.0)
    ]
    (losses[0] - losses[1]).backward()
    one, other = networks[0](images[:6]), networks[-1](images[6:])
    expected = weight * sum(
        functional.kl_div(follower.log_softmax(1), leader.detach().softmax(1), reduction="batchmean")
        for follower, leader in ((one, other), (other, one))
    )
    for network in networks:
        (gradient,) = torch.autograd.grad(expected, network.head.weight, retain_graph=True)
        torch.testing.assert_close(network.head.weight.grad, gradient)


@pytest.mark.parametrize("method", ["ait", "multi-ait"])
def test_the_loss_weight_rises_over_the_epochs_of_the_ramp(method: InvariantMethod) -> None:
    images, labels = batch(2)
    model = JointNetworks([SmallNetwork(0), SmallNetwork(1)], shared=False) if method == "multi-ait" else SmallNetwork()

    def added(epoch: int, ramp: int) -> float:
        losses = [
            InvariantObjective(method, (CROP, CROP), weight, ramp_epochs=ramp).loss(model, images, labels, epoch, rng())
            for weight in (1000.0, 0.0)
        ]
        return float((losses[0] - losses[1]).detach())

    assert added(0, 4) == 0
    assert added(1, 4) == pytest.approx(added(0, 0) / 4, rel=1e-3)
    assert added(4, 4) == added(9, 4) == pytest.approx(added(0, 0))


@pytest.mark.parametrize("method", ["plain", "ait", "multi-ait", "dml"])
def test_a_batch_of_ait_counts_every_variant(method: TrainMethod) -> None:
    """As in the authors' program: a batch of 128 is 64 images in two variants, and an epoch takes each image twice."""
    assert TrainConfig(method).images_per_step(128) == (64 if method == "ait" else 128)


def test_a_batch_that_the_variants_do_not_divide_is_refused() -> None:
    assert TrainConfig("ait", "rp,rg,rc").images_per_step(96) == 32
    for size, config in ((127, TrainConfig("ait")), (2, TrainConfig("ait")), (128, TrainConfig("ait", "rp,rg,rc"))):
        with pytest.raises(UsageError, match=f"multiple of [23], at least [46]; got {size}"):
            config.images_per_step(size)


def test_the_loss_weight_means_the_same_for_three_variants_as_for_two() -> None:
    """Two of the three variants are the same, so two of the three pairs differ."""
    model, (images, labels) = SmallNetwork(), batch(1)
    pair, triple = (
        InvariantObjective("ait", (CROP,) * count, 1.0).loss(
            model, torch.cat([images] * (count - 1) + [images.flip(0)]), labels.repeat(count), 0, rng()
        )
        for count in (2, 3)
    )
    one, other = model(images), model(images.flip(0))
    single, swapped = functional.cross_entropy(one, labels), functional.cross_entropy(other, labels)
    divergence = symmetric_kl(one, other)
    torch.testing.assert_close(pair, (single + swapped) / 2 + divergence)
    torch.testing.assert_close(triple, (2 * single + swapped) / 3 + 2 * divergence / 3)
    assert divergence > 0


@pytest.mark.parametrize("metric", ["kl", "euclidean", "both"])
def test_the_ai_loss_is_zero_between_equals_and_symmetric(metric: Metric) -> None:
    one, other = torch.randn(2, 5, 7, generator=rng()).unbind()
    assert ai_loss(one, one, metric) == pytest.approx(0, abs=1e-6)
    assert ai_loss(one, other, metric) > 0
    torch.testing.assert_close(ai_loss(one, other, metric), ai_loss(other, one, metric))
    same = one.clone().requires_grad_()
    ai_loss(same, one, metric).backward()
    assert torch.isfinite(same.grad).all()


def test_the_metrics_are_those_of_section_4_2_1() -> None:
    one, other = torch.randn(2, 5, 7, generator=rng()).unbind()
    torch.testing.assert_close(ai_loss(one, other, "kl"), symmetric_kl(one, other))
    distance = (one - other).square().sum(1).sqrt().mean()
    torch.testing.assert_close(ai_loss(one, other, "euclidean"), distance)
    torch.testing.assert_close(ai_loss(one, other, "both"), symmetric_kl(one, other) + distance)


@pytest.mark.parametrize("layer", ["feature", "map"])
def test_other_layers_can_be_compared(layer: Layer) -> None:
    model, (images, labels) = SmallNetwork(), batch(2)
    objective = InvariantObjective("ait", (CROP, CROP), 1.0, "euclidean", layer)
    maps = functional.relu(model.conv(images))
    outputs = maps if layer == "map" else maps.mean((2, 3))
    one, other = outputs.flatten(1).chunk(2)
    plain = dataclasses.replace(objective, loss_weight=0.0).loss(model, images, labels, 0, rng())
    loss = objective.loss(model, images, labels, 0, rng())
    torch.testing.assert_close(loss, plain + (one - other).square().sum(1).sqrt().mean())


def test_networks_without_the_compared_layer_are_refused() -> None:
    with pytest.raises(UsageError, match="no linear layer"), capture_layer(nn.Conv2d(3, 4, 3), "feature"):
        pass
    flat = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    with capture_layer(flat, "map"), pytest.raises(UsageError, match="no activation function on feature maps"):
        flat(torch.rand(1, 3, 2, 2))


@pytest.mark.parametrize("method", ["plain", "ait"])
@pytest.mark.parametrize("name", ["augmix", "randaugment", "trivial", "corruptions", "augmix+corruptions"])
def test_every_augmentation_goes_with_every_method(method: TrainMethod, name: str) -> None:
    objective = TrainConfig(method, augment=name).objective(1, 0.0)  # type: ignore[arg-type]
    images, labels = torch.rand(2 * 8, 3, 16, 16), (torch.arange(8) % 4).repeat(2)
    torch.manual_seed(0)
    assert torch.isfinite(objective.loss(SmallNetwork(), images, labels, 0, rng()))
    assert objective.resume_key["strategy"] == name


def test_the_config_fills_in_defaults() -> None:
    assert TrainConfig().objective(1, 0.1) == CrossEntropy(0.1)
    assert TrainConfig("ait").objective(1, 0.0) == InvariantObjective("ait", (CROP, CROP), 1.0)
    assert TrainConfig().objective(1, 0.0, (1.0, 2.0)) == CrossEntropy(class_weights=(1.0, 2.0))
    expected = InvariantObjective("ait", (CROP, CROP), 1.0, class_weights=(1.0, 2.0))
    assert TrainConfig("ait").objective(1, 0.0, (1.0, 2.0)) == expected
    assert TrainConfig("multi-ait", "rg").objective(3, 0.0).shifted == (False,) * 3
    two = TrainConfig("ait", "rp,rgc", augment="augmix").objective(1, 0.0)
    assert two == InvariantObjective("ait", parse_variants("rp,rgc"), 1.0, augmentation=AUGMIX)
    assert two.shifted == (True, False)
    assert TrainConfig(variants="rg").objective(1, 0.0) == CrossEntropy(variant=Variant(crop=False, gray=True))
    assert TrainConfig("ait", "rp,rg,rc").objective(1, 0.0).shifted == (True, False, False)


@pytest.mark.parametrize(
    ("config", "num_networks", "message"),
    [
        ({"method": "ait"}, 2, "method ait trains one network; .* 2"),
        ({"method": "dml"}, 1, "method dml trains two or more networks; .* 1"),
        (
            {"method": "multi-ait", "variants": "rp,rg"},
            3,
            r"method multi-ait takes one variant per network \(3\), or one for all",
        ),
        ({"method": "dml", "variants": "rp,rg"}, 2, "method dml takes one variant;"),
        ({"variants": "rp,rg"}, 1, "method plain takes one variant;"),
        ({"method": "ait", "loss_weight": -1.0}, 1, "loss weight .* at least 0; got -1"),
        ({"method": "ait", "loss_weight": float("nan")}, 1, "loss weight .* got nan"),
        ({"loss_weight": 1.0}, 1, "method plain has no AiLoss"),
        ({"method": "dml", "metric": "kl"}, 2, "go with method ait"),
    ],
)
def test_values_that_do_not_go_together_are_refused(config: dict[str, object], num_networks: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TrainConfig(**config).objective(num_networks, 0.0)  # type: ignore[arg-type]
