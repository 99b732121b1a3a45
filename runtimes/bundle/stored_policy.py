"""A policy as manifests and checkpoints store it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import SerializerFunctionWrapHandler, WrapSerializer

from allweather.runtimes.tta.policy import Policy


def _without_defaults(policy: Policy, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Leaves out what says nothing new, so that versions of allweather that do not know it can read the file."""
    stored: dict[str, Any] = serialize(policy)
    if policy.averages == "probabilities":
        del stored["averages"]
    if policy.confidence_model is None:
        del stored["confidence_model"]
    if not policy.large:
        del stored["large"]
    return stored


StoredPolicy = Annotated[Policy, WrapSerializer(_without_defaults)]
"""A `Policy`; `averages` is only written where it is "logits", `confidence_model` and `large` where it has them."""
