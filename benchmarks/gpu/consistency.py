"""ResNet-18 trained by `train --robust mixed`, for consistency over three views of an image, and its loss predictor.

The loss predictor is trained on corrupted copies of the validation images: on images that a network knows by heart,
its losses tell little. Nothing else uses them but the accuracy after each epoch, by which nothing is chosen.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from allweather.evaluation.policies import PolicyEvaluation, policy_evaluation
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.augmentations.mixed_chains import ROBUST_AUGMENTATIONS
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint
from allweather.trainers.choices import RobustName
from allweather.trainers.corruptions import CORRUPTIONS, SEVERITIES
from allweather.trainers.corruptions.sets import CopySettings, GeneratedSet
from allweather.trainers.inference.frozen_classifier import FrozenClassifier
from allweather.trainers.inference.open_model import open_model
from allweather.trainers.methods.consistency import ConsistencyObjective
from allweather.trainers.methods.loss_predictor import PredictorSettings, add_predictor
from allweather.trainers.methods.loss_predictor.view_losses import compute_view_losses
from allweather.trainers.models.loss_predictor import predictor_input_spec
from allweather.trainers.training.settings import FitSettings
from gpu.budget import Budget
from gpu.records import Work, read_json, write_json
from gpu.schedule import schedule_for, spread
from gpu.training import clean_accuracy, keep_small, train_new, training_of

ARCH = "resnet18"
ROBUST: RobustName = "mixed"
NAME = "consistency-network"
PREDICTOR = "consistency-predictor"
EPOCHS, PREDICTOR_EPOCHS = 100, 10
COPIES = 8  # corrupted copies of each validation image
TEST_IMAGES = 1000  # under each corruption at five severities
FEW_CORRUPTIONS = ("gaussian_noise", "spatter")  # one of the 15 and one of the 4, where the time is short
NETWORK_SHARE = 0.7  # of the time, for the training from scratch
LOSSES_SHARE = 0.4  # of what is left then, for the losses of all views; the rest is for predictor and evaluation
LEAST_IMAGES = 12
POLICIES = ("hflip", "top:1", "top:2", "top:1+flip", "top:2+flip")
LOSSES_FOLDER, CELLS_FOLDER = "consistency-view-losses", "consistency-cells"  # of unfinished runs
PROBE_IMAGES = {"cuda": 500, "cpu": 16}  # on which the cost of the losses is measured


@dataclass(frozen=True)
class PredictorPlan:
    """How the loss predictor is trained and tested.

    Attributes:
        images: Number of images that it is trained on.
        copies: Corrupted copies of each.
        test_images: Number of test images.
        corruptions: Names of the corruptions of the test images: all 19, or a few where the time is short.
    """

    images: int
    copies: int
    test_images: int
    corruptions: tuple[str, ...]

    @property
    def batch_size(self) -> int:
        """Images a step: an eighth of the copies where they are few."""
        return min(FitSettings().batch_size, max(2, self.images * self.copies // 8))


def run(work: Work, networks: str = ARCH) -> None:
    """Trains the network, then its loss predictor, and evaluates both on corrupted test images."""
    budget = work.budget
    settings = FitSettings(epochs=EPOCHS, schedule="cosine", seed=work.seed)
    training = training_of(networks, work.dataset, ConsistencyObjective(ROBUST_AUGMENTATIONS[ROBUST]), settings)
    schedule = schedule_for(work, NAME, training, work.dataset, budget.share(NETWORK_SHARE))
    network = train_new(work, NAME, networks, training, schedule, work.dataset, budget)
    if work.finished(NAME) is None:
        results = {**clean_accuracy(work, network, schedule), **network.metrics}
        work.finish(
            NAME, schedule.record() | {"arch": networks, "lr": network.settings["lr"], "robust": ROBUST}, results
        )
    if work.finished(PREDICTOR) is None:
        plan = plan_of(work, network, budget)
        out = work.folder / f"{PREDICTOR}.safetensors"
        if not out.is_file():
            with_predictor(work, network, plan, out, budget)
        evaluation = evaluate(work, keep_small(out, load_checkpoint(out)), plan, budget)
        cut = plan.copies < COPIES or plan.images < len(work.dataset.val) or plan.corruptions == FEW_CORRUPTIONS
        own = {"epochs": PREDICTOR_EPOCHS, "batch_size": plan.batch_size, "train_images": plan.images}
        work.finish(PREDICTOR, {**own, "copies": plan.copies, "cut": cut}, errors_of(evaluation, plan))
        for name in (LOSSES_FOLDER, CELLS_FOLDER):
            shutil.rmtree(work.folder / name, ignore_errors=True)


def plan_of(work: Work, network: Checkpoint, budget: Budget) -> PredictorPlan:
    """Returns the plan of an earlier call, or one that fits into the time by the measured cost of a corrupted copy."""
    path = work.folder / f"{PREDICTOR}.plan.json"
    kept = read_json(path)
    if kept is None:
        seconds = _seconds_of_a_copy(work, network)
        available = len(work.dataset.val)
        affordable = int(LOSSES_SHARE * budget.left() / seconds)
        images = min(available, max(LEAST_IMAGES, affordable))
        flipped_too = 2  # the evaluation runs each view and its mirror image
        cells = (1 - LOSSES_SHARE) / 2 * budget.left() / (seconds * flipped_too)  # that it can run one image of
        names = tuple(CORRUPTIONS) if cells > LEAST_IMAGES * len(SEVERITIES) * len(CORRUPTIONS) else FEW_CORRUPTIONS
        test = int(cells / (len(SEVERITIES) * len(names)))
        kept = {
            "images": images,
            "copies": max(1, min(COPIES, affordable // images)),
            "test_images": min(TEST_IMAGES, len(work.dataset.test), max(2, test)),
            "corruptions": names,
        }
        write_json(path, kept)
    return PredictorPlan(**{**kept, "corruptions": tuple(kept["corruptions"])})


def with_predictor(work: Work, network: Checkpoint, plan: PredictorPlan, out: Path, budget: Budget) -> Checkpoint:
    """Trains a loss predictor for the network on corrupted copies of images that it has not seen."""
    unseen = work.dataset.val.take(spread(len(work.dataset.val), plan.images))
    settings = PredictorSettings(
        copy_settings=CopySettings(copies=plan.copies, seed=work.seed),
        held_back=False,  # the images that it is given have been
        fit=FitSettings(epochs=PREDICTOR_EPOCHS, batch_size=plan.batch_size, shift=0, seed=work.seed),
    )
    return add_predictor(
        network, replace(work.dataset, train=unseen), settings, out, losses_folder=work.folder / LOSSES_FOLDER,
        fabric=work.fabric, watch_losses=budget.check, watch=budget.check,
    )  # fmt: skip


def evaluate(work: Work, checkpoint: Checkpoint, plan: PredictorPlan, budget: Budget) -> PolicyEvaluation:
    """Runs one view, the flip and the policies of the predictor on clean and on corrupted test images."""
    test = work.dataset.test.take(spread(len(work.dataset.test), plan.test_images))
    corrupted = GeneratedSet(test, work.seed, plan.corruptions)
    with open_model(checkpoint) as target:
        policies = [parse_policy(name, predictor_views=target.predictor_views) for name in POLICIES]
        evaluation, _ = policy_evaluation(
            target,
            replace(work.dataset, test=test),
            corrupted,
            policies,
            keep=work.folder / CELLS_FOLDER,
            watch=budget.check,
        )
    return evaluation


def errors_of(evaluation: PolicyEvaluation, plan: PredictorPlan) -> dict[str, Any]:
    """Returns the errors in percent of each policy on clean images and under both groups of corruptions."""
    errors = {
        result.policy: {
            "clean": 100 * result.clean.value,
            "common": 100 * result.common.value if result.common else None,
            "extra": 100 * result.extra.value if result.extra else None,
            "by_corruption": {name: 100 * value for name, value in result.errors.items()},
            "latency_ratio": result.latency_ratio,
        }
        for result in evaluation.results
    }
    text = "; ".join(
        f"{name} {each['clean']:.1f} / {each['common']:.1f} / {each['extra']:.1f}"
        for name, each in errors.items()
        if each["common"] is not None and each["extra"] is not None
    )
    correlation = dict(evaluation.rank_correlation)
    return {
        "errors": errors, "rank_correlation": correlation, "test_images": plan.test_images,
        "corruptions": list(plan.corruptions),
        "text": f"error, clean / 15 / 4: {text}",
    }  # fmt: skip


def _seconds_of_a_copy(work: Work, network: Checkpoint) -> float:
    """Returns the seconds that it takes to corrupt an image and to run the network on each of its views."""
    few = work.dataset.val.take(spread(len(work.dataset.val), PROBE_IMAGES[work.fabric.device.type]))
    classifier = FrozenClassifier.of_module(network.classifier(), work.fabric.device)
    classifier.logits(few.images.numpy())  # a GPU chooses its kernels
    spec, settings = predictor_input_spec(network.input), CopySettings(copies=1)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        compute_view_losses(classifier, few, spec, settings, folder, fabric=work.fabric)
        return (time.monotonic() - started) / len(few)
