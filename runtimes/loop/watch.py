"""`watch`: the camera loop as a Python iterator of decisions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal, overload

from allweather.runtimes.cameras.base import Camera
from allweather.runtimes.cameras.open import camera_from, open_camera
from allweather.runtimes.errors import UsageError
from allweather.runtimes.loop.detector import Detector
from allweather.runtimes.loop.loop import decide_frames
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.region import Region
from allweather.runtimes.setting_types import check_instance
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.temporal import Smoother, Smoothing
from allweather.runtimes.types import Decision, Frame, Image


@overload
def watch(
    source: str | int | Path | Camera | Iterable[Image],
    perceiver: Perceiver,
    *,
    sinks: Sequence[Sink] = ...,
    region: Region | Mapping[str, Region] | None = ...,
    detector: Detector | None = ...,
    live: bool = ...,
    bgr: bool = ...,
    smoothing: Smoothing | None = ...,
    frames: Literal[False] = ...,
) -> Iterator[Decision]: ...


@overload
def watch(
    source: str | int | Path | Camera | Iterable[Image],
    perceiver: Perceiver,
    *,
    sinks: Sequence[Sink] = ...,
    region: Region | Mapping[str, Region] | None = ...,
    detector: Detector | None = ...,
    live: bool = ...,
    bgr: bool = ...,
    smoothing: Smoothing | None = ...,
    frames: Literal[True],
) -> Iterator[tuple[Frame, tuple[Decision, ...]]]: ...


def watch(
    source: str | int | Path | Camera | Iterable[Image],
    perceiver: Perceiver,
    *,
    sinks: Sequence[Sink] = (),
    region: Region | Mapping[str, Region] | None = None,
    detector: Detector | None = None,
    live: bool = False,
    bgr: bool = False,
    smoothing: Smoothing | None = None,
    frames: bool = False,
) -> Iterator[Decision] | Iterator[tuple[Frame, tuple[Decision, ...]]]:
    """Decides on the frames of a source, one after the other.

    The source and the sinks are opened before the first frame and closed when the iteration ends: after the last frame,
    by an error, or when the caller leaves it. `watch` connects again to a device or stream that is lost, and waits
    for one that is not available yet. Several threads may each watch a source with the same perceiver.

    Example::

        for decision in allweather.watch("rtsp://front", perceiver, sinks=[MySink()]):
            print(decision.label, decision.confidence)

    Args:
        source: A device index, a video file, a folder of images, a URL or a GStreamer pipeline (see `open_camera`); a
            `Camera` of your own, which is closed at the end unless you hold it open in a `with` block; or any iterable
            of images, uint8 [H, W, 3] RGB each, which must not be changed afterwards.
        perceiver: Decides; made by `load` or `connect`.
        sinks: Each of them gets every decision before it is yielded. An error of a sink is raised; `Ended` from a sink
            ends the iteration. An error while a sink is closed because the caller left the iteration is logged.
        region: The part of each frame to decide on, or several by their names, which share the budget; None for the
            whole frame.
        detector: A function from an image to the boxes of its objects, [n, 4] in pixels (left, top, right and bottom
            edge), or to detections that have them as `xyxy`. Each object is decided on, all of a frame within one
            budget, of which the detector's time is a part. It runs in a thread of its own, and its image is read-only.
        live: Whether to play a file or folder at its own speed and to drop frames that are not read in time, as for a
            device. Has no effect on other sources.
        bgr: Whether the images of an iterable have the channels blue, green, red, as OpenCV reads them.
        smoothing: How the decisions on one object are combined over frames, such as `allweather.Smoothing()`; None to
            take each frame by itself.
        frames: Whether to yield each frame with all its decisions, instead of one decision after the other.

    Yields:
        A decision on each frame of a file, folder or iterable, and on the newest frame of a live source, or on each
        region or object of it. With `frames`, pairs of the frame and a tuple of its decisions.

    Raises:
        UsageError: An argument has the wrong type, or the region does not lie inside the frame.
        CameraError: The source cannot be opened or read.
        EngineError: The engine fails again and again.
        DetectorError: The detector fails again and again.
        OutputError: A sink fails.
        StalledError: The camera, the engine or the detector hangs, and restarting it did not help.
    """
    if not isinstance(perceiver, Perceiver):
        came = type(perceiver).__name__
        raise UsageError(f"watch expects a source and a perceiver, as returned by allweather.load; got {came}")
    _check_region(region)
    if detector is not None and not callable(detector):
        raise UsageError(f"detector is a function from an image to boxes, or None; got {type(detector).__name__}")
    if isinstance(sinks, Sink):
        raise UsageError(f"sinks is a list of sinks; got one sink: write sinks=[{type(sinks).__name__}(...)]")
    if not isinstance(sinks, Sequence):  # an iterator would be used up by the check
        raise UsageError(f"sinks is a list of sinks; got {type(sinks).__name__}: write sinks=[]")
    for sink in sinks:
        if not isinstance(sink, Sink):
            raise UsageError(f"a sink is an object of a class derived from allweather.Sink; got {type(sink).__name__}")
    if smoothing is not None:
        check_instance("smoothing", smoothing, Smoothing, "write smoothing=allweather.Smoothing()")
    smoother = Smoother(perceiver.classes, smoothing) if smoothing else None
    camera = _open(source, live=live, bgr=bgr)
    try:
        decided = decide_frames(camera, perceiver, sinks, region=region, detector=detector, smoother=smoother)
        with closing(decided):
            for frame, found in decided:
                if frames:
                    yield frame, found
                else:
                    yield from found
    except Ended:
        return


def _check_region(region: object) -> None:
    """Checks that this is a region, several by name, or None.

    Raises:
        UsageError: It is none of these.
    """
    regions = list(region.items()) if isinstance(region, Mapping) else [("", region)]
    named = all(isinstance(name, str) and isinstance(each, Region) for name, each in regions)
    if region is not None and not (regions and named):
        raise UsageError(
            "region is an allweather.Region(x=, y=, width=, height=), a dict of such by their names, or None; "
            f"got {region!r:.60}"
        )


def _open(source: str | int | Path | Camera | Iterable[Image], *, live: bool, bgr: bool) -> Camera:
    if not isinstance(source, str | int | Path | Camera):
        return camera_from(source, bgr=bgr)
    if bgr:
        raise UsageError("bgr is for an iterable of images; the frames of a camera are RGB already: leave bgr out")
    if not isinstance(source, Camera):
        return open_camera(source, live=live)
    if not hasattr(source, "clock"):  # set by the base class
        kind = type(source).__name__
        raise UsageError(f"{kind}.__init__ must call super().__init__() of allweather.Camera before anything else")
    return source
