"""`keep_video`: a video that was recorded before the configuration was read again is not replaced by the next one."""

from __future__ import annotations

import logging
from itertools import count
from pathlib import Path

from allweather.runtimes.errors import first_line

logger = logging.getLogger(__name__)


def keep_video(path: Path) -> None:
    """Renames a video, front.mp4 to front-before-1.mp4 or the next free number, so that another one can be recorded.

    Where that fails, it is logged, and the cameras go on.

    Args:
        path: The video; there may be none.
    """
    try:
        if not path.is_file():
            return
        names = (path.with_name(f"{path.stem}-before-{number}{path.suffix}") for number in count(1))
        kept = next(name for name in names if not name.exists())
        path.rename(kept)
    except OSError as error:
        logger.warning("the video %s is replaced by the next one, as it cannot be renamed: %s", path, first_line(error))
        return
    logger.info("the video recorded so far is %s", kept)
