"""All stages from data to a bundle and a report as one command: kept, resumable, and compared at the end."""

from __future__ import annotations

from allweather.create.config import CreateConfig
from allweather.create.config_file import read_config

__all__ = ["CreateConfig", "read_config"]
