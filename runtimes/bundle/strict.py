"""The base of what is read from a manifest: nothing unknown, nothing that changes, no infinite number."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """Refuses unknown keys, infinite numbers and NaN; its objects cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
