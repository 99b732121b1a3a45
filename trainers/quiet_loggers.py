"""Silences the loggers of libraries that report each of their steps, such as launchers and exporters."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silence_loggers(*names: str) -> Iterator[None]:
    """Silences loggers inside a `with` block and restores their levels afterwards; handlers are not touched.

    Args:
        names: Names of the loggers, such as "torch.onnx".
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
