"""A classifier: a network with the normalization of its input inside, which takes pixels in 0..1 and returns logits."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from allweather.runtimes.preprocess import InputSpec


class Normalize(nn.Module):
    """Normalizes each channel: (x - mean) / std. The constants are buffers, so they move and export with the model.

    Args:
        mean: Mean of each channel, on the scale of pixels in 0..1.
        std: Standard deviation of each channel, on the same scale.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes float [n, 3, h, w] in 0..1; the shape stays."""
        return (x - self.mean) / self.std


class Classifier(nn.Module):
    """A network with the normalization of its input inside.

    Args:
        network: Maps normalized images, float [n, 3, h, w], to logits, float [n, C].
        spec: Input of the network; its mean and std make the normalization.
    """

    def __init__(self, network: nn.Module, spec: InputSpec) -> None:
        super().__init__()
        self.normalize = Normalize(spec.mean, spec.std)
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        """Maps RGB images, float [n, 3, h, w] in 0..1, to logits, float [n, C]."""
        out: Tensor = self.network(self.normalize(x))
        return out


def weights_digest(model: nn.Module) -> str:
    """Returns a short SHA-256 digest, 16 hexadecimal digits, of all weights and buffers in a model's state dict."""
    digest = hashlib.sha256()
    for value in model.state_dict().values():
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
