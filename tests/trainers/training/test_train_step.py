from __future__ import annotations

import dataclasses
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from torch.amp import GradScaler

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.training.settings import FitSettings


def random_data(count: int = 25) -> Dataset:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (count, 16, 16, 3), dtype=torch.uint8, generator=rng)
    train = Split(images, torch.randint(0, 3, (count,), generator=rng))
    return Dataset("random", ("a", "b", "c"), train, train, train, hflip=True)


def without_batch_norm() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2), nn.GroupNorm(2, 8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 3)]
    return Classifier(nn.Sequential(*layers), InputSpec(16, 16))


@hypothesis_settings(max_examples=4, deadline=None)
@given(
    st.sampled_from([2, 3, 4, 6, 12]),
    st.sampled_from(["sgd", "adamw"]),
    st.sampled_from([None, 0.2]),
    st.sampled_from(["none", "balanced"]),
)
@pytest.mark.slow
def test_a_batch_in_parts_is_the_same_step(
    parts: int, optimizer: str, clip_norm: float | None, class_weights: str
) -> None:
    settings = FitSettings(
        epochs=1, batch_size=12, optimizer=optimizer, clip_norm=clip_norm, class_weights=class_weights
    )
    fabric = launch(precision="fp32")
    whole, expected = fit(without_batch_norm(), random_data(), settings, 0.01, fabric=fabric)
    accumulated = dataclasses.replace(settings, accumulate=parts)
    model, history = fit(without_batch_norm(), random_data(), accumulated, 0.01, fabric=fabric)
    for key, value in whole.state_dict().items():
        torch.testing.assert_close(model.state_dict()[key], value, rtol=1e-3, atol=1e-4)
    assert [row.loss for row in history] == pytest.approx([row.loss for row in expected], rel=1e-4)
    assert [row.lr for row in history] == [row.lr for row in expected]


def fp16() -> Fabric:
    """Returns a Fabric with what it has for fp16 on GPUs, which torch can do on a CPU, too."""
    fabric = Fabric(accelerator="cpu", devices=1, plugins=[MixedPrecision("16-mixed", "cpu")])
    fabric.launch()
    return fabric


@pytest.mark.parametrize("clip_norm", [None, 0.5])
@pytest.mark.slow
def test_a_run_in_fp16_scales_its_loss_and_resumes_exactly(tmp_path: Path, clip_norm: float | None) -> None:
    class StoppedError(Exception):
        pass

    def stop(progress: Progress) -> None:
        if progress.report is None and progress.step == 7:
            raise StoppedError

    settings, data = FitSettings(epochs=6, batch_size=12, clip_norm=clip_norm, accumulate=2), random_data()
    fabric = fp16()
    fabric._precision.scaler = scaler = GradScaler("cpu", init_scale=2.0**30)  # the first steps overflow
    expected, history = fit(without_batch_norm(), data, settings, 0.02, fabric=fabric)
    assert 1 < scaler.get_scale() < 2.0**30
    assert history[-1].loss < history[0].loss
    resume = tmp_path / "run.resume"
    for watch in (stop, lambda progress: None):
        fabric = fp16()
        fabric._precision.scaler = GradScaler("cpu", init_scale=2.0**30)
        with suppress(StoppedError):
            trained, _ = fit(without_batch_norm(), data, settings, 0.02, fabric=fabric, resume=resume, watch=watch)
    for key, value in expected.state_dict().items():
        assert torch.equal(trained.state_dict()[key], value), key


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = without_batch_norm()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.inner(images).detach()


def test_a_loss_without_a_gradient_is_told() -> None:
    settings = FitSettings(epochs=1, batch_size=12)
    with pytest.raises(UsageError, match="the network detaches its outputs"):
        fit(Detached(), random_data(), settings, 0.02, fabric=launch())
    with torch.no_grad(), pytest.raises(UsageError, match=r"torch.no_grad\(\)"):
        fit(without_batch_norm(), random_data(), settings, 0.02, fabric=launch())
