"""Finetunes a network of your own with the feature-map loss in a loop of your own: python research_losses.py."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from allweather.trainers import (
    COMBINATIONS,
    augment,
    augmentation_strengths,
    feature_map_loss,
    render_signs,
    run_pair,
)

GAMMA = (
    0.3  # weight of the loss for the pair, as `allweather finetune --method fma` has it; --gamma search looks for it
)


def signs(split: str, count: int) -> tuple[Tensor, Tensor]:
    """Returns drawn road signs: float [n, 3, 32, 32] in 0..1, and labels of 16 classes, int64 [n]."""
    images, labels = render_signs(split, count=count)
    return torch.from_numpy(images).permute(0, 3, 1, 2) / 255, torch.from_numpy(labels)


def accuracy(images: Tensor) -> float:
    """Returns the share of test images that the network classifies correctly."""
    with torch.no_grad():
        return float((network.eval()(images).argmax(1) == test_labels).float().mean())


torch.manual_seed(0)
(images, labels), (val, val_labels), (test, test_labels) = signs("train", 1600), signs("val", 160), signs("test", 480)
sides = zip((3, 32, 64), (32, 64, 96), strict=True)  # the channels of three layers
blocks = [nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.SiLU()) for i, o in sides]
network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(4 * 96, 16))
optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
strengths: dict[str, float] = {}
for epoch in range(10):
    if epoch == 7:  # the network is trained; now it learns to see the same in dark and blurred images
        strengths = augmentation_strengths(network, val, val_labels, points=10).parameters
        names, rng = COMBINATIONS["combined-"], torch.Generator().manual_seed(0)
        dark = augment(test, names, strengths, rng)
        print(f"accuracy before: clean {accuracy(test):.3f}, dark {accuracy(dark):.3f}")
    network.train()
    for rows in torch.randperm(len(images)).split(64):
        clean = images[rows]
        if strengths:
            outputs = run_pair(network, clean, augment(clean, names, strengths, rng))
            loss = cross_entropy(outputs.clean, labels[rows]) + GAMMA * feature_map_loss(outputs.maps)
        else:
            loss = cross_entropy(network(clean), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
print(f"accuracy after:  clean {accuracy(test):.3f}, dark {accuracy(dark):.3f}")
