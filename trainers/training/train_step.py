"""One training step: the images of a batch, their loss, its gradients, and the optimizer's step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.batch_shares import share
from allweather.trainers.training.objective import Objective
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from lightning_fabric.wrappers import _FabricModule, _FabricOptimizer


class TrainStep:
    """Trains a model for one step at a time.

    Args:
        model: The model, set up by `fabric`.
        optimizer: Its optimizer, set up by `fabric`.
        objective: The loss to minimize.
        settings: Settings of the loop.
        fabric: A launched Fabric; its processes share each batch.
    """

    def __init__(
        self,
        model: _FabricModule,
        optimizer: _FabricOptimizer,
        objective: Objective,
        settings: FitSettings,
        fabric: Fabric,
    ) -> None:
        self.model, self.optimizer, self.objective = model, optimizer, objective
        self.settings, self.fabric = settings, fabric
        parts = range(settings.accumulate)
        self.shares = [share(fabric.global_rank, fabric.world_size, part, len(parts)) for part in parts]

    def parts(self, steps: range) -> list[tuple[int, slice]]:
        """Returns the batches that some steps of an epoch take, each as (step, which images of it)."""
        return [(step, part) for step in steps for part in self.shares]

    def __call__(self, batches: Iterator[tuple[Tensor, Tensor]], *, epoch: int, total_step: int, lr: float) -> Tensor:
        """Trains the model on one batch, or on equal parts of it whose gradients add up to those of the batch.

        Args:
            batches: The images and labels of this process's parts of the batch come next.
            epoch: Index of the epoch, from 0.
            total_step: Index of the step in the run.
            lr: Learning rate.

        Returns:
            The loss of this process's images, a scalar without gradients.

        Raises:
            UsageError: The loss has no gradient.
        """
        fabric = self.fabric
        seed = (self.settings.seed * 1_000_003 + total_step) * 1009 + fabric.global_rank
        torch.manual_seed(seed)
        rng = torch.Generator(fabric.device).manual_seed(seed)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        losses = []
        for part, (images, labels) in zip(self.shares, batches, strict=False):
            with fabric.no_backward_sync(self.model, enabled=part is not self.shares[-1]):
                loss = self.objective.loss(self.model, images, labels, epoch, rng) / len(self.shares)
                if not loss.requires_grad:
                    raise UsageError(
                        "no gradient reaches the weights: the network detaches its outputs, or it runs within "
                        "torch.no_grad() or inference_mode(), its own or the caller's; train outside of them"
                    )
                fabric.backward(loss)
            losses.append(loss.detach())
        if self.settings.clip_norm is not None:
            # a norm that is not finite shows in the loss, which is checked at the end of the epoch
            fabric.clip_gradients(
                self.model, self.optimizer, max_norm=self.settings.clip_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad()
        return torch.stack(losses).sum()
