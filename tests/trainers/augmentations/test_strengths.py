from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from allweather.runtimes.errors import AllweatherError, DataError, TrainingError, UsageError
from allweather.trainers.augmentations.photometric import AUGMENTATIONS, COMBINATIONS
from allweather.trainers.augmentations.strengths import augmentation_strengths, augmented_accuracy, find_strengths
from allweather.trainers.data.dataset import Split


class BrightnessAndColor(nn.Module):
    """Tells bright from dark images, and colored from gray ones: four classes."""

    def forward(self, x: Tensor) -> Tensor:
        bright = (x.mean((1, 2, 3)) > 0.5).float()
        colored = ((x.amax(1) - x.amin(1)).mean((1, 2)) > 0.08).float()
        return nn.functional.one_hot((2 * bright + colored).long(), 4).float()


def labelled_images(count: int = 3000) -> Split:
    """Returns images of every mean brightness, half of them gray, with the labels of `BrightnessAndColor`."""
    rng = torch.Generator().manual_seed(0)
    level = torch.rand(count, 1, 1, 1, generator=rng)
    color = 0.6 * (torch.rand(count, 1, 1, 3, generator=rng) - 0.5) * (torch.arange(count) % 2)[:, None, None, None]
    texture = 0.3 * (torch.rand(count, 16, 16, 1, generator=rng) - 0.5)
    images = ((level + color + texture).clamp(0, 1) * 255).round().to(torch.uint8)
    labels = BrightnessAndColor()(images.permute(0, 3, 1, 2) / 255).argmax(1)
    return Split(images, labels)


@pytest.mark.slow
def test_each_augmentation_costs_the_requested_accuracy_or_is_at_its_limit() -> None:
    search = find_strengths(BrightnessAndColor(), labelled_images(), 0.1)
    assert search.clean_accuracy == 1
    assert [each.name for each in search.strengths] == [*AUGMENTATIONS, *COMBINATIONS]
    for each in search.strengths[:7]:
        assert each.parameter is not None
        accuracy = augmented_accuracy(
            BrightnessAndColor(), labelled_images(), (each.name,), {each.name: each.parameter}
        )
        assert accuracy == each.accuracy
        if each.reached:
            assert accuracy == pytest.approx(0.9, abs=0.004), each
        else:
            assert each.parameter == AUGMENTATIONS[each.name].limit
            assert accuracy > 0.9
    reached = {each.name for each in search.strengths if each.reached}
    assert {"brightness+", "brightness-", "saturation-"} <= reached
    assert "gaussian_blur" not in reached  # blur changes no means
    assert set(search.parameters) == set(AUGMENTATIONS)


@pytest.mark.slow
def test_an_accuracy_drop_that_cannot_be_reached_is_an_error() -> None:
    data = labelled_images(400)
    with pytest.raises(UsageError, match="above 0 and below 100; got 0"):
        find_strengths(BrightnessAndColor(), data, 0)
    constant = Split(data.images, torch.zeros(400, dtype=torch.int64))
    with pytest.raises(TrainingError, match=r"cannot lose 10 points.*train it first"):
        find_strengths(BrightnessAndColor(), constant, 0.1)

    class IgnoresImages(nn.Module):
        """Predicts from the index in the batch alone."""

        def forward(self, x: Tensor) -> Tensor:
            return nn.functional.one_hot(torch.arange(len(x)) % 2, 2).float()

    alternating = Split(data.images, torch.arange(400) % 2)
    with pytest.raises(TrainingError, match="no augmentation costs this classifier 10 points"):
        find_strengths(IgnoresImages(), alternating, 0.1)


@pytest.mark.slow
def test_images_in_torch_s_form_give_the_same_strengths() -> None:
    split = labelled_images(600)
    images = split.images.permute(0, 3, 1, 2)
    expected = find_strengths(BrightnessAndColor(), split, 0.2)
    assert augmentation_strengths(BrightnessAndColor(), images, split.labels, points=20) == expected
    assert augmentation_strengths(BrightnessAndColor(), images / 255, split.labels, points=20) == expected


IMAGES, LABELS = torch.rand(4, 3, 16, 16), torch.arange(4)


@pytest.mark.parametrize(
    ("model", "images", "labels", "points", "kind", "message"),
    [
        (BrightnessAndColor(), IMAGES, LABELS, 0, UsageError, "above 0 and below 100; got 0"),
        (BrightnessAndColor(), IMAGES, LABELS, "10", UsageError, "are a number, such as 10; got '10'"),
        (BrightnessAndColor(), 3 * IMAGES, LABELS, 10, DataError, r"in 0\.\.1"),
        (BrightnessAndColor(), IMAGES, LABELS[:3], 10, DataError, "a label for each image; got 4 and 3"),
        (BrightnessAndColor(), IMAGES, [0, 1, 2, 3], 10, DataError, "the labels of a split are a torch tensor"),
        (BrightnessAndColor(), IMAGES, LABELS + 1, 10, UsageError, "labels are 0 to 3 .* got 4"),
        (BrightnessAndColor(), IMAGES, LABELS - 1, 10, UsageError, "labels are 0 to 3 .* got -1"),
        (nn.Identity(), IMAGES, LABELS, 10, UsageError, r"gives \[2, 3, 16, 16\] for two images"),
    ],
)
def test_a_search_that_cannot_begin(
    model: nn.Module, images: Any, labels: Any, points: Any, kind: type[AllweatherError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        augmentation_strengths(model, images, labels, points=points)
    assert "\n" not in str(caught.value)
