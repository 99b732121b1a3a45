"""Decisions on a source, one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from allweather.runtimes.cameras.open import camera_from, open_camera
from allweather.runtimes.errors import UsageError
from allweather.runtimes.loop import loop
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import Region
from allweather.runtimes.types import Decision, Image


def watch(
    source: str | int | Path | Iterable[Image],
    perceiver: Perceiver,
    *,
    region: Region | None = None,
    live: bool = False,
) -> Iterator[Decision]:
    """Opens a source and decides on its frames; closes the source when the loop over it ends.

    A device or stream that is lost is connected to again, and one that is not there yet is waited for. Several threads
    may each watch a source with the same perceiver.

    Args:
        source: a device number, a video file, a folder of pictures, a URL or a GStreamer pipeline; or pictures, uint8
            [H, W, 3] RGB each.
        perceiver: made by `load`.
        live: play a file or folder at its own speed and lose what is not looked at in time, as a camera would.
        region: the part of each frame to decide on; the whole when None.

    Yields:
        One decision a frame: every frame of a file or folder, the newest one of a live source.

    Raises:
        UsageError: `perceiver` is none, or the region does not lie inside the frame.
        CameraError: the source cannot be opened or read.
        EngineError: the engine fails again and again.
        StalledError: camera or engine hangs, also when started anew.
    """
    if not isinstance(perceiver, Perceiver):
        came = type(perceiver).__name__
        raise UsageError(f"watch wants a source and a perceiver, as allweather.load gives one; got {came}")
    camera = open_camera(source, live=live) if isinstance(source, str | int | Path) else camera_from(source)
    with camera, closing(loop.watch(camera, perceiver, region=region)) as decisions:
        for _, decision in decisions:
            yield decision
