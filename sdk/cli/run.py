"""allweather run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allweather.cli.console import guarded, plain, progress, result, say
from allweather.cli.options import AsJson, Engine, Precision
from allweather.cli.options import region as parse_region
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.runtimes.cameras.open import Camera
    from allweather.runtimes.loop.stats import LoopReport
    from allweather.runtimes.sinks.base import Sink
    from allweather.runtimes.types import Decision, Frame

FPS = 25.0  # of the video written where the source does not tell its own
MEGABYTE = 10**6


@guarded
def run(
    bundle: Annotated[Path, typer.Argument(help="made by export: a folder or .zip")],
    source: Annotated[
        list[str],
        typer.Option(help="device index, video file, folder of pictures, URL or GStreamer pipeline; may be repeated"),
    ],
    engine: Engine = None,
    precision: Precision = None,
    budget_ms: Annotated[
        float | None, typer.Option(help="from capture to decision: as many looks are taken as fit into it")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="views of each frame: center, hflip, top:K, ...; the bundle's own if not given")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="cores to decide on; all if not given. Fewer keep steady beside other programs")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="look at x,y,width,height in pixels; the whole frame if not given")
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="play a file at its own speed and lose what is not looked at in time")
    ] = False,
    limit: Annotated[int | None, typer.Option(help="end after this many decisions on each source")] = None,
    show: Annotated[bool, typer.Option("--show", help="in a window; q closes it")] = False,
    jsonl: Annotated[Path | None, typer.Option(help="append each decision as a line of JSON, times in seconds")] = None,
    jsonl_mb: Annotated[
        float | None, typer.Option(help="begin a new log after so many megabytes; the last one is kept as FILE.1")
    ] = None,
    jsonl_fsync: Annotated[
        bool, typer.Option("--jsonl-fsync", help="have each line on the disk before the next frame")
    ] = False,
    video: Annotated[
        Path | None, typer.Option(help="write an annotated video (.mp4, .avi, .webm); replaces the file")
    ] = None,
    page: Annotated[
        str | None, typer.Option(help="serve a watch page, /metrics and /healthz on [HOST:]PORT; HOST is this machine")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="ALLWEATHER_TOKEN", help="that viewers of the page need; a must on other HOSTs")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Decides on the frames of cameras, videos or folders."""
    from allweather.runtimes.cameras.open import open_camera
    from allweather.runtimes.load import load
    from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
    from allweather.runtimes.loop.stats import LoopStats
    from allweather.runtimes.monitor.health import SystemdNotifier
    from allweather.runtimes.monitor.preview import LivePreview

    place = parse_region(region)
    _check_options(source, jsonl, video, jsonl_mb, show)
    address = _address(page) if page else None
    with ExitStack() as stack:
        perceiver = stack.enter_context(
            load(
                bundle,
                engine=engine.value if engine else None,
                precision=precision.value if precision else None,
                budget_ms=budget_ms,
                policy=policy,
                threads=threads,
            )
        )
        watched, previews = [], []
        for number, name in enumerate(source):
            camera = open_camera(name, live=live)
            stack.callback(camera.close)  # the loop opens it, so that what passes before is counted, too
            stats = LoopStats()
            previews.append(LivePreview(camera, stats, perceiver.budget))
            files = [_numbered(path, number, len(source)) for path in (jsonl, video)]
            sinks = _sinks(camera, files[0], files[1], jsonl_mb, jsonl_fsync, show)
            watched.append(CameraLoop(camera, [*sinks, previews[-1]] if address else sinks, stats))
        if address:
            from allweather.runtimes.monitor.server import MonitorServer

            url = stack.enter_context(MonitorServer(previews, address, token)).url
            say(f"watch it on {url}{'?token=... (yours)' if token else ''}")
        update = stack.enter_context(progress("run", limit))
        seen: Counter[str] = Counter()
        stack.enter_context(SystemdNotifier(previews))
        reports, signals = run_cameras(
            watched, perceiver, region=place, limit=limit, watch=partial(_show_progress, update, seen)
        )
    _tell([one.camera.name for one in watched], reports, perceiver.policy.name, seen, as_json)
    if signals:
        raise typer.Exit(128 + signals[0])


def _check_options(
    sources: Sequence[str],
    jsonl: Path | None,
    video: Path | None,
    jsonl_mb: float | None,
    show: bool,
) -> None:
    """Refuses what cannot be, before anything is opened."""
    written = [_numbered(path, number, len(sources)) for path in (jsonl, video) for number in range(len(sources))]
    for path in written:
        for source in sources:
            if path and path.exists() and Path(source).exists() and path.samefile(source):
                raise UsageError(f"{path} is a source itself; name another file to write")
    if jsonl_mb is not None and not 0 < jsonl_mb < float("inf"):
        raise UsageError(f"--jsonl-mb is a number of megabytes above 0; got {jsonl_mb:g}")
    if show and len(sources) > 1:
        raise UsageError("--show opens one window, for one source; use --page for several")


def _address(text: str) -> tuple[str, int]:
    """The host and port in [HOST:]PORT."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdecimal() or int(port) > 65535:
        raise UsageError(f"--page is [HOST:]PORT with a port up to 65535, such as 8080; got {text}")
    return host.strip("[]") or "127.0.0.1", int(port)


def _numbered(path: Path | None, number: int, count: int) -> Path | None:
    """The file of one of several sources: log.jsonl becomes log-0.jsonl."""
    return path.with_name(f"{path.stem}-{number}{path.suffix}") if path and count > 1 else path


def _sinks(
    camera: Camera, jsonl: Path | None, video: Path | None, jsonl_mb: float | None, fsync: bool, show: bool
) -> list[Sink]:
    from allweather.runtimes.sinks.jsonl import JsonlSink
    from allweather.runtimes.sinks.video import VideoSink
    from allweather.runtimes.sinks.window import WindowSink

    sinks: list[Sink] = []
    if jsonl:
        sinks.append(JsonlSink(jsonl, rotate_bytes=round(jsonl_mb * MEGABYTE) if jsonl_mb else None, fsync=fsync))
    if video:
        sinks.append(VideoSink(video, lambda: camera.fps or FPS))
    if show:
        sinks.append(WindowSink())
    return sinks


def _tell(names: Sequence[str], reports: Sequence[LoopReport], policy: str, seen: Counter[str], as_json: bool) -> None:
    facts = [
        {
            "source": name,
            "frames": report.frames,
            "decided": report.decided,
            "late": report.late,
            "policy": policy,
            **({"report": plain(report)} if as_json else _in_words(report)),
        }
        for name, report in zip(names, reports, strict=True)
    ]
    if as_json:
        result({"sources": facts, "seen": seen} if len(facts) > 1 else {**facts[0], "seen": seen}, True, "run")
        return
    for each in facts:
        common = ", ".join(f"{label} {count}" for label, count in seen.most_common(8)) if len(facts) == 1 else ""
        result({key: value for key, value in {**each, "seen": common}.items() if value != ""}, False, "run")


def _in_words(report: LoopReport) -> dict[str, Any]:
    times, ages = report.decision_time, report.frame_age
    if not times or not ages:
        return {}
    lost = report.drops.source
    causes = [f"{cause} {count}" for cause, count in vars(report.drops).items() if count and cause != "source"]
    return {
        "dropped": ", ".join(causes) or "none",
        "camera lost": f"{lost} time{'s' if lost > 1 else ''}" if lost else "",
        "looks a frame": report.mean_views,
        "decisions a second": report.decisions_per_second,
        "decision p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (times.p50, times.p90, times.p99)),
        "frame age p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (ages.p50, ages.p90, ages.p99)),
    }


def _show_progress(update: Callable[[int, str], None], seen: Counter[str], frame: Frame, decision: Decision) -> None:
    seen[decision.label] += 1
    update(frame.index + 1, f"run: {decision.label}")
