"""The study of experts: a folded expert is the network under its statistics, and what is kept is what gains."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.batches import to_float
from allweather.trainers.inference.forward import logits
from allweather.trainers.models.registry import build_model

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks" / "experts"


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the study chooses with."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("expert_choice")


@pytest.mark.slow
def test_a_folded_expert_is_the_network_under_its_statistics(part: ModuleType) -> None:
    models = importlib.import_module("expert_models")
    torch.manual_seed(0)
    network = build_model("resnet20", 3, InputSpec(32, 32)).eval()
    images = torch.randint(0, 256, (60, 32, 32, 3), dtype=torch.uint8)  # more than a batch, less than two
    source = models.statistics(network)
    bank = models.statistics_of(network, (images // 3).numpy())
    mixed = models.Mix(1, 0.5).apply(source, bank)
    torch.testing.assert_close(mixed[0], bank[0])
    torch.testing.assert_close(mixed[-1][0], (source[-1][0] + bank[-1][0]) / 2)
    experts = models.Experts(network, {"source": source, "dark": mixed}, 32, "f32")
    found = {name: experts.run(name, images.numpy()) for name in ("source", "dark")}
    np.testing.assert_allclose(found["source"], logits(network, images), rtol=1e-3, atol=1e-4)
    layers = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    for layer, (mean, variance) in zip(layers, mixed, strict=True):
        layer.running_mean, layer.running_var = mean, variance
    with torch.no_grad():
        expected = network(to_float(images))
    np.testing.assert_allclose(found["dark"], expected, rtol=1e-3, atol=1e-4)
    run = models.PairLogits(images.numpy(), experts, 3)
    flipped = models.Pair("identity", "dark").flipped
    rows = np.array([59, 0])
    np.testing.assert_allclose(run(flipped, rows), experts.run("dark", images.flip(2).numpy())[rows], rtol=1e-5)


def test_experts_are_kept_by_what_they_gain_where_others_are_worse(part: ModuleType) -> None:
    cells = np.arange(400) % 4
    losses = np.full((400, 4), 2.0)
    losses[cells == 0, 1] = losses[cells == 1, 1] = 0.0  # this one is good in two cells
    losses[cells == 0, 2] = losses[cells == 1, 2] = 0.1  # and this one in the same
    losses[cells == 2, 3] = 0.0
    assert part.greedy_columns(losses, cells, 3) == [0, 1, 3]
    assert part.greedy_columns(losses, cells, 4, [2]) == [2, 3, 1, 0]  # none is kept twice, though it gains nothing
    assert part.best_columns(losses, cells, [0, 1, 3]) == {0: 1, 1: 1, 2: 2, 3: 0}


def test_a_pair_that_cannot_be_told_from_the_image_is_not_kept(part: ModuleType) -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2000, 3))
    seen, unseen = features[:, 0] > 0, rng.random(2000) < 0.3
    losses = np.stack([np.ones(2000), np.where(seen, 0.2, 2.0), np.where(unseen, 0.0, 2.5)], 1)
    kept, curve = part.greedy_pairs(losses, features, 3)  # the last is the best for some images, by chance alone
    assert kept == [0, 1]
    assert curve[0] == 1  # and no third one, as the last gains nothing
    assert curve[1] < 0.75


@pytest.mark.slow
def test_a_router_learns_the_noise_of_an_image(part: ModuleType) -> None:
    torch.manual_seed(0)
    classifier = build_model("resnet20", 3, InputSpec(32, 32)).eval()
    noisy = torch.arange(200) % 2
    images = (128 + noisy[:, None, None, None] * 40 * torch.randn(200, 32, 32, 3)).clamp(0, 255).to(torch.uint8)
    for convolutions, size in ((1, 32), (5, 160)):
        features = part.EarlyFeatures(classifier, convolutions)
        assert part.features_of(features, images[:3].numpy()).shape == (3, size)
        router = part.Router(features, images, noisy, 2)
        torch.testing.assert_close(logits(router, images).argmin(1), noisy)
