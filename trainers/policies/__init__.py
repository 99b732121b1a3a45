"""Test-time augmentation policies: finds them on validation images, and chooses one that is better beyond chance."""

from __future__ import annotations

from allweather.trainers.policies.average import average_views
from allweather.trainers.policies.every_view import view_logits
from allweather.trainers.policies.selection import PolicyGain, PolicySelection, select_policy
from allweather.trainers.policies.tuning import TunedPolicy, tune

__all__ = [
    "PolicyGain",
    "PolicySelection",
    "TunedPolicy",
    "average_views",
    "select_policy",
    "tune",
    "view_logits",
]
