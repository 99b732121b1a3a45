"""Decisions on a source, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from allweather.runtimes import loop
from allweather.runtimes.camera import open_camera
from allweather.runtimes.frame import Decision
from allweather.runtimes.image import Region
from allweather.runtimes.perceiver import Perceiver


def watch(source: str | int | Path, perceiver: Perceiver, *, region: Region | None = None) -> Iterator[Decision]:
    """Opens a source and decides on its frames; closes the source when the loop over it ends.

    Args:
        source: a device number, a video file, a folder of pictures, a URL or a GStreamer pipeline.
        perceiver: made by `load`.
        region: the part of each frame to decide on; the whole when None.

    Yields:
        One decision a frame: every frame of a file or folder, the newest one of a live source.

    Raises:
        CameraError: the source cannot be opened or read.
        UsageError: the region does not lie inside the frame.
    """
    with open_camera(source) as camera, closing(loop.watch(camera, perceiver, region=region)) as decisions:
        for _, decision in decisions:
            yield decision
