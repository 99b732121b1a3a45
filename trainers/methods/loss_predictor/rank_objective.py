"""The objective of a loss predictor: to rank the views of an image by the classifier's loss."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from allweather.runtimes.tta.policy import FLIP
from allweather.runtimes.tta.views import CHAIN, FURTHER_VIEWS, VIEWS
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.inference.forward import BATCH_SIZE, all_reduced, logits
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.losses.soft_ranks import correlation, ranks
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FLIPPED_VIEWS = {"rotate-20": "rotate+20", "rotate+20": "rotate-20"}
FLIPPING = f"{CHAIN}{FLIP}"  # ends the name of a view that also flips


def flipped_columns(views: Sequence[str]) -> tuple[int, ...] | None:
    """Returns, for each view, the column that holds its loss after the image has been flipped horizontally.

    If rotating an image to the left gives the lowest loss, rotating the flipped image to the right does; and a view
    that flips changes places with the one that does not, if that is there. Every other built-in view but the crops
    changes the flipped image in the same way as the image.

    Args:
        views: Names of the views, in the order of the columns.

    Returns:
        One column for each view; None if the losses of a flipped image are unknown, because a rotation has no
        counterpart among the views, or a view is a crop or one of your own.
    """
    if not {name.removesuffix(FLIPPING) for name in views} <= {*VIEWS, *FURTHER_VIEWS}:
        return None
    counterparts = [_counterpart(name, views) for name in views]
    return tuple(views.index(name) for name in counterparts) if set(counterparts) <= set(views) else None


def _counterpart(name: str, views: Sequence[str]) -> str:
    base, flips = name.removesuffix(FLIPPING), name.endswith(FLIPPING)
    base = FLIPPED_VIEWS.get(base, base)
    alike, other = (base + FLIPPING, base) if flips else (base, base + FLIPPING)
    return other if other in views else alike


@dataclass(frozen=True)
class RankObjective:
    """A rank loss between predicted and true losses of the views.

    The labels of the splits are not classes here: the label of an image is its row in `train` or `val`.

    Attributes:
        loss_name: Rank loss, a name of `RANK_LOSSES`.
        train: Losses of the classifier on the views of the training images.
        val: The same for the validation images.
        hflip: Whether half of the images are flipped horizontally together with their losses. The training loop must
            not flip images itself, because it cannot exchange their losses.
    """

    loss_name: str
    train: ViewLosses
    val: ViewLosses
    hflip: bool

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The loss, the views, a hash of the targets, and whether images are flipped."""
        digest = hashlib.sha256(self.train.losses.numpy().tobytes())
        targets = {"views": list(self.train.views), "targets": digest.hexdigest()[:16]}
        return {"loss": self.loss_name, **targets, "hflip": self.hflip}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """Computes the rank loss of one batch; see `Objective`."""
        true = self.train.losses[labels.cpu()].to(images.device)
        columns = flipped_columns(self.train.views) if self.hflip else None
        if columns is not None:
            flipped = torch.rand(len(images), generator=rng, device=images.device) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(3), images)
            true = torch.where(flipped[:, None], true[:, list(columns)], true)
        return RANK_LOSSES[self.loss_name](model(images).float(), true)

    def accuracy(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> float:
        """Computes the classifier's accuracy on the view with the lowest predicted loss, as with the policy top:1."""
        return self._evaluate(model, val, fabric)[0]

    def val_metrics(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> Mapping[str, float]:
        """Computes the mean rank correlation of predicted and true losses."""
        return {"rank_correlation": self._evaluate(model, val, fabric)[1]}

    def _evaluate(self, model: nn.Module, val: LabeledImages, fabric: Fabric) -> tuple[float, float]:
        """Returns (accuracy on the view with the lowest predicted loss, mean rank correlation)."""
        mine = val
        if fabric.world_size > 1:
            mine = val.take(torch.arange(fabric.global_rank, len(val), fabric.world_size))
        predicted = torch.cat([logits(model, batch.images) for batch in mine.batches(BATCH_SIZE)])
        rows = mine.labels.cpu()
        correct = self.val.correct[rows].to(predicted.device).gather(1, predicted.argmin(1, keepdim=True))
        correlations = correlation(ranks(predicted), ranks(self.val.losses[rows].to(predicted.device)))
        sums = torch.stack([correct.float().sum(), correlations.sum()])
        means = all_reduced(fabric, sums, "sum") / len(val)
        return float(means[0]), float(means[1])
