"""Checks the time of capture of a frame that is decided on, from which its deadline is computed."""

from __future__ import annotations

import math
from numbers import Real

from allweather.runtimes.errors import UsageError
from allweather.runtimes.types import MAX_AHEAD_SECONDS, Frame


def with_usable_time(frame: Frame, now: float) -> Frame:
    """Returns a frame that was captured before now, or a little later.

    Args:
        frame: What is to be decided on.
        now: The present time of the perceiver's clock.

    Raises:
        UsageError: It is no frame, or its time of capture is that of another clock.
    """
    if not isinstance(frame, Frame):
        raise UsageError(f"expected a Frame; got {type(frame).__name__}: for an image, call perceiver(image)")
    if not (isinstance(frame.captured, Real) and -math.inf < frame.captured <= now + MAX_AHEAD_SECONDS):
        raise UsageError(
            f"a frame is stamped by time.monotonic(), which says {now:.3f}; got captured={frame.captured!r:.40}"
        )
    return frame
