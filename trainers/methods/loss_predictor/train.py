"""Trains a loss predictor beside a frozen classifier (Kim et al. 2020)."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.views import VIEWS
from allweather.trainers.checkpoint.checkpoint import Checkpoint, save_checkpoint
from allweather.trainers.checkpoint.predictor_file import TrainedPredictor
from allweather.trainers.corruptions.sets.corrupted_copies import FAMILIES, CopySettings
from allweather.trainers.data.dataset import Dataset, Split
from allweather.trainers.losses.ranking import RANK_LOSSES
from allweather.trainers.losses.soft_ranks import correlation, ranks
from allweather.trainers.methods.loss_predictor.view_losses import ViewLosses, view_losses
from allweather.trainers.methods.train import resume_path
from allweather.trainers.models.loss_predictor import PREDICTORS, LossPredictor, build_predictor, predictor_input_spec
from allweather.trainers.models.registry import weights_digest
from allweather.trainers.training.fit import fit
from allweather.trainers.training.inference import all_reduced, logits
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings

CLEAN_LOSS = 0.001  # of the classifier's accuracy that choosing views may cost on clean pictures
EPSILON = 1e-6  # by which a margin is above the gap that it closes
OPPOSITE = {"rotate-20": "rotate+20", "rotate+20": "rotate-20"}
# the column that a view's loss is in where the picture is mirrored: what was right to turn to the left, is to the right
MIRRORED = tuple(list(VIEWS).index(OPPOSITE.get(name, name)) for name in VIEWS)


@dataclass(frozen=True)
class PredictorSettings:
    """What the training of a predictor is told.

    Attributes:
        kind: of `PREDICTORS`.
        loss: of `RANK_LOSSES`.
        corrupting: how its pictures are made.
        without: corruption family of which nothing is shown; None for all 15 common corruptions.
        fit: of the loop. Pictures are not shifted: the classifier's losses are those of the picture as it lies.
    """

    kind: str = "tiny"
    loss: str = "squared"
    copy_settings: CopySettings = field(default_factory=CopySettings)
    exclude_family: str | None = None
    fit: FitSettings = field(default_factory=lambda: FitSettings(epochs=10, shift=0))

    def __post_init__(self) -> None:
        """Refuses what there is not.

        Raises:
            UsageError: naming the setting and what goes.
        """
        for name, known in ((self.kind, PREDICTORS), (self.loss, RANK_LOSSES)):
            if name not in known:
                raise UsageError(f"{name!r} is none of {', '.join(known)}")
        if self.exclude_family is not None and self.exclude_family not in FAMILIES:
            raise UsageError(f"a corruption family is one of {', '.join(FAMILIES)}; got {self.exclude_family!r}")


@dataclass(frozen=True)
class RankObjective:
    """Makes a rank loss small; labels of the splits are rows of these tables.

    Attributes:
        loss_name: of `RANK_LOSSES`.
        train: what the classifier makes of the views of the training pictures.
        val: likewise, to be judged by.
        mirrors: mirror half of the pictures, and their losses with them: the loop alone would mirror no targets.
    """

    loss_name: str
    train: ViewLosses
    val: ViewLosses
    hflip: bool

    shifted = (True,)

    @property
    def resume_key(self) -> Mapping[str, Any]:
        """The loss, a hash of the targets, and whether they are mirrored."""
        digest = hashlib.sha256(self.train.losses.numpy().tobytes())
        return {"loss": self.loss_name, "targets": digest.hexdigest()[:16], "hflip": self.hflip}

    def loss(self, model: nn.Module, images: Tensor, labels: Tensor, epoch: int, rng: torch.Generator) -> Tensor:
        """The rank loss of a batch."""
        true = self.train.losses[labels.cpu()].to(images.device)
        if self.hflip:
            turned = torch.rand(len(images), generator=rng, device=images.device) < 0.5
            images = torch.where(turned[:, None, None, None], images.flip(3), images)
            true = torch.where(turned[:, None], true[:, list(MIRRORED)], true)
        return RANK_LOSSES[self.loss_name](model(images).float(), true)

    def accuracy(self, model: nn.Module, val: Split, fabric: Fabric) -> float:
        """The classifier's, on the view of the lowest prediction: what a frame gets at k = 1."""
        return self._judged(model, val, fabric)[0]

    def val_metrics(self, model: nn.Module, val: Split, fabric: Fabric) -> Mapping[str, float]:
        """Rank correlation with the true losses."""
        return {"rank_correlation": self._judged(model, val, fabric)[1]}

    def _judged(self, model: nn.Module, val: Split, fabric: Fabric) -> tuple[float, float]:
        """(accuracy at k = 1, mean rank correlation)."""
        mine = slice(fabric.global_rank, None, fabric.world_size)
        predicted = logits(model, val.images[mine])
        rows = val.labels[mine].cpu()
        right = self.val.right[rows].to(predicted.device).gather(1, predicted.argmin(1, keepdim=True))
        alike = correlation(ranks(predicted), ranks(self.val.losses[rows].to(predicted.device)))
        sums = torch.stack([right.float().sum(), alike.sum()])
        found = all_reduced(fabric, sums, "sum") / len(val)
        return float(found[0]), float(found[1])


def add_predictor(
    start: Checkpoint,
    dataset: Dataset,
    settings: PredictorSettings,
    out: Path,
    *,
    keep: Path,
    fabric: Fabric,
    watch_targets: Callable[[int, int], None] = lambda done, total: None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> Checkpoint:
    """Trains a predictor for a classifier and saves both.

    While it trains, `.<name>.resume` beside `out` holds the run; a run that finds one goes on from there.

    Args:
        start: the classifier, which stays as it is.
        dataset: of its classes and size; train is used.
        settings: see there.
        out: the checkpoint to write.
        keep: folder of the view losses; see `view_losses`.
        fabric: launched.
        watch_targets: told of (shards of view losses done, in all).
        watch: told of every step and epoch.

    Raises:
        UsageError: the data is of other classes, or `keep` holds something else.
        TrainingError: the run diverged, or its resume file is of another run.
        OutputError: the checkpoint cannot be written.
    """
    start.check_classes(dataset.classes)
    classifier, seen, resume = start.classifier(), predictor_input_spec(start.input), resume_path(out)
    targets = view_losses(
        classifier, dataset.train, seen, settings.copy_settings, keep, fabric=fabric, watch=watch_targets
    )
    if settings.exclude_family:
        targets = targets.without(settings.exclude_family)
    model, history, accuracy = train_predictor(
        targets, seen, settings, hflip=dataset.hflip, fabric=fabric, resume=resume, watch=watch
    )
    trained = TrainedPredictor(
        kind=settings.kind,
        input=seen,
        views=tuple(VIEWS),
        classifier_digest=weights_digest(start.classifier()),
        weights=model.state_dict(),
        settings={**dataclasses.asdict(settings), "data": dataset.name},
        metrics={"val_accuracy": accuracy, **history[-1].others},
        history=tuple(row.row() for row in history),
    )
    checkpoint = start.with_predictor(trained)
    if fabric.is_global_zero:
        save_checkpoint(out, checkpoint)
        resume.unlink(missing_ok=True)
    return checkpoint


def train_predictor(
    targets: ViewLosses,
    seen: InputSpec,
    settings: PredictorSettings,
    *,
    hflip: bool,
    fabric: Fabric,
    resume: Path | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
) -> tuple[LossPredictor, tuple[EpochReport, ...], float]:
    """Trains on four fifths of the pictures and judges on the rest, by which clean ones are left alone, too.

    Args:
        targets: of the classifier; see `view_losses`.
        seen: size of their pictures.
        settings: see there.
        mirrors: whether a mirrored picture keeps its class; see `RankObjective`.
        fabric: launched.
        resume: file to save the run in and to go on from.
        watch: told of every step and epoch.

    Returns:
        (the predictor; one report an epoch: `val_accuracy` is the classifier's at k = 1; that of the finished one).

    Raises:
        TrainingError: the run diverged, or its resume file is of another run.
    """
    torch.manual_seed(settings.fit.seed)
    model = build_predictor(settings.kind, seen)
    train, val = targets.fold()
    objective = RankObjective(settings.loss, train, val, hflip)
    dataset = Dataset("view losses", tuple(VIEWS), _rows(train), _rows(val), _rows(val), hflip=False)
    lr = settings.fit.lr or PREDICTORS[settings.kind].lr * settings.fit.batch_size / 128
    averaged, history = fit(
        model, dataset, settings.fit, lr, fabric=fabric, objective=objective, resume=resume, watch=watch
    )
    assert isinstance(averaged, LossPredictor)
    leave_clean_alone(averaged, val)
    return averaged, history, objective.accuracy(averaged, dataset.val, fabric)


def leave_clean_alone(model: LossPredictor, val: ViewLosses) -> float:
    """Changes what is predicted for one plain look so far that clean pictures stay right.

    On clean pictures most views are about as good as one another, and a choice by noise costs more than it can win. So
    a view has to be better by a margin: the least with which, and with all larger ones, the classifier loses no more
    than `CLEAN_LOSS` on the clean pictures.

    Args:
        model: it is changed.
        val: pictures that it has not learned from.

    Returns:
        The margin, in units of the predictions; 0 without clean pictures.
    """
    clean = val.take((val.kind < 0).nonzero()[:, 0])
    if len(clean) == 0:
        return 0.0
    plain = list(VIEWS).index("identity")
    predicted = logits(model, clean.images.to(next(model.parameters()).device)).cpu()
    here = predicted[:, plain].clone()
    predicted[:, plain] = torch.inf
    gaps, order = (here - predicted.amin(1)).sort(descending=True)
    change = clean.right.gather(1, predicted.argmin(1, keepdim=True))[:, 0].float() - clean.right[:, plain].float()
    lost = -change[order].cumsum(0) / len(clean)
    failing = (lost > CLEAN_LOSS).nonzero()[:, 0]
    if len(failing) == 0:
        return 0.0
    first = int(failing[0])
    margin = max(0.0, float(gaps[max(first - 1, 0)] + gaps[first]) / 2 + EPSILON)
    last = model.head[-1]
    assert isinstance(last, nn.Linear)
    with torch.no_grad():
        last.bias[plain] -= margin
    return margin


def _rows(table: ViewLosses) -> Split:
    """Pictures labelled by their row."""
    return Split(table.images, torch.arange(len(table)))
