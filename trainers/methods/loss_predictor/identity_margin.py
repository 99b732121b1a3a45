"""The margin by which the predicted loss of a view must be below that of the unchanged image for it to be chosen."""

from __future__ import annotations

import torch
from torch import nn

from allweather.runtimes.tta.views import IDENTITY
from allweather.trainers.inference.forward import logits
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses
from allweather.trainers.models.loss_predictor import LossPredictor

MAX_CLEAN_DROP = 0.001  # how much of the classifier's accuracy on clean images the choice of views may cost
EPSILON = 1e-6  # added to the margin, which must exceed a gap between predicted losses


def add_identity_margin(model: LossPredictor, val: ViewLosses) -> float:
    """Lowers the predicted loss of the identity view until clean images keep their correct predictions.

    On clean images most views have about the same loss, so choosing among them by noisy predictions costs more accuracy
    than it can gain. Another view is therefore only chosen if its predicted loss is lower by a margin. The margin is
    the smallest from which on the classifier loses at most `MAX_CLEAN_DROP` of accuracy on clean images.

    Args:
        model: The loss predictor; the bias of its last layer is changed.
        val: View losses of images that the predictor was not trained on.

    Returns:
        The margin, in units of the predicted losses; 0 if there are no clean images.
    """
    clean = val.take((val.corruption < 0).nonzero()[:, 0])
    if len(clean) == 0:
        return 0.0
    identity = val.views.index(IDENTITY.name)
    predicted = logits(model, clean.images).cpu()
    identity_loss = predicted[:, identity].clone()
    predicted[:, identity] = torch.inf
    gaps, order = (identity_loss - predicted.amin(1)).sort(descending=True)
    best_correct = clean.correct.gather(1, predicted.argmin(1, keepdim=True))[:, 0].float()
    change = best_correct - clean.correct[:, identity].float()
    drop = -change[order].cumsum(0) / len(clean)
    too_low = (drop > MAX_CLEAN_DROP).nonzero()[:, 0]
    if len(too_low) == 0:
        return 0.0
    first = int(too_low[0])
    margin = max(0.0, float(gaps[max(first - 1, 0)] + gaps[first]) / 2 + EPSILON)
    last_layer = model.head[-1]
    assert isinstance(last_layer, nn.Linear)
    with torch.no_grad():
        last_layer.bias[identity] -= margin
    return margin
