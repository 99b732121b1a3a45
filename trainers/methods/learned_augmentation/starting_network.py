"""The augmentation network as it starts: with random or pre-trained weights, and the statistics that go with them."""

from __future__ import annotations

import copy

import torch
from torch import nn

from allweather.trainers.augmentations.learned.networks import AugmentationNetwork
from allweather.trainers.data.batches import to_float
from allweather.trainers.data.dataset import LabeledImages

BATCHES, BATCH_SIZE = 16, 128  # deviations are then known to 2 %


def with_statistics(
    network: AugmentationNetwork, train: LabeledImages, seed: int, device: torch.device
) -> AugmentationNetwork:
    """Returns a copy whose normalization has the statistics of its outputs for random training images.

    In training the network normalizes over its batch. A network that has not been trained has no statistics, without
    which it would return other parameters for the same images.

    Args:
        network: The network; it is not changed.
        train: The training images, of which each can be read.
        seed: Random seed of the choice of images and of the dropout.
        device: Device to compute on.

    Returns:
        The copy on that device, in eval mode.
    """
    # in the memory format of the training loop, as a run that is resumed after it would get other last digits
    fitted: AugmentationNetwork = copy.deepcopy(network).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    fitted.train()
    rng = torch.Generator(device).manual_seed(seed)
    norms = [module for module in fitted.modules() if isinstance(module, nn.BatchNorm1d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    order = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _ in range(BATCHES):
            indices = torch.randint(len(train), (BATCH_SIZE,), generator=order).to(train.labels.device)
            (batch,) = train.take(indices).batches(BATCH_SIZE)
            fitted(to_float(batch.images.to(device)), rng)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return fitted.eval()
