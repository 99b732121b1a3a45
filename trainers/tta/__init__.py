"""Test-time augmentation of torch networks: the views on tensors, merge modes, and a wrapper around any network."""

from __future__ import annotations

from allweather.trainers.tta.loss_table import view_losses
from allweather.trainers.tta.merge import MERGE_MODES, MergeMode
from allweather.trainers.tta.tensor_views import apply_view
from allweather.trainers.tta.wrapper import TTAWrapper

__all__ = ["MERGE_MODES", "MergeMode", "TTAWrapper", "apply_view", "view_losses"]
