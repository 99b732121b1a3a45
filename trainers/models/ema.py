"""The exponential moving average of a model's weights, which is what is evaluated and saved."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """Averages weights and BatchNorm statistics over optimizer steps.

    Args:
        model: The model to average; it is copied and never changed.
        decay: Share of the average that stays at each step, 0..1; 0 keeps the latest weights.

    Attributes:
        model: The averaged model, in eval mode and without gradients.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        averages, latest = self.model.state_dict(keep_vars=True), model.state_dict(keep_vars=True)
        self._pairs = [(averages[key].data, latest[key].data) for key in averages if averages[key].is_floating_point()]
        self._counters = [(averages[key], latest[key]) for key in averages if not averages[key].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Adds the weights after an optimizer step to the average.

        Args:
            step: Index of the step, from 0. The decay is lower for the first steps, so that their weights are forgotten
                faster.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, latest = zip(*self._pairs, strict=True)
        torch._foreach_lerp_(list(averages), list(latest), 1 - decay)
        for average, current in self._counters:
            average.copy_(current)

    def buffers(self) -> list[Tensor]:
        """Returns the averaged statistics that differ between processes: the floating-point buffers."""
        return [buffer for buffer in self.model.buffers() if buffer.is_floating_point()]
