"""Keeps the loggers of other libraries quiet: launchers and exporters report each of their steps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_loggers(*names: str) -> Iterator[None]:
    """While open, the named loggers say nothing; then their levels are what they were. Handlers are left alone."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
