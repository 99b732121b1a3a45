"""BatchNorm statistics that follow a stream of images: adaptation without labels or gradients, for evaluation in torch.

Statistics of the last images are mixed with those of training (Schneider et al. 2020, arXiv:2006.16971, eq. 3).
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

STEP = 10  # images after which the statistics are mixed anew


class FollowingNorm(nn.Module):
    """A BatchNorm layer whose statistics are mixed with those of the last images that it has normalized.

    Args:
        source: The trained layer, in eval mode.
        share: Weight of the last images in the mix, 0..1.
        window: Number of images, a multiple of `STEP`. Until there are as many, their weight is smaller in proportion.
    """

    def __init__(self, source: _BatchNorm, share: float, window: int) -> None:
        super().__init__()
        self.source, self.share = source, share
        self.recent: deque[tuple[Tensor, Tensor]] = deque(maxlen=window // STEP)

    def forward(self, x: Tensor) -> Tensor:
        """Normalizes float [n, C, h, w], and then takes its statistics into account."""
        own = self.source
        mean, variance = own.running_mean, own.running_var
        assert mean is not None
        assert variance is not None
        if self.recent:
            means, squares = (torch.stack(list(each)).mean(0) for each in zip(*self.recent, strict=True))
            share = self.share * len(self.recent) / (self.recent.maxlen or 1)
            mean = (1 - share) * mean + share * means
            variance = (1 - share) * variance + share * (squares - means**2).clamp(min=0)
        self.recent.append((x.mean((0, 2, 3)), x.square().mean((0, 2, 3))))
        return nn.functional.batch_norm(x, mean, variance, own.weight, own.bias, False, 0.0, own.eps)


def following(model: nn.Module, share: float, window: int) -> nn.Module:
    """Returns a copy of a classifier in eval mode whose BatchNorm layers follow the stream."""
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for name, layer in parent.named_children():
            if isinstance(layer, _BatchNorm):
                setattr(parent, name, FollowingNorm(layer, share, window))
    return model


@torch.inference_mode()
def predictions(model: nn.Module, images: Tensor, order: Tensor) -> Tensor:
    """Returns the predicted class of each image, int64 [n], where the model sees them in an order.

    Args:
        model: Classifier of float [n, 3, h, w] in 0..1.
        images: uint8 [n, h, w, 3].
        order: int64 [n], indices of the images in the order of the stream.
    """
    predicted = torch.empty(len(images), dtype=torch.int64)
    for rows in order.split(STEP):
        batch = (images[rows].movedim(-1, 1).float() / 255).contiguous(memory_format=torch.channels_last)
        predicted[rows] = model(batch).argmax(1)
    return predicted


def segments(count: int, length: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Yields runs of consecutive indices below `count`, of a length, in random order."""
    parts = torch.arange(count).split(length)
    for index in torch.randperm(len(parts), generator=generator).tolist():
        yield parts[index]
