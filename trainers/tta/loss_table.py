"""The table that a loss predictor learns from: a classifier's loss on every view of every image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.image_tensors import check_image_tensor, check_several_classes
from allweather.trainers.tta.tensor_views import ImageBatch

BATCH_SIZE = 256  # images that are classified at a time


@torch.no_grad()
def view_losses(module: nn.Module, images: Tensor, labels: Tensor, views: Sequence[str] = tuple(VIEWS)) -> Tensor:
    """Computes a classifier's cross-entropy on views of images, without gradients.

    Args:
        module: float [n, 3, h, w], RGB in 0..1 -> logits, float [n, C], on the device of the images, in eval mode.
        images: RGB, [n, 3, h, w], uint8 or float in 0..1.
        labels: int64 [n], 0..C-1.
        views: Names of the views.

    Returns:
        float32 [n, len(views)], in nats.

    Raises:
        UsageError: A view is unknown, or the network gives no logits [n, C].
        DataError: The images are of another form, or there is not one label for each, that of an output.
    """
    check_image_tensor(images)
    if images.dim() != 4:
        raise DataError(f"images are a batch, [n, 3, h, w]; got {list(images.shape)}: images[None] is one of one image")
    if not isinstance(labels, Tensor) or labels.dtype != torch.int64 or labels.shape != images.shape[:1]:
        came = f"{labels.dtype} {list(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        raise DataError(f"labels are a tensor, int64 [{len(images)}], one for each image; got {came}")
    if not callable(module):
        raise UsageError(f"module is a network or a function of images; got {type(module).__name__}")
    if isinstance(views, str) or not views:
        raise UsageError(f"views are a list of names, such as ['identity', 'hflip']; got {views!r:.40}")
    tables = []
    for part, targets in zip(torch.split(images, BATCH_SIZE), torch.split(labels, BATCH_SIZE), strict=True):
        batch = ImageBatch(part)
        columns = [
            functional.cross_entropy(_logits(module, batch, name, targets), targets, reduction="none") for name in views
        ]
        tables.append(torch.stack(columns, 1))
    return torch.cat(tables)


def _logits(module: nn.Module, batch: ImageBatch, name: str, labels: Tensor) -> Tensor:
    out = module(batch.view(name).to(batch.dtype))
    if not isinstance(out, Tensor) or out.dim() != 2 or len(out) != len(batch):
        came = list(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise UsageError(f"the network gives {came}; losses need logits [{len(batch)}, C]")
    check_several_classes(out)
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= out.shape[1]:  # torch counts -100 as no loss at all
        wrong = low if low < 0 else high
        raise DataError(
            f"labels are 0 to {out.shape[1] - 1} for the {out.shape[1]} outputs of the network; got {wrong}"
        )
    return out.float()
