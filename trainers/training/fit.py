"""The training loop: trains a model with any objective, in one process or several, and can be resumed bit for bit."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import TrainingError
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.epoch_plan import EpochPlan, plan_epoch
from allweather.trainers.inference.forward import all_reduced
from allweather.trainers.models.classifier import weights_digest
from allweather.trainers.models.ema import MovingAverage
from allweather.trainers.models.own_code import code_digest
from allweather.trainers.models.own_model import check_trainable
from allweather.trainers.models.synced_batch_norm import synced_batch_norm
from allweather.trainers.training.batch_shares import usable_batch_size
from allweather.trainers.training.experiment_log import ExperimentLog
from allweather.trainers.training.objective import CrossEntropy, Objective, class_weights_of
from allweather.trainers.training.optimizer import build_optimizer, fill_defaults, restore_state, state_by_name
from allweather.trainers.training.progress import EpochReport, Progress, kept_report
from allweather.trainers.training.resume_file import ResumeFile, SaveTimer, each_process, without_prefix
from allweather.trainers.training.schedules import lr_factor
from allweather.trainers.training.settings import FitSettings
from allweather.trainers.training.train_step import TrainStep

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.loggers.logger import Logger

log = logging.getLogger(__name__)


def fit(
    model: nn.Module,
    dataset: Dataset,
    settings: FitSettings,
    lr: float,
    *,
    fabric: Fabric,
    objective: Objective | None = None,
    resume: Path | str | None = None,
    loggers: Sequence[Logger] = (),
    hyperparameters: Mapping[str, Any] = MappingProxyType({}),
    watch: Callable[[Progress], None] = lambda progress: None,
    score: Callable[[EpochReport], float] = lambda report: report.val_accuracy,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[nn.Module, tuple[EpochReport, ...]]:
    """Trains `model` on `dataset.train`; images are augmented by random shifts and horizontal flips.

    Torch's global random generator is seeded anew at each step, because dropout draws from it. A resumed run therefore
    gets the same dropout as one that was never interrupted.

    Args:
        model: float [n, 3, h, w] in 0..1 -> float [n, C] logits. Trained in place.
        dataset: Its train and val splits are used.
        settings: Settings of the loop.
        lr: Highest learning rate.
        fabric: A launched Fabric; its processes share each batch.
        objective: The loss to minimize, which has the class weights of the settings; None means cross-entropy.
        resume: File to save the unfinished run in and to resume it from; the caller removes it once the result is
            stored. None means that the run cannot be resumed.
        loggers: Loggers of Lightning Fabric; the main process gives them the settings, the metrics of each epoch with
            its number as the step, and how the run ended. A run that is resumed first logs its earlier epochs again.
        hyperparameters: Further plain values for the loggers, such as the name of the architecture.
        watch: Called in every process with the progress after each step and each epoch.
        score: Returns how good an epoch is, for the patience of the settings.
        clock: Returns monotonic time in seconds.

    Returns:
        (the model with averaged weights, one report per epoch); the weights are those of the epoch of `kept_report`.

    Raises:
        UsageError: The batch size does not fit the data or the number of processes, or the model cannot be trained.
        DataError: A process that reads streamed images has ended, or none of a batch can be read.
        TrainingError: The loss is no longer finite, or `resume` belongs to another run or is damaged.
        OutputError: A logger cannot be written when the run starts; one that fails later is left out with a warning.
    """
    resume = None if resume is None else as_path(resume)
    check_trainable(model)
    if objective is None:
        objective = CrossEntropy(settings.label_smoothing, class_weights=class_weights_of(settings, dataset))
    run = _Run(model, dataset, settings, lr, objective, fabric, resume, score, clock)
    run.load()
    experiment = ExperimentLog(loggers if fabric.is_global_zero else ())
    synced = settings.sync_batchnorm and fabric.world_size > 1
    with (
        synced_batch_norm(run.plain) if synced else nullcontext(),
        experiment.open({**run.hyperparameters(), **hyperparameters}, run.history),
    ):
        while not run.is_over():
            with closing(run.train_epoch()) as steps:
                for step in steps:
                    watch(Progress(step, run.total_steps))
            report = run.finish_epoch()
            experiment.epoch(report)
            watch(Progress(run.epoch * run.steps, run.total_steps, report))
    return run.kept_model(), tuple(run.history)


class _Run:
    """The state of one call of `fit`."""

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        settings: FitSettings,
        lr: float,
        objective: Objective,
        fabric: Fabric,
        resume: Path | None,
        score: Callable[[EpochReport], float],
        clock: Callable[[], float],
    ) -> None:
        count = len(dataset.train)
        self.batch_size = usable_batch_size(settings, count, fabric.world_size)
        self.settings, self.lr, self.objective = fill_defaults(settings, model), lr, objective
        self.fabric, self.score, self.clock = fabric, score, clock
        self.steps = count // self.batch_size
        self.total_steps = self.steps * settings.epochs
        self.hflip = dataset.hflip if settings.hflip is None else settings.hflip
        self.shift = round(settings.shift * min(dataset.train.size) / 32)
        # the model without Fabric's wrapper
        self.plain = model.to(fabric.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.resume = ResumeFile(resume, self._resume_key(dataset), fabric)
        self.balanced_labels = dataset.train.labels.cpu() if settings.sampling == "balanced" else None
        self.train = dataset.train.to(fabric.device)
        self.val = self.train if dataset.val is dataset.train else dataset.val.to(fabric.device)
        self.average = MovingAverage(self.plain, settings.ema)
        self.model, self.optimizer = fabric.setup(self.plain, build_optimizer(self.plain, self.settings))
        self.train_step = TrainStep(self.model, self.optimizer, objective, self.settings, fabric)
        self.epoch, self.step = 0, 0
        self.loss_sum = torch.zeros((), device=fabric.device)
        self.history: list[EpochReport] = []
        self.best: dict[str, Tensor] = {}  # averaged weights of the best epoch, if the settings have a patience
        self.started, self.started_step = clock(), 0

    def train_epoch(self) -> Generator[int, None, None]:
        """Trains the rest of the current epoch; yields after each step the number of steps done in the run."""
        plan = self._plan()
        self.model.train()
        self.started, self.started_step, timer = self.clock(), self.step, SaveTimer(self.fabric, self.clock)
        steps = range(self.step, self.steps)
        batches = self.train.training_batches(plan, self.train_step.parts(steps))
        try:
            for step in steps:
                self._step(batches, step)
                self.step = step + 1
                if self.resume.path is not None and self.step < self.steps and timer.due():
                    self.save()
                    timer.restart()
                yield self.epoch * self.steps + self.step
        finally:  # after Ctrl-C, worker processes are ended now, which takes seconds once Python shuts down
            batches.close()

    def _step(self, batches: Iterator[tuple[Tensor, Tensor]], step: int) -> None:
        total_step = self.epoch * self.steps + step
        self.loss_sum += self.train_step(batches, epoch=self.epoch, total_step=total_step, lr=self._lr(total_step + 1))
        self.average.update(total_step)

    def finish_epoch(self) -> EpochReport:
        """Computes the metrics of the epoch, saves the run and starts the next epoch."""
        loss = float(all_reduced(self.fabric, self.loss_sum, "mean")) / self.steps  # waits until a GPU is done
        seconds, steps_done = self.clock() - self.started, self.step - self.started_step
        if not loss < float("inf"):
            raise TrainingError(
                f"the training loss became {loss} in epoch {self.epoch + 1}; "
                f"lower the learning rate (its highest value was {self.lr:g})"
            )
        self.val = self.val.readable()
        for buffer in self.average.buffers():
            buffer.copy_(all_reduced(self.fabric, buffer, "mean"))
        report = EpochReport(
            epoch=self.epoch + 1,
            loss=loss,
            val_accuracy=self.objective.accuracy(self.average.model, self.val, self.fabric),
            lr=self._lr((self.epoch + 1) * self.steps),
            seconds=seconds,
            images_per_second=steps_done * self.batch_size / max(seconds, 1e-9),
            val_metrics=self.objective.val_metrics(self.average.model, self.val, self.fabric),
        )
        self.history.append(report)
        if self.settings.patience is not None and self._kept() is report:
            self.best = {key: value.clone() for key, value in self.average.model.state_dict().items()}
        self.epoch, self.step = self.epoch + 1, 0
        self.loss_sum.zero_()
        self.save()
        return report

    def is_over(self) -> bool:
        """Returns whether all epochs are done, or as many without a better one as the settings' patience."""
        patience = self.settings.patience
        stopped = patience is not None and self.epoch > 0 and self.epoch - self._kept().epoch >= patience
        return stopped or self.epoch == self.settings.epochs

    def kept_model(self) -> nn.Module:
        """Returns the model with the averaged weights of the epoch that is kept."""
        if self.best:
            self.average.model.load_state_dict(self.best)
            kept, score = self._kept(), self.score(self._kept())
            log.info("kept the weights of epoch %d of %d, the best one (%.4f)", kept.epoch, self.epoch, score)
        return self.average.model

    def _kept(self) -> EpochReport:
        return kept_report(self.history, self.settings.patience, self.score)

    def _lr(self, step: int) -> float:
        settings, progress = self.settings, step / (self.total_steps + 1)
        return self.lr * lr_factor(settings.schedule, progress, settings.warmup, settings.milestones)

    def _plan(self) -> EpochPlan:
        return plan_epoch(
            len(self.train), self.batch_size, shift=self.shift, hflip=self.hflip, seed=self.settings.seed,
            epoch=self.epoch, shifted=self.objective.shifted, balanced=self.balanced_labels,
            padding=self.settings.padding,
        )  # fmt: skip

    def _resume_key(self, dataset: Dataset) -> dict[str, Any]:
        """Returns the plain values that two runs must share for one to continue the other."""
        return {
            "settings": self.settings.as_dict(),
            "lr": self.lr,
            "objective": dict(self.objective.resume_key),
            "data": [dataset.name, len(dataset.train), dataset.fingerprint()],
            "start": weights_digest(self.plain),
            **({"code": code} if (code := code_digest(self.plain)) else {}),
            **({} if self.hflip else {"hflip": False}),  # the data's own, where the settings leave it open
            # only streamed images can be cropped at random
            **({"random_resized": True} if getattr(dataset.train, "random_resized", False) else {}),
            "processes": self.fabric.world_size,
            "precision": str(self.fabric._precision.precision),
        }

    def hyperparameters(self) -> dict[str, Any]:
        """Returns the settings of the run for its loggers."""
        key = self.resume.key
        name, images, _ = key["data"]
        own = {each: key[each] for each in ("lr", "processes", "precision")}
        return {**key["settings"], **own, "data": name, "train_images": images, **key["objective"]}

    def _of_this_process(self) -> dict[str, Tensor]:
        """Returns the state that differs from process to process within an epoch.

        BatchNorm's own statistics are not part of it: before each forward pass all processes take those of the first.
        """
        buffers = {f"average.{index}": buffer for index, buffer in enumerate(self.average.buffers())}
        return {"loss_sum": self.loss_sum, **buffers}

    def save(self) -> None:
        """Writes everything that the rest of the run depends on to the resume file."""
        if self.resume.path is None:
            return
        tensors = {f"model.{key}": value for key, value in self.plain.state_dict().items()}
        tensors |= {f"average.{key}": value for key, value in self.average.model.state_dict().items()}
        tensors |= {f"optimizer.{key}": value for key, value in state_by_name(self.optimizer, self.plain).items()}
        tensors |= {f"best.{key}": value for key, value in self.best.items()}
        tensors |= {f"each.{key}": each_process(self.fabric, value) for key, value in self._of_this_process().items()}
        history = [report.timed_row() for report in self.history]
        scaler = self.fabric._precision.state_dict()  # of the gradients in fp16; empty in other precisions
        header = {"epoch": self.epoch, "step": self.step, "history": history, "scaler": scaler}
        self.resume.write(tensors, header)

    def load(self) -> None:
        """Restores the state that the resume file holds, if there is a resume file."""
        content = self.resume.read()
        if content is None:
            return
        tensors, header = content
        self.plain.load_state_dict(without_prefix(tensors, "model."))
        self.average.model.load_state_dict(without_prefix(tensors, "average."))
        self.best = {key: value.to(self.fabric.device) for key, value in without_prefix(tensors, "best.").items()}
        restore_state(self.optimizer, self.plain, without_prefix(tensors, "optimizer."))
        for key, value in self._of_this_process().items():
            value.copy_(tensors[f"each.{key}"][self.fabric.global_rank])
        self.fabric._precision.load_state_dict(header["scaler"])
        self.epoch, self.step = header["epoch"], header["step"]
        self.history = [EpochReport.from_timed_row(row) for row in header["history"]]
        log.info("the run goes on after step %d of %d", self.epoch * self.steps + self.step, self.total_steps)
