"""Measures how robust a network of your own is to common corruptions: python research_corruptions.py."""

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from allweather.evaluation import mean_corruption_error
from allweather.trainers import CorruptionTransform, corrupt, render_signs

NAMES = ("gaussian_noise", "defocus_blur", "fog", "contrast")  # some of the nineteen, to keep the sample short


def signs(split: str, count: int) -> tuple[Tensor, Tensor]:
    """Returns drawn road signs: uint8 [n, 3, 32, 32], and labels of 16 classes, int64 [n]."""
    images, labels = render_signs(split, count=count)
    return torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


def train(transform: nn.Module) -> nn.Module:
    """Trains a small network on transformed images."""
    torch.manual_seed(0)
    blocks = [nn.Sequential(nn.Conv2d(i, o, 3, 2, 1), nn.BatchNorm2d(o), nn.ReLU()) for i, o in ((3, 32), (32, 64))]
    network = nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * 64, 16))
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    for _ in range(6):
        for rows in torch.randperm(len(images)).split(32):
            loss = cross_entropy(network(transform(images[rows]) / 255), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network.eval()


@torch.no_grad()
def errors(network: nn.Module) -> dict[str, float]:
    """Returns the mean error over the severities of each corruption."""
    found = {}
    for name in NAMES:
        sets = [corrupt(test, name, severity=severity, seed=0) / 255 for severity in range(1, 6)]
        wrong = [(network(each).argmax(1) != test_labels).float().mean() for each in sets]
        found[name] = float(torch.stack(wrong).mean())
    return found


(images, labels), (test, test_labels) = signs("train", 1280), signs("test", 320)
plain, robust = errors(train(nn.Identity())), errors(train(CorruptionTransform("fog", severity=(1, 5))))
for name in NAMES:
    print(f"{name:15} plain {plain[name]:.3f}, trained in fog {robust[name]:.3f}")
print(f"mean corruption error against plain: {mean_corruption_error(robust, plain):.1f} %")
