"""Runs the views that policies are compared on, once for all of them, on corrupted validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from allweather.runtimes.tta.policy import LARGE, Policy
from allweather.runtimes.tta.views import CLASSIC_VIEWS, FURTHER_VIEWS, VIEWS
from allweather.runtimes.types import Floats
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings, corrupted_copies
from allweather.trainers.data.split import LabeledImages
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel
from allweather.trainers.policies.average import CENTER, every_name

CANDIDATES = (*VIEWS, *FURTHER_VIEWS, *CLASSIC_VIEWS)  # views that tuning chooses from


@dataclass(frozen=True)
class ViewLogits:
    """The classifier's logits for views of n corrupted validation images, and its predicted losses.

    Attributes:
        names: Names of the views; the candidates of tuning come first.
        logits: float32 [views, n, C].
        labels: int64 [n].
        predicted_losses: float32 [n, V]; None without a loss predictor.
        source: int64 [n], index of the image that each row is a corrupted copy of; None if no two rows have the same.
        large_cost: See `EvaluatedModel`.
    """

    names: tuple[str, ...]
    logits: Tensor
    labels: Tensor
    predicted_losses: Floats | None = None
    source: Tensor | None = None
    large_cost: float = 1.0

    @property
    def image_of_row(self) -> Tensor:
        """Index of the image, 0 to the number of images - 1, that each row belongs to, int64 [n]."""
        if self.source is None:
            return torch.arange(len(self.labels))
        _, index = torch.unique(self.source, return_inverse=True)
        return torch.as_tensor(index)

    def without_large(self) -> ViewLogits:
        """Returns the results without the views that a large classifier ran."""
        kept = [index for index, name in enumerate(self.names) if not name.startswith(LARGE)]
        return replace(self, names=tuple(self.names[index] for index in kept), logits=self.logits[kept])

    def take(self, rows: Tensor) -> ViewLogits:
        """Returns the logits and labels of some rows (int64 [m])."""
        return ViewLogits(self.names, self.logits[:, rows], self.labels[rows])


def view_logits(
    evaluated: EvaluatedModel,
    val: LabeledImages,
    copy_settings: CopySettings,
    policies: Sequence[Policy] = (),
    *,
    candidates: Sequence[str] = CANDIDATES,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ViewLogits:
    """Runs the candidate views, the views of policies and the unchanged image, of corrupted validation images.

    Args:
        evaluated: The model; see `open_model`.
        val: Images that the model was not trained on. Those that cannot be read are left out.
        copy_settings: How the copies are corrupted, and how many there are of each image.
        policies: Policies whose views are run, too.
        candidates: Views that tuning chooses from; empty if it only evaluates given policies.
        watch: Called with (batches done, batches in total).
    """
    given = {name for policy in (CENTER, *policies) for name in every_name(policy)}
    names = (*candidates, *sorted(given - set(candidates)))
    predicted_losses: list[Floats] = []
    val = val.readable()
    logits, labels, sources, total = [], [], [], -(-len(val) // BATCH_SIZE)
    for index, batch in enumerate(val.batches(BATCH_SIZE)):
        watch(index, total)
        source = torch.arange(len(batch)).repeat(copy_settings.copies)
        rng = np.random.default_rng([copy_settings.seed, index])
        images, _ = corrupted_copies(batch.images[source].numpy(), copy_settings, rng)
        logits.append(torch.stack([torch.from_numpy(evaluated.run_view(name, images)) for name in names]))
        labels.append(batch.labels[source])
        sources.append(source + index * BATCH_SIZE)
        if evaluated.predict_losses:
            predicted_losses.append(evaluated.predict_losses(images))
    watch(total, total)
    return ViewLogits(
        names,
        torch.cat(logits, 1),
        torch.cat(labels),
        np.concatenate(predicted_losses) if predicted_losses else None,
        torch.cat(sources),
        evaluated.large_cost,
    )
