"""Trains a loss predictor on a table of losses that the caller has, whatever classifier they come from."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from allweather.runtimes.errors import DataError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.setting_types import check_instance
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.methods.loss_predictor.train import fit_predictor
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses
from allweather.trainers.models.loss_predictor import LossPredictor, predictor_input_spec
from allweather.trainers.training.launch import launch
from allweather.trainers.training.progress import Progress
from allweather.trainers.tta.tensor_views import ImageBatch

MIN_IMAGES = 10  # a fifth is held out; fewer train nothing


def fit_loss_predictor(
    images: Tensor,
    losses: Tensor,
    *,
    views: Sequence[str] = tuple(VIEWS),
    settings: PredictorSettings | None = None,
    hflip: bool = False,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> LossPredictor:
    """Trains a loss predictor (Kim et al. 2020, arXiv:2010.11422) on the losses of a classifier on views of images.

    Four fifths of the images are trained on. The progress tells, for the rest, how often the view with the lowest loss
    is predicted, and the rank correlation of predicted and true losses.

    Args:
        images: The unchanged images, RGB, [n, 3, h, w], uint8 or float in 0..1, at least ten. They should be such as
            the predictor will meet: corrupted ones too.
        losses: float [n, V], cross-entropy of the classifier in nats on each view; see `view_losses`.
        views: Names of the views, in the order of the columns; "identity" is one of them.
        settings: Settings of the training; its views are not used. None means the defaults, ten epochs of "tiny".
        hflip: Whether a horizontally flipped image keeps its class, so that half of the images may be flipped.
        watch: Called with the progress after each step and each epoch.

    Returns:
        The predictor, in eval mode on the CPU: float [n, 3, h', w'] in 0..1 -> float [n, V], lower for a lower loss.
        h' and w' are those of `predictor_input_spec(InputSpec(h, w))`; up to 64 pixels, those of the images.

    Raises:
        UsageError: A view is unknown, or the views cannot be those of a predictor.
        DataError: The images are of another form, or there is not a row of finite losses for each.
        TrainingError: The loss is no longer finite.
    """
    batch = ImageBatch(images)
    if isinstance(views, str) or not isinstance(views, Sequence):
        raise UsageError(f"views are a list of names, such as ['identity', 'hflip']; got {views!r:.40}")
    _check_losses(losses, len(batch), len(views))
    if settings is None:
        settings = PredictorSettings()
    check_instance("settings", settings, PredictorSettings, "leave them out for the usual ones")
    settings = dataclasses.replace(settings, views=tuple(views))
    spec = predictor_input_spec(InputSpec(*batch.images.shape[2:]))
    table = losses.detach().float().cpu()
    prepared = (batch.prepared(spec).cpu() * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    targets = ViewLosses(
        images=prepared,
        losses=table,
        correct=table <= table.amin(1, keepdim=True),
        source=torch.arange(len(batch)),
        corruption=torch.zeros(len(batch), dtype=torch.int64),  # which of them are clean is not known
        views=tuple(views),
    )
    with torch.random.fork_rng():  # the training seeds torch's global generator
        model, _, _ = fit_predictor(targets, spec, settings, hflip=hflip, fabric=launch(), watch=watch)
    return model.cpu().eval()


def _check_losses(losses: Tensor, images: int, views: int) -> None:
    if not isinstance(losses, Tensor) or not losses.is_floating_point() or losses.shape != (images, views):
        kind = str(losses.dtype).removeprefix("torch.") if isinstance(losses, Tensor) else ""
        came = f"{kind} {list(losses.shape)}" if isinstance(losses, Tensor) else type(losses).__name__
        raise DataError(
            f"losses are a tensor, float [{images}, {views}]: a row for each image, a column for each view; got {came}"
        )
    if not bool(losses.isfinite().all()):
        raise DataError("losses are finite numbers; some are not, so the classifier's outputs are not")
    if images < MIN_IMAGES:
        raise DataError(f"a loss predictor is trained on at least {MIN_IMAGES} images; got {images}")
