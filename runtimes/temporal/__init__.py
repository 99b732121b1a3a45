"""Temporal smoothing: combines the decisions on one object over frames, and follows it when it changes."""

from allweather.runtimes.temporal.settings import Smoothing
from allweather.runtimes.temporal.smoother import Smoother

__all__ = ["Smoother", "Smoothing"]
