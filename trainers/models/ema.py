"""The exponential moving average of a model's weights: what is evaluated and kept."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class MovingAverage:
    """Averages weights and BatchNorm statistics over steps.

    Args:
        model: the model to follow; it is copied, not changed.
        decay: share of the average that stays at each step, 0..1; 0 keeps the latest weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        ours, theirs = self.model.state_dict(keep_vars=True), model.state_dict(keep_vars=True)
        self._pairs = [(ours[key].data, theirs[key].data) for key in ours if ours[key].is_floating_point()]
        self._counts = [(ours[key], theirs[key]) for key in ours if not ours[key].is_floating_point()]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes in the weights after optimizer step number `step` (from 0); early ones are forgotten faster."""
        decay = min(self.decay, (1 + step) / (10 + step))
        averages, latest = zip(*self._pairs, strict=True)
        torch._foreach_lerp_(list(averages), list(latest), 1 - decay)
        for ours, theirs in self._counts:
            ours.copy_(theirs)

    def buffers(self) -> list[Tensor]:
        """The averaged statistics that differ between processes: floating-point buffers."""
        return [buffer for buffer in self.model.buffers() if buffer.is_floating_point()]
