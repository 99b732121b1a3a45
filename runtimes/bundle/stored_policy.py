"""A policy as manifests and checkpoints store it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import SerializerFunctionWrapHandler, WrapSerializer

from allweather.runtimes.tta.policy import Policy


def _without_usual_average(policy: Policy, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
    """Leaves out that probabilities are averaged: versions of allweather that only know this can read the file."""
    stored: dict[str, Any] = serialize(policy)
    if policy.averages == "probabilities":
        del stored["averages"]
    return stored


StoredPolicy = Annotated[Policy, WrapSerializer(_without_usual_average)]
"""A `Policy`; its field `averages` is only written where it is "logits", and read as "probabilities" if missing."""
