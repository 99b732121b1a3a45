"""A classifier, images that it has not seen, and what a loss predictor for it is worth: used by studies of predictors.

The val split is divided: predictors may learn on four fifths of it, and are judged on the last fifth.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from lightning_fabric import Fabric

sys.path.append(str(Path(__file__).resolve().parents[1] / "trainers"))  # a script finds only what is beside it
from chosen_views import correct_by_policy

from allweather.runtimes.tta.policy_names import parse_policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Image
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.corruptions.catalogue import COMMON, EXTRA
from allweather.trainers.corruptions.corruption import SEVERITIES
from allweather.trainers.corruptions.sets import CopySettings
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.data.dataset import LabeledImages
from allweather.trainers.data.registry import open_dataset_of
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.inference.open_model import BATCH_SIZE, EvaluatedModel, open_model
from allweather.trainers.methods.loss_predictor import ViewLosses, compute_view_losses
from allweather.trainers.models.loss_predictor import LossPredictor, predictor_input_spec

PARTS = 5  # of the val split, whose first part judges
JUDGE_COPIES = 5
POLICIES = ("center", "top:1", "top:2+flip", "top:2+flip+logits")


class UnseenImages:
    """A classifier and its data.

    Args:
        checkpoint: The classifier, which was trained without the val split of the data.
        data: Name of the data set.
        corrupted: Folder of a corrupted test set.
        folder: Folder that keeps view losses.
        fabric: A launched Fabric.
    """

    def __init__(self, checkpoint: Path, data: str, corrupted: Path, folder: Path, fabric: Fabric) -> None:
        self.start, self.corrupted, self.folder, self.fabric = load_checkpoint(checkpoint), corrupted, folder, fabric
        self.dataset = open_dataset_of(data, self.start.classes, self.start.input)
        judges = torch.arange(len(self.dataset.val)) % PARTS == 0
        self.judge = self.dataset.val.take(judges.nonzero()[:, 0])
        self.unseen = self.dataset.val.take((~judges).nonzero()[:, 0])
        self.spec = predictor_input_spec(self.start.input)

    def losses(
        self, name: str, images: LabeledImages, copies: int,
        views: Sequence[str] = tuple(VIEWS), of: Checkpoint | None = None,
    ) -> ViewLosses:  # fmt: skip
        """Returns the losses of the classifier, or of another one, on views of corrupted copies of the images."""
        classifier = FrozenClassifier.of_module((of or self.start).classifier(), self.fabric.device)
        folder = self.folder / f"{name}.view-losses"
        return compute_view_losses(
            classifier, images, self.spec, CopySettings(copies, dark=0.0), folder, fabric=self.fabric, views=views
        )

    def errors(self, model: LossPredictor, views: Sequence[str]) -> dict[str, float]:
        """Returns the errors of policies in percent: on the images that judge, and on test images.

        Args:
            model: A loss predictor for the classifier.
            views: Names of the views that it predicts the losses of.
        """
        digest = FrozenClassifier.of_module(self.start.classifier(), self.fabric.device).digest
        trained = TrainedPredictor("tiny", self.spec, tuple(views), digest, model.state_dict())
        judged = self.losses("judge", self.judge, JUDGE_COPIES)
        with open_model(self.start.with_predictor(trained)) as opened:
            correct = _correct(opened, judged.images.numpy(), self.judge.labels[judged.source].numpy())
            parts = {"val clean": judged.corruption.numpy() < 0, "val corrupted": judged.corruption.numpy() >= 0}
            found = {part: correct[:, rows].mean(1) for part, rows in parts.items()}
            found |= self._test(opened)
        return {
            f"{part}: {policy}": 100 * (1 - float(share))
            for part, shares in found.items()
            for policy, share in zip(POLICIES, shares, strict=True)
        }

    def _test(self, opened: EvaluatedModel) -> dict[str, npt.NDArray[np.float64]]:
        """Returns the share of each policy's predictions that are correct, for each group of test images."""
        corrupted, test = open_corrupted_set(self.corrupted, opened.classes, opened.input), self.dataset.test.loaded()
        found = {"clean": _correct(opened, test.images.numpy(), test.labels.numpy()).mean(1)}
        for group, names in (("common", COMMON), ("extra", EXTRA)):
            cells = (
                np.concatenate([*corrupted.batches(name, each, BATCH_SIZE)]) for name in names for each in SEVERITIES
            )
            found[group] = np.mean([_correct(opened, cell, corrupted.labels).mean(1) for cell in cells], 0)
        return found


def _correct(opened: EvaluatedModel, images: Image, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Returns whether each policy predicts each image correctly, bool [policies, n]."""
    policies = [parse_policy(each, predictor_views=opened.predictor_views) for each in POLICIES]
    starts = range(0, len(images), BATCH_SIZE)
    parts = [slice(first, first + BATCH_SIZE) for first in starts]
    return np.concatenate([correct_by_policy(opened, policies, images[part], labels[part]) for part in parts], 1)
