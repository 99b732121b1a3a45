"""View losses: their values, shards that are resumed, and folders of other losses."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system import memory
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS
from allweather.trainers.corruptions.corruption import FAMILIES
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.dataset import Split
from allweather.trainers.data.streamed import FileSource, StreamedSplit
from allweather.trainers.data.streamed.damaged_images import DamagedImages
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.methods.loss_predictor import corrupted_shard, view_losses
from allweather.trainers.methods.loss_predictor.corrupted_shard import images_per_shard
from allweather.trainers.methods.loss_predictor.view_losses import compute_view_losses
from allweather.trainers.training.launch import launch

SPEC = InputSpec(16, 16)


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (23, 32, 32, 3), dtype=np.uint8)
    return Split(torch.from_numpy(images), torch.from_numpy(rng.integers(0, 3, 23)))


def classifier(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 3))


def frozen(seed: int = 0) -> FrozenClassifier:
    return FrozenClassifier.of_module(classifier(seed), torch.device("cpu"))


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (corrupted_shard, view_losses):
        monkeypatch.setattr(module, "SHARD_IMAGES", 10)


def test_losses_are_those_of_the_classifier_on_each_view(split: Split, tmp_path: Path) -> None:
    targets = compute_view_losses(
        frozen(), split, InputSpec(32, 32), CopySettings(copies=3, clean=0.2), tmp_path, fabric=launch()
    )
    assert targets.losses.shape == (69, 12)
    assert targets.source.bincount().tolist() == [3] * 23
    for column, view in enumerate(VIEWS.values()):
        images = torch.from_numpy(np.stack([view.apply(image) for image in targets.images.numpy()]))
        outputs = logits(classifier(), images)
        expected = nn.functional.cross_entropy(outputs, split.labels[targets.source], reduction="none")
        assert torch.allclose(targets.losses[:, column], expected, atol=1e-5)
        assert torch.equal(targets.correct[:, column], outputs.argmax(1) == split.labels[targets.source])
    same = (targets.images == split.images[targets.source]).flatten(1).all(1)
    assert 3 < int(same.sum()) < 30  # the clean ones


def test_images_have_the_input_size_of_the_predictor(split: Split, tmp_path: Path) -> None:
    targets = compute_view_losses(frozen(), split, SPEC, CopySettings(copies=1, clean=1.0), tmp_path, fabric=launch())
    assert targets.images.shape == (23, 16, 16, 3)
    assert np.array_equal(targets.images[5].numpy(), SPEC.prepare(split.images[5].numpy()))


@pytest.mark.slow
def test_shards_are_resumed_and_damaged_ones_are_computed_again(split: Split, tmp_path: Path) -> None:
    expected = compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path / "expected", fabric=launch())

    class StoppedError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        assert total == 3
        if done == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path / "resumed", fabric=launch(), watch=stop)
    first, second = sorted((tmp_path / "resumed").iterdir())
    second.write_bytes(second.read_bytes()[:100])
    kept = first.stat().st_mtime_ns
    resumed = compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path / "resumed", fabric=launch())
    assert first.stat().st_mtime_ns == kept
    assert torch.equal(resumed.losses, expected.losses)
    assert torch.equal(resumed.images, expected.images)


def test_folds_share_no_image(split: Split, tmp_path: Path) -> None:
    others, fold = compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path, fabric=launch()).split_fold(1)
    assert len(others) + len(fold) == 46
    assert len(fold) == 10
    assert not set(others.source.tolist()) & set(fold.source.tolist())


def test_a_corruption_family_can_be_excluded(split: Split, tmp_path: Path) -> None:
    targets = compute_view_losses(frozen(), split, SPEC, CopySettings(copies=5), tmp_path, fabric=launch())
    kept = [targets.exclude_family(family) for family in FAMILIES]
    assert sum(len(targets) - len(others) for others in kept) == int((targets.corruption >= 0).sum()) > 80
    for others, family in zip(kept, FAMILIES, strict=True):
        families = {CORRUPTIONS[COMMON[index]].family for index in others.corruption.tolist() if index >= 0}
        assert families <= {*FAMILIES} - {family}
        assert (others.corruption == -1).sum() == (targets.corruption == -1).sum()
    clean = targets.take((targets.corruption == -1).nonzero()[:, 0])
    assert np.array_equal(clean.images[0], SPEC.prepare(split.images[clean.source[0]].numpy()))
    with pytest.raises(UsageError, match=r"'fog'.* noise, blur, weather, digital"):
        targets.exclude_family("fog")


def test_losses_of_something_else_are_refused(split: Split, tmp_path: Path) -> None:
    compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="another classifier"):
        compute_view_losses(frozen(1), split, SPEC, CopySettings(), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="other copy settings"):
        compute_view_losses(frozen(), split, SPEC, CopySettings(seed=1), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="other input"):
        compute_view_losses(frozen(), split, InputSpec(32, 32), CopySettings(), tmp_path, fabric=launch())
    with pytest.raises(UsageError, match="other images"):
        compute_view_losses(
            frozen(), Split(255 - split.images, split.labels), SPEC, CopySettings(), tmp_path, fabric=launch()
        )


@pytest.mark.slow
def test_results_do_not_depend_on_the_number_of_threads(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corrupted_shard, "VIEW_IMAGES", 3)
    tables = []
    for threads in (1, 2, 5):
        monkeypatch.setattr(corrupted_shard, "usable_cores", lambda threads=threads: threads)
        folder = tmp_path / str(threads)
        tables.append(compute_view_losses(frozen(), split, SPEC, CopySettings(), folder, fabric=launch()))
    for table in tables[1:]:
        for name in view_losses.TENSORS:
            assert torch.equal(getattr(table, name), getattr(tables[0], name))


def test_a_shard_is_smaller_where_its_copies_would_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrupted_shard, "SHARD_IMAGES", 500)
    assert {images_per_shard((side, side), copies) for side in (16, 32, 64) for copies in (1, 2, 100)} == {500}
    assert images_per_shard((224, 224), 2) == 500
    for side, copies in ((224, 5), (512, 2), (1024, 2), (1024, 100)):
        count = images_per_shard((side, side), copies)
        assert 1 <= count < 500
        assert count == 1 or count * copies * side * side * 3 <= 256e6


def test_shards_of_another_size_are_refused(split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path, fabric=launch())
    monkeypatch.setattr(view_losses, "images_per_shard", lambda size, copies: 5)
    with pytest.raises(UsageError, match="other shard size"):
        compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path, fabric=launch())


def streamed(split: Split, folder: Path) -> StreamedSplit:
    """The same images as files without loss, decoded when they are needed."""
    paths = [folder / f"{index}.png" for index in range(len(split))]
    for path, image in zip(paths, split.images.numpy(), strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    source = FileSource(paths)
    return StreamedSplit(source, DamagedImages(source), np.arange(len(paths)), split.labels, InputSpec(32, 32))


@pytest.mark.slow
def test_streamed_images_give_the_same_shards_without_those_that_cannot_be_read(split: Split, tmp_path: Path) -> None:
    files = streamed(split, tmp_path)
    settings = CopySettings(clean=1.0)
    expected = compute_view_losses(frozen(), split, SPEC, settings, tmp_path / "memory", fabric=launch())
    whole = compute_view_losses(frozen(), files, SPEC, settings, tmp_path / "whole", fabric=launch())
    for name in view_losses.TENSORS:
        assert torch.equal(getattr(whole, name), getattr(expected, name))
    lost = {4, 20, 21, 22}  # one of the first shard, and all of the last one
    for index in lost:
        (tmp_path / f"{index}.png").write_bytes(b"lost")
    with pytest.raises(UsageError, match="other images"):
        compute_view_losses(frozen(), files, SPEC, settings, tmp_path / "whole", fabric=launch())
    rest = compute_view_losses(frozen(), files, SPEC, settings, tmp_path / "rest", fabric=launch())
    kept = torch.tensor([int(row) not in lost for row in expected.source])
    assert set(rest.source.tolist()) == set(range(23)) - lost
    assert torch.equal(rest.images, expected.images[kept])
    assert torch.allclose(rest.losses, expected.losses[kept], atol=1e-5)
    assert torch.equal(rest.correct, expected.correct[kept])


def test_a_split_of_which_nothing_can_be_read_is_refused(split: Split, tmp_path: Path) -> None:
    files = streamed(split, tmp_path)
    for path in tmp_path.glob("*.png"):
        path.write_bytes(b"lost")
    with pytest.raises(DataError, match="none of the images can be read"):
        compute_view_losses(frozen(), files, SPEC, CopySettings(), tmp_path / "losses", fabric=launch())


def test_images_are_on_disk_where_they_do_not_fit_into_memory(
    split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path / "memory", fabric=launch())
    monkeypatch.setattr(memory, "MAX_MEMORY_SHARE", 0.0)
    on_disk: list[int] = []
    fallocate = os.posix_fallocate
    monkeypatch.setattr(os, "posix_fallocate", lambda *args: (on_disk.append(args[2]), fallocate(*args)))
    table = compute_view_losses(frozen(), split, SPEC, CopySettings(), tmp_path / "disk", fabric=launch())
    assert table.images.numel() in on_disk
    for part, expected_part in zip(table.split_fold(), expected.split_fold(), strict=True):
        assert part.images.numel() in on_disk
        for name in view_losses.TENSORS:
            assert torch.equal(getattr(part, name), getattr(expected_part, name))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"copies": 0}, "copies.* 1 to 100; got 0"),
        ({"clean": 1.5}, "clean.* 0 to 1; got 1.5"),
        ({"clean": float("nan")}, "got nan"),
    ],
)
def test_invalid_settings(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        CopySettings(**settings)  # type: ignore[arg-type]
