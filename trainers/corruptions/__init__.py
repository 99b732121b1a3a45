"""The nineteen common corruptions at five severities (Hendrycks and Dietterich 2019, arXiv:1903.12261)."""

from __future__ import annotations

from allweather.trainers.corruptions.catalogue import COMMON, CORRUPTIONS, EXTRA, corrupt

__all__ = ["COMMON", "CORRUPTIONS", "EXTRA", "corrupt"]
