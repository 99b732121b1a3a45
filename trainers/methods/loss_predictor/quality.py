"""How well a loss predictor does on images that it was not trained on, and what their number cannot tell."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.tta.views import IDENTITY
from allweather.trainers.inference.forward import logits
from allweather.trainers.losses.soft_ranks import correlation, ranks
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses
from allweather.trainers.models.loss_predictor import LossPredictor
from allweather.trainers.training.uncertainty import LEVEL, MIN_IMAGES, mean_interval, unseen_share


def predictor_quality(model: LossPredictor, val: ViewLosses) -> dict[str, float]:
    """Computes the metrics of a trained predictor with their 95 % bootstrap intervals over the images.

    Args:
        model: The predictor, its identity margin included.
        val: View losses of images that it was not trained on.

    Returns:
        By name: `rank_correlation` of predicted and true losses, `gain` in accuracy of the view with the lowest
        predicted loss over one view, each with `_low` and `_high`; `identity_accuracy` of one view; `val_images`, and
        `clean_val_images` on which the identity margin was found.
    """
    predicted = logits(model, val.images).cpu()
    one_view = val.correct[:, val.views.index(IDENTITY.name)].float()
    chosen = val.correct.gather(1, predicted.argmin(1, keepdim=True))[:, 0].float()
    image = torch.unique(val.source, return_inverse=True)[1]
    rows = {"rank_correlation": correlation(ranks(predicted), ranks(val.losses)), "gain": chosen - one_view}
    metrics: dict[str, float] = {}
    for name, values in rows.items():
        interval = mean_interval(_by_image(values, image).numpy().astype(np.float64))
        metrics |= {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}
    metrics["identity_accuracy"] = float(one_view.mean())
    metrics["val_images"] = float(image.max() + 1)
    metrics["clean_val_images"] = float((val.corruption < 0).sum())
    return metrics


def _by_image(values: Tensor, image: Tensor) -> Tensor:
    """Returns the mean over the corrupted copies of each image."""
    return torch.bincount(image, values) / torch.bincount(image)


def quality_sentences(metrics: Mapping[str, float]) -> list[str]:
    """Says in plain words what the metrics of a predictor show; nothing for one of an older version, without them."""
    if "rank_correlation_low" not in metrics:
        return []
    images, clean = int(metrics["val_images"]), int(metrics["clean_val_images"])
    low, high, gain_low = (metrics[key] for key in ("rank_correlation_low", "rank_correlation_high", "gain_low"))
    lines = [
        f"judged on {images} images that it was not trained on: rank correlation {metrics['rank_correlation']:.2f} "
        f"({low:.2f} to {high:.2f} at {100 * LEVEL:g} %)"
    ]
    if images < MIN_IMAGES:
        lines.append(
            f"{images} images, a share of the training images that was held back, decide nothing, at least "
            f"{MIN_IMAGES} are needed: train it with more images"
        )
    elif low <= 0:
        lines.append("it ranks the views no better than chance: policies that follow it only cost time")
    elif gain_low <= 0:
        lines.append(
            f"the view that it ranks first is not more accurate than the unchanged image beyond chance "
            f"({100 * metrics['gain']:+.1f} points, {100 * gain_low:+.1f} to {100 * metrics['gain_high']:+.1f})"
        )
    if unseen_share(clean) > 0.01:
        lines.append(
            f"what it costs on clear images was judged on {clean} of them; a cost of up to "
            f"{100 * unseen_share(clean):.2g} points may be unseen"
        )
    return lines
