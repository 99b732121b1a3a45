"""A classifier that is only run: a module in torch, or a model in an engine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from allweather.runtimes.types import Floats, Image
from allweather.trainers.inference.forward import logits
from allweather.trainers.inference.open_model import EvaluatedModel
from allweather.trainers.models.classifier import weights_digest


@dataclass(frozen=True)
class FrozenClassifier:
    """A classifier that is only run.

    Attributes:
        digest: Hash of its weights, 16 hexadecimal digits; what is kept of one classifier is not used for another.
        logits: Runs it: uint8 [n, h, w, 3] -> float32 [n, C].
    """

    digest: str
    logits: Callable[[Image], Floats]

    @staticmethod
    def of_module(model: nn.Module, device: torch.device) -> FrozenClassifier:
        """Runs a module in torch.

        Args:
            model: float [n, 3, h, w] in 0..1 -> float [n, C]; moved to the device and put into eval mode.
            device: Where it runs.
        """
        model = model.to(device)

        def run(images: Image) -> Floats:
            outputs: Floats = logits(model, torch.from_numpy(images).to(device)).cpu().numpy()
            return outputs

        return FrozenClassifier(weights_digest(model), run)

    @staticmethod
    def of_bundle(evaluated: EvaluatedModel) -> FrozenClassifier:
        """Runs the model of a bundle that is open, in its engine."""
        return FrozenClassifier(evaluated.fingerprint[:16], evaluated.logits)
