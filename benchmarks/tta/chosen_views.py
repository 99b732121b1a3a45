"""Which predictions are correct when each image gets only the views that a policy chooses for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Image
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.policies.average import average_views


def correct_by_policy(
    model: EvaluatedModel, policies: Sequence[Policy], images: Image, labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Runs several policies; a view that more than one of them chooses for an image is run once.

    The evaluation of policies runs every view on every image, because it also has an oracle: four times as much.

    Args:
        model: The classifier, with a loss predictor if a policy needs it.
        policies: Policies whose choice is not random.
        images: uint8 [n, h, w, 3].
        labels: int64 [n].

    Returns:
        bool [policies, n], whether the prediction is correct.
    """
    rng = np.random.default_rng(0)
    predicted = model.predict_losses(images) if model.predict_losses else None
    chosen = [policy.choose(predicted, rng, len(images)) for policy in policies]
    rows_of: dict[str, set[int]] = {}
    for policy, indices in zip(policies, chosen, strict=True):
        for row, each in enumerate(indices):
            for name in policy.with_large(*policy.views_for(each))[0]:
                rows_of.setdefault(name, set()).add(row)
    by_view = {name: np.zeros((len(images), len(model.classes)), np.float32) for name in rows_of}
    for name, selected in rows_of.items():
        rows = np.array(sorted(selected))
        by_view[name][rows] = model.run_view(name, images[rows])
    averages = [average_views(policy, each, by_view)[0] for policy, each in zip(policies, chosen, strict=True)]
    return np.stack([average.argmax(1) == labels for average in averages])
