"""allweather run."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from allweather.cli.console import guarded, plain, progress, result
from allweather.cli.options import AsJson, Engine, Precision
from allweather.cli.options import region as parse_region

FPS = 25.0  # of the video written where the source does not tell its own


@guarded
def run(
    bundle: Annotated[Path, typer.Argument(help="made by export: a folder or .zip")],
    source: Annotated[
        str, typer.Option(help="device index, video file, folder of pictures, URL or GStreamer pipeline")
    ],
    engine: Engine = None,
    precision: Precision = None,
    budget_ms: Annotated[float | None, typer.Option(help="from capture to decision; later ones count as late")] = None,
    region: Annotated[str | None, typer.Option(help="x,y,width,height in pixels to look at; the whole frame")] = None,
    limit: Annotated[int | None, typer.Option(help="end after this many decisions")] = None,
    show: Annotated[bool, typer.Option("--show", help="in a window; q closes it")] = False,
    jsonl: Annotated[Path | None, typer.Option(help="write each decision as a line of JSON")] = None,
    video: Annotated[Path | None, typer.Option(help="write an annotated video (.mp4)")] = None,
    as_json: AsJson = False,
) -> None:
    """Decides on the frames of a camera, video or folder."""
    from allweather.runtimes.camera import open_camera
    from allweather.runtimes.loop import run as run_loop
    from allweather.runtimes.perceiver import load
    from allweather.runtimes.sink_video import VideoSink
    from allweather.runtimes.sink_window import WindowSink
    from allweather.runtimes.sinks import CallbackSink, JsonlSink, Sink

    place = parse_region(region)
    with (
        load(
            bundle,
            engine=engine.value if engine else None,
            precision=precision.value if precision else None,
            budget_ms=budget_ms,
        ) as perceiver,
        open_camera(source) as camera,
        progress("run", limit) as update,
    ):
        sinks: list[Sink] = []
        if jsonl:
            sinks.append(JsonlSink(jsonl))
        if video:
            sinks.append(VideoSink(video, camera.fps or FPS))
        if show:
            sinks.append(WindowSink())
        sinks.append(CallbackSink(lambda frame, decision: update(frame.index + 1, f"run: {decision.label}")))
        with _ended_by_signals() as received:
            report = run_loop(camera, perceiver.decide, sinks, region=place, limit=limit)
    times = report.decision_time
    summary = {"source": camera.name, "frames": report.frames, "decided": report.decided, "late": report.late}
    if not as_json and times:
        summary |= {
            "dropped": report.drops.total,
            "decisions a second": report.decisions_per_second,
            "decision p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (times.p50, times.p90, times.p99)),
        }
    result({**summary, "report": plain(report)}, as_json, "run")
    if received:
        raise typer.Exit(128 + received[0])


@contextmanager
def _ended_by_signals() -> Iterator[list[int]]:
    """While open, Ctrl-C and SIGTERM end the loop in good order; yields the list of those that came."""
    from allweather.runtimes.sinks import Ended

    received: list[int] = []

    def end(number: int, frame: FrameType | None) -> None:
        received.append(number)
        raise Ended

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
