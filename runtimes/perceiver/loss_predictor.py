"""An open loss predictor, and which policies need one."""

from __future__ import annotations

from dataclasses import dataclass

from allweather.runtimes.engines.base import Engine
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.types import Floats, Image


@dataclass(frozen=True)
class LossPredictor:
    """An open loss predictor.

    Attributes:
        engine: Runs the network. It gives float32 [n, V]: for each image, the predicted loss of each view that the
            policy ranks.
        spec: The predictor's input.
    """

    engine: Engine
    spec: InputSpec

    def losses(self, prepared: Image) -> Floats:
        """Returns the predicted loss of each view of one image, float32 [1, V].

        Args:
            prepared: uint8 [h, w, 3], prepared for the classifier.

        Raises:
            EngineError: The engine failed.
        """
        return self.engine.infer(self.spec.prepare(prepared)[None])


def check_runnable(policy: Policy, has_predictor: bool, has_large: bool = False) -> None:
    """Checks that a perceiver can follow a policy.

    Args:
        policy: The policy.
        has_predictor: Whether there is a loss predictor.
        has_large: Whether there is a large classifier.

    Raises:
        UsageError: It cannot; the message says what the policy needs.
    """
    if policy.pick == "oracle":
        raise UsageError(
            f"policy {policy.name} chooses views by their true losses, which only 'allweather evaluate' knows; "
            "use top:K, which predicts them"
        )
    if policy.needs_predictor and not has_predictor:
        raise UsageError(
            f"policy {policy.name} needs a loss predictor, and there is none; train one with 'allweather "
            "train-predictor', and export it again"
        )
    if policy.large and not has_large:
        raise UsageError(
            f"policy {policy.name} needs a large classifier, and there is none; only a bundle that was made by "
            "'allweather export --large' or 'allweather import --large' has one"
        )
