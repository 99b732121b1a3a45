"""allweather run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.console import guarded, plain, progress, result
from allweather.cli.options import AsJson, Engine, Precision
from allweather.cli.options import region as parse_region
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.frame import Decision, Frame

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
    policy: Annotated[
        str | None, typer.Option(help="views of each frame: center, hflip, top:K, ...; the bundle's own if not given")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="look at x,y,width,height in pixels; the whole frame if not given")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="end after this many decisions")] = None,
    show: Annotated[bool, typer.Option("--show", help="in a window; q closes it")] = False,
    jsonl: Annotated[
        Path | None, typer.Option(help="write each decision as a line of JSON, times in seconds; replaces the file")
    ] = None,
    video: Annotated[
        Path | None, typer.Option(help="write an annotated video (.mp4, .avi, .webm); replaces the file")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Decides on the frames of a camera, video or folder."""
    from allweather.cli.interrupts import Interrupts
    from allweather.runtimes.camera import open_camera
    from allweather.runtimes.loading import load
    from allweather.runtimes.loop import run as run_loop
    from allweather.runtimes.sink_jsonl import JsonlSink
    from allweather.runtimes.sink_video import VideoSink
    from allweather.runtimes.sink_window import WindowSink
    from allweather.runtimes.sinks import Sink

    place = parse_region(region)
    for path in (jsonl, video):
        if path and path.exists() and Path(source).exists() and path.samefile(source):
            raise UsageError(f"{path} is the source itself; name another file to write")
    seen: Counter[str] = Counter()
    with (
        load(
            bundle,
            engine=engine.value if engine else None,
            precision=precision.value if precision else None,
            budget_ms=budget_ms,
            policy=policy,
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
        show_progress = partial(_show_progress, update, seen)
        with Interrupts(perceiver, show_progress) as interrupts:
            report = run_loop(camera, interrupts, [*sinks, interrupts], region=place, limit=limit)
    times = report.decision_time
    summary = {"source": camera.name, "frames": report.frames, "decided": report.decided, "late": report.late}
    if not as_json and times:
        summary |= {
            "dropped": report.drops.total,
            "seen": ", ".join(f"{label} {count}" for label, count in seen.most_common(8)),
            "decisions a second": report.decisions_per_second,
            "decision p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (times.p50, times.p90, times.p99)),
        }
    result({**summary, "report": plain(report)}, as_json, "run")
    if interrupts.received:
        raise typer.Exit(128 + interrupts.received[0])


def _show_progress(update: Callable[[int, str], None], seen: Counter[str], frame: Frame, decision: Decision) -> None:
    seen[decision.label] += 1
    update(frame.index + 1, f"run: {decision.label}")
