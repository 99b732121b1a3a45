"""View losses: what they mean, shards that resume, and folders of something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS
from allweather.trainers.corruptions.sets.corrupted_copies import FAMILIES, CopySettings
from allweather.trainers.data.dataset import Split
from allweather.trainers.methods.loss_predictor import view_losses as module
from allweather.trainers.methods.loss_predictor.view_losses import view_losses
from allweather.trainers.training.inference import logits
from allweather.trainers.training.launch import launch

SEEN = InputSpec(16, 16)


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (23, 32, 32, 3), dtype=np.uint8)
    return Split(torch.from_numpy(images), torch.from_numpy(rng.integers(0, 3, 23)))


def classifier(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SHARD", 10)


def test_losses_are_those_of_the_classifier_on_each_view(split: Split, tmp_path: Path) -> None:
    found = view_losses(
        classifier(), split, InputSpec(32, 32), CopySettings(copies=3, clean=0.2), tmp_path, fabric=launch()
    )
    assert found.losses.shape == (69, 12)
    assert found.source.bincount().tolist() == [3] * 23
    for column, view in enumerate(VIEWS.values()):
        images = torch.from_numpy(np.stack([view.apply(image) for image in found.images.numpy()]))
        answers = logits(classifier(), images)
        wanted = nn.functional.cross_entropy(answers, split.labels[found.source], reduction="none")
        assert torch.allclose(found.losses[:, column], wanted, atol=1e-5)
        assert torch.equal(found.right[:, column], answers.argmax(1) == split.labels[found.source])
    same = (found.images == split.images[found.source]).flatten(1).all(1)
    assert 3 < int(same.sum()) < 30  # the clean ones


def test_a_predictor_sees_less_than_the_classifier(split: Split, tmp_path: Path) -> None:
    found = view_losses(classifier(), split, SEEN, CopySettings(copies=1, clean=1.0), tmp_path, fabric=launch())
    assert found.images.shape == (23, 16, 16, 3)
    assert np.array_equal(found.images[5].numpy(), SEEN.prepare(split.images[5].numpy()))


def test_shards_resume_and_damaged_ones_are_made_again(split: Split, tmp_path: Path) -> None:
    whole = view_losses(classifier(), split, SEEN, CopySettings(), tmp_path / "whole", fabric=launch())

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        view_losses(classifier(), split, SEEN, CopySettings(), tmp_path / "cut", fabric=launch(), watch=stop)
    first, second = sorted((tmp_path / "cut").iterdir())
    second.write_bytes(second.read_bytes()[:100])
    kept = first.stat().st_mtime_ns
    cut = view_losses(classifier(), split, SEEN, CopySettings(), tmp_path / "cut", fabric=launch())
    assert first.stat().st_mtime_ns == kept
    assert torch.equal(cut.losses, whole.losses)
    assert torch.equal(cut.images, whole.images)


def test_folds_share_no_picture(split: Split, tmp_path: Path) -> None:
    rest, fold = view_losses(classifier(), split, SEEN, CopySettings(), tmp_path, fabric=launch()).fold(1)
    assert len(rest) + len(fold) == 46
    assert len(fold) == 10
    assert not set(rest.source.tolist()) & set(fold.source.tolist())


def test_a_family_can_be_left_out(split: Split, tmp_path: Path) -> None:
    found = view_losses(classifier(), split, SEEN, CopySettings(copies=5), tmp_path, fabric=launch())
    kept = [found.without(family) for family in FAMILIES]
    assert sum(len(found) - len(rest) for rest in kept) == int((found.kind >= 0).sum()) > 80
    for rest, family in zip(kept, FAMILIES, strict=True):
        assert {CORRUPTIONS[COMMON[kind]].family for kind in rest.kind.tolist() if kind >= 0} <= {*FAMILIES} - {family}
        assert (rest.kind == -1).sum() == (found.kind == -1).sum()
    clean = found.take((found.kind == -1).nonzero()[:, 0])
    assert np.array_equal(clean.images[0], SEEN.prepare(split.images[clean.source[0]].numpy()))
    with pytest.raises(UsageError, match="family is one of noise, blur, weather, digital; got 'fog'"):
        found.without("fog")


def test_losses_of_something_else_are_refused(split: Split, tmp_path: Path) -> None:
    view_losses(classifier(), split, SEEN, CopySettings(), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="view losses of another classifier"):
        view_losses(classifier(1), split, SEEN, CopySettings(), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="of other corrupting"):
        view_losses(classifier(), split, SEEN, CopySettings(seed=1), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="of other seen"):
        view_losses(classifier(), split, InputSpec(32, 32), CopySettings(), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="of other pictures"):
        view_losses(
            classifier(), Split(255 - split.images, split.labels), SEEN, CopySettings(), tmp_path, fabric=launch()
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"copies": 0}, "copies of a picture are 1 to 100; got 0"),
        ({"clean": 1.5}, "clean share is from 0 to 1; got 1.5"),
        ({"clean": float("nan")}, "got nan"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CopySettings(**given)  # type: ignore[arg-type]
