"""Conditions of a drive that make signs hard to read: dusk, snow, fog, a noisy sensor, a lens out of focus or dirty."""

from __future__ import annotations

from allweather.trainers.data.signs.conditions.schedule import CONDITIONS, apply_condition, condition_schedule

__all__ = ["CONDITIONS", "apply_condition", "condition_schedule"]
