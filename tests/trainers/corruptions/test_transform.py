"""The corruption as a transform of torchvision behaves as torchvision's own transforms do."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from allweather.runtimes.errors import UsageError
from allweather.trainers.corruptions.any_image import corrupt
from allweather.trainers.corruptions.transform import CorruptionTransform
from allweather.trainers.torchvision_import import import_torchvision

v2, tv_tensors = import_torchvision("transforms.v2"), import_torchvision("tv_tensors")
IMAGE = torch.linspace(0, 1, 3 * 20 * 30).reshape(3, 20, 30)


def test_in_a_pipeline_the_image_is_corrupted_and_the_label_stays() -> None:
    pipeline = v2.Compose([CorruptionTransform("fog", severity=5), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    image, label = pipeline(Image.fromarray((255 * IMAGE).byte().permute(1, 2, 0).numpy()), 4)
    assert image.shape == (3, 20, 30)
    assert label == 4
    assert not torch.allclose(image, IMAGE, atol=0.1)


def test_boxes_masks_and_second_tensors_stay() -> None:
    sample = {
        "image": tv_tensors.Image(IMAGE),
        "mask": tv_tensors.Mask(torch.ones(20, 30, dtype=torch.uint8)),
        "boxes": tv_tensors.BoundingBoxes([[1, 2, 3, 4]], format="XYXY", canvas_size=(20, 30)),
        "weights": torch.rand(7),
    }
    out = CorruptionTransform("gaussian_noise", 5)(sample)
    assert type(out["image"]) is tv_tensors.Image
    assert not torch.equal(out["image"], sample["image"])
    assert all(out[name] is sample[name] for name in ("mask", "boxes", "weights"))


def test_torch_s_generator_decides_and_severities_are_drawn_from_the_whole_range() -> None:
    transform = CorruptionTransform("brightness", severity=(2, 4))
    expected = {severity: corrupt(IMAGE, "brightness", severity) for severity in (2, 3, 4)}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        outs = [transform(IMAGE) for _ in range(40)]
        torch.manual_seed(0)
        assert torch.equal(outs[0], transform(IMAGE))
    found = {name for out in outs for name, each in expected.items() if torch.equal(out, each)}
    assert found == {2, 3, 4}
    assert all(any(torch.equal(out, each) for each in expected.values()) for out in outs)


def test_images_of_one_sample_get_the_same_corruption() -> None:
    left, right = CorruptionTransform("shot_noise", 3)(tv_tensors.Image(IMAGE), tv_tensors.Image(IMAGE))
    assert torch.equal(left, right)


class OneImage(Dataset[Any]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return CorruptionTransform("shot_noise", 3)(IMAGE)


@pytest.mark.slow
def test_workers_of_a_data_loader_draw_different_noise() -> None:
    """A generator of numpy would be copied into every worker, which then draw the same."""
    batches = [*DataLoader(OneImage(), batch_size=1, num_workers=2)]
    for index, batch in enumerate(batches):
        assert not any(torch.equal(batch, other) for other in batches[:index])


def test_it_can_be_copied_and_printed() -> None:
    transform = copy.deepcopy(CorruptionTransform("snow", 2))
    assert repr(transform) == "CorruptionTransform('snow', severity=2)"
    assert repr(CorruptionTransform("snow")) == "CorruptionTransform('snow', severity=(1, 5))"


@pytest.mark.parametrize("severity", [0, 6, (4, 2), (1, 2, 3), (), (1,), "3", (0, 5), 2.5, None])
def test_severities_that_are_none(severity: Any) -> None:
    with pytest.raises(UsageError, match="severit"):
        CorruptionTransform("fog", severity)


def test_an_unknown_name_and_a_sample_without_an_image() -> None:
    with pytest.raises(UsageError, match="motion_blur"):
        CorruptionTransform("motionblur")
    with pytest.raises(UsageError, match=r"takes PIL images and tensors, and got int, ndarray; numpy arrays go to"):
        CorruptionTransform("fog")(np.zeros((20, 20, 3), np.uint8), 1)
