from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import AllweatherError, DataError, UsageError
from allweather.trainers.tta import apply_view, view_losses

IMAGES = torch.rand(5, 3, 20, 20, generator=torch.Generator().manual_seed(0))
LABELS = torch.tensor([0, 1, 2, 0, 1])
MEAN = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def test_each_column_is_the_cross_entropy_on_a_view() -> None:
    names = ("identity", "color2", "zoom1.2/hflip")
    images, labels = IMAGES.repeat(60, 1, 1, 1), LABELS.repeat(60)  # more than one batch
    table = view_losses(MEAN, images, labels, names)
    expected = [functional.cross_entropy(MEAN(apply_view(images, name)), labels, reduction="none") for name in names]
    torch.testing.assert_close(table, torch.stack(expected, 1))
    assert view_losses(MEAN, IMAGES, LABELS).shape == (5, 12)


@pytest.mark.parametrize(
    ("module", "labels", "kind", "message"),
    [
        (MEAN, LABELS[:4], DataError, r"int64 \[5\], one for each image; got torch.int64 \[4\]"),
        (MEAN, LABELS.float(), DataError, r"got torch.float32 \[5\]"),
        (MEAN, [0, 1, 2, 0, 1], DataError, "got list"),
        (nn.Identity(), LABELS, UsageError, r"gives \[5, 3, 20, 20\]; losses need logits \[5, C\]"),
    ],
)
def test_labels_and_networks_that_cannot_be_used(
    module: nn.Module, labels: Tensor | Any, kind: type[AllweatherError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        view_losses(module, IMAGES, labels)


@pytest.mark.parametrize("label", [-100, -1, 3])
def test_a_label_that_is_no_output_is_told(label: int) -> None:
    labels = LABELS.clone()
    labels[2] = label  # torch returns the loss 0 for -100
    with pytest.raises(DataError, match=rf"labels are 0 to 2 for the 3 outputs of the network; got {label}$"):
        view_losses(MEAN, IMAGES, labels)


@pytest.mark.parametrize("views", [[], "hflip"])
def test_views_that_are_no_list_are_told(views: Any) -> None:
    with pytest.raises(UsageError, match="views are a list of names"):
        view_losses(MEAN, IMAGES, LABELS, views)


@pytest.mark.parametrize(("images", "message"), [(IMAGES.numpy(), "got ndarray"), (IMAGES[0], "images are a batch")])
def test_images_that_are_no_batch_are_told(images: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        view_losses(MEAN, images, LABELS)
