"""Images that show what an augmentation does."""

from __future__ import annotations

import numpy as np
import torch

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.methods.learned_augmentation.visualize import (
    NUM_DRAWS,
    latent_traversal,
    sample_augmentations,
)


def test_images_that_show_an_augmentation(dataset: Dataset) -> None:
    torch.manual_seed(0)
    network = AugmentationNetwork("parallel").eval()
    rows = sample_augmentations(network, dataset.val)
    assert len(rows) == NUM_DRAWS + 1
    assert any((a != b).any() for a, b in zip(rows["draw 1"], rows["draw 2"], strict=True))
    traversal = latent_traversal(network, dataset.val)
    assert list(traversal) == ["image", "warp", "warped", "colors", "result"]
    for images in (*rows.values(), *traversal.values()):
        assert all(image.dtype == np.uint8 and image.shape == (32, 32, 3) for image in images)
