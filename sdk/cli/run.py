"""allweather run."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allweather.cli.checks import parse_region
from allweather.cli.console import Update, handle_errors, print_result, progress_bar, say, to_json
from allweather.cli.options import AsJson, BundleFile, Engine, Precision, Threads
from allweather.runtimes.choices import ROTATED, STDOUT
from allweather.runtimes.errors import UsageError, map_write_errors
from allweather.runtimes.redaction import redacted

if TYPE_CHECKING:
    from allweather.runtimes.cameras.base import Camera
    from allweather.runtimes.loop.stats import LoopReport
    from allweather.runtimes.sinks.base import Sink
    from allweather.runtimes.types import Decision, Frame

DEFAULT_FPS = 25.0  # of the written video, where the source does not tell its frame rate
MEGABYTE = 10**6
MAX_PORT = 65535
MAX_SHOWN_LABELS = 8
_HOST = re.compile(r"[\w.-]*|\[?[0-9a-fA-F.]*:[0-9a-fA-F:.]*(?:%\w+)?\]?")


@handle_errors
def run(
    bundle: BundleFile,
    source: Annotated[
        list[str],
        typer.Option(
            help="Camera index, video file, folder of images, URL or GStreamer pipeline; env:NAME or file:PATH takes "
            "it from an environment variable or a file, as other users of the machine can read a command line. May be "
            "repeated; all sources share one engine."
        ),
    ],
    engine: Engine = None,
    precision: Precision = None,
    budget_ms: Annotated[
        float | None,
        typer.Option(
            help="Latency budget in milliseconds from capture to decision; as many views of a frame are run as fit. "
            "Without one, all views of the policy are run."
        ),
    ] = None,
    policy: Annotated[
        str | None,
        typer.Option(
            help="Test-time augmentation policy, such as center, hflip or top:2; the bundle's own if not given."
        ),
    ] = None,
    threads: Threads = None,
    region: Annotated[
        str | None,
        typer.Option(help="Part of each frame to decide on: x,y,width,height in pixels; the whole frame if not given."),
    ] = None,
    smooth: Annotated[
        float | None,
        typer.Option(
            help="Combine the decisions on each object over frames; the value is for about how many frames an object "
            "stays, such as 10. Each frame is taken by itself if not given."
        ),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Play a file at its own frame rate; frames that come while another is processed are dropped."
        ),
    ] = False,
    limit: Annotated[int | None, typer.Option(help="Stop after this many decisions on each source.")] = None,
    wait: Annotated[
        float | None,
        typer.Option(
            help="Fail if a camera or stream gives no frame within this many seconds, at first or after it was lost; "
            "without, it is waited for."
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Show the frames in a window; q closes it.")] = False,
    jsonl: Annotated[
        Path | None,
        typer.Option(
            help="Append each decision to this file or pipe as a line of JSON, with times in seconds; - for stdout."
        ),
    ] = None,
    jsonl_mb: Annotated[
        float | None,
        typer.Option(help="Start a new log file after this many megabytes; the previous one is kept as FILE.1."),
    ] = None,
    jsonl_fsync: Annotated[
        bool, typer.Option("--jsonl-fsync", help="Write each line to the disk before the next frame is processed.")
    ] = False,
    video: Annotated[
        Path | None, typer.Option(help="Write an annotated video (.mp4, .avi or .webm); an existing file is replaced.")
    ] = None,
    serve: Annotated[
        str | None,
        typer.Option(
            help="Serve a page with the live image, /metrics and /healthz on [HOST:]PORT; only to this machine if no "
            "HOST is given."
        ),
    ] = None,
    token: Annotated[
        str,
        typer.Option(
            envvar="ALLWEATHER_TOKEN",
            help="Token that viewers of the page must send; required if other machines can reach HOST.",
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Runs a bundle on cameras, videos or folders within a latency budget."""
    from allweather.runtimes.cameras.open import open_camera
    from allweather.runtimes.load import load
    from allweather.runtimes.loop.several_cameras import CameraLoop, run_cameras
    from allweather.runtimes.loop.stats import LoopStats
    from allweather.runtimes.monitor.preview import LivePreview
    from allweather.runtimes.monitor.systemd import SystemdNotifier
    from allweather.runtimes.temporal import Smoothing

    parsed_region = parse_region(region)
    smoothing = None if smooth is None else Smoothing(object_frames=smooth)
    _check_outputs(bundle, source, jsonl, video, jsonl_mb, jsonl_fsync, show)
    to_stdout = jsonl == Path(STDOUT)
    if to_stdout and as_json:
        raise UsageError("--json and --jsonl - both write to stdout; leave one of them out")
    address = None if serve is None else _parse_address(serve)
    with ExitStack() as stack:
        perceiver = stack.enter_context(
            load(bundle, engine=engine, precision=precision, budget_ms=budget_ms, policy=policy, threads=threads)
        )
        loops, previews = [], []
        for index, name in enumerate(source):
            camera = open_camera(name, live=live, wait_seconds=wait)
            stack.callback(camera.close)  # the loop opens it, so that frames that pass before are counted as well
            stats = LoopStats()
            previews.append(LivePreview(camera, stats, perceiver.budget))
            log, film = (_indexed(path, index, len(source)) for path in (jsonl, video))
            sinks = _open_sinks(camera, log, film, jsonl_mb, jsonl_fsync, show)
            loops.append(CameraLoop(camera, [*sinks, previews[-1]] if address else sinks, stats))
        if address:
            from allweather.runtimes.monitor.server import MonitorServer

            url = stack.enter_context(MonitorServer(previews, address, token)).url
            say(f"serving the live page on {url}{'?token=... (yours)' if token else ''}")
        update = stack.enter_context(progress_bar("run", limit))
        stack.enter_context(SystemdNotifier(previews))
        reports, signals = run_cameras(
            loops, perceiver, region=parsed_region, limit=limit,
            on_decisions=partial(_show_decisions, update, limit), smoothing=smoothing,
        )  # fmt: skip
    followed = {"engine": perceiver.engine_name, "precision": perceiver.precision, "policy": perceiver.policy.name}
    if not to_stdout:  # where only lines of JSON are expected
        _print_reports([loop.camera.name for loop in loops], reports, followed, as_json)
    if signals:
        raise typer.Exit(128 + signals[0])


def _check_outputs(
    bundle: Path,
    sources: Sequence[str],
    jsonl: Path | None,
    video: Path | None,
    jsonl_mb: float | None,
    fsync: bool,
    show: bool,
) -> None:
    """Checks the options about what is written and shown, before anything is opened."""
    for path in (path for path in (jsonl, video) if path and path != Path(STDOUT)):
        for index in range(len(sources)):
            _check_not_read(path, index, bundle, sources)
            if path is jsonl and jsonl_mb is not None:
                _check_not_read(path, index, bundle, sources, suffix=ROTATED)
    if jsonl and video and os.path.realpath(jsonl) == os.path.realpath(video):
        raise UsageError(f"--jsonl and --video both write {video}; name another file for one of them")
    if jsonl is None and (jsonl_mb is not None or fsync):
        raise UsageError(
            "--jsonl-mb and --jsonl-fsync are about the file of --jsonl; name one, such as --jsonl log.jsonl"
        )
    if jsonl_mb is not None and not 0 < jsonl_mb < float("inf"):
        raise UsageError(f"--jsonl-mb is a number of megabytes above 0; got {jsonl_mb:g}")
    if show and len(sources) > 1:
        raise UsageError("--show opens one window, for one source; use --serve for several")


def _check_not_read(path: Path, index: int, bundle: Path, sources: Sequence[str], suffix: str = "") -> None:
    """Checks that what is written for one of the sources is neither a source nor a part of the bundle."""
    from allweather.runtimes.cameras.image_files.names import is_image_name

    with map_write_errors(path):  # such as a name that is too long
        written = _indexed(path, index, len(sources))
        assert written is not None, "there is a path"
        written = written.with_name(written.name + suffix)
        target = Path(os.path.realpath(written))  # Path.resolve() fails for a link to itself
        if target.is_relative_to(os.path.realpath(bundle)):
            raise UsageError(f"{written} is in the bundle, which would be damaged; name another file to write")
        for source in sources:
            # Path.exists() fails for a name that is too long, as a pipeline may be
            if not target.exists() or not os.path.exists(source):  # noqa: PTH110
                continue
            if target.samefile(source) or (is_image_name(target.name) and target.parent.samefile(source)):
                raise UsageError(f"{written} is a source itself; name another file to write")


def _parse_address(text: str) -> tuple[str, int]:
    """Returns the host and port of [HOST:]PORT."""
    host, _, port = text.rpartition(":")
    if not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > MAX_PORT:
        raise UsageError(f"--serve is [HOST:]PORT with a port up to {MAX_PORT}, such as 8080; got {redacted(text)}")
    if not _HOST.fullmatch(host):
        raise UsageError(
            f"--serve is [HOST:]PORT, and HOST a name or address of this machine, such as 0.0.0.0; got {redacted(text)}"
        )
    return host.strip("[]") or "127.0.0.1", int(port)


def _indexed(path: Path | None, index: int, num_sources: int) -> Path | None:
    """Returns the file of one of several sources: log.jsonl becomes log-0.jsonl. Stdout and pipes stay one."""
    if path is None or num_sources == 1 or path == Path(STDOUT) or (path.exists() and not path.is_file()):
        return path
    return path.with_name(f"{path.stem}-{index}{path.suffix}")


def _open_sinks(
    camera: Camera, jsonl: Path | None, video: Path | None, jsonl_mb: float | None, fsync: bool, show: bool
) -> list[Sink]:
    from allweather.runtimes.sinks.jsonl import JsonlSink
    from allweather.runtimes.sinks.video import VideoSink
    from allweather.runtimes.sinks.window import WindowSink

    sinks: list[Sink] = []
    if jsonl:
        rotate_bytes = max(1, round(jsonl_mb * MEGABYTE)) if jsonl_mb else None
        sinks.append(JsonlSink(jsonl, source=camera.name, rotate_bytes=rotate_bytes, fsync=fsync))
    if video:
        sinks.append(VideoSink(video, lambda: camera.fps or DEFAULT_FPS))
    if show:
        sinks.append(WindowSink())
    return sinks


def _print_reports(
    names: Sequence[str], reports: Sequence[LoopReport], followed: dict[str, str], as_json: bool
) -> None:
    facts = [
        {
            "source": name,
            "frames": report.frames,
            "decided": report.decided,
            "late": report.late,
            **followed,
            **({"report": to_json(report)} if as_json else _in_words(report)),
        }
        for name, report in zip(names, reports, strict=True)
    ]
    labels: dict[str, int] = {}
    for report in reports:
        for label, count in report.labels.items():
            labels[label] = labels.get(label, 0) + count
    if as_json:
        print_result(
            {"sources": facts, "labels": labels} if len(facts) > 1 else {**facts[0], "labels": labels}, True, "run"
        )
        return
    for each in facts:
        common = list(labels.items())[:MAX_SHOWN_LABELS] if len(facts) == 1 else ()
        values = {**each, "labels": ", ".join(f"{label} {count}" for label, count in common)}
        print_result({key: value for key, value in values.items() if value != ""}, False, "run")


def _in_words(report: LoopReport) -> dict[str, Any]:
    times, ages = report.decision_time, report.frame_age
    if not times or not ages:
        return {}
    lost = report.drops.source
    causes = [f"{cause} {count}" for cause, count in vars(report.drops).items() if count and cause != "source"]
    return {
        "dropped": ", ".join(causes) or "none",
        "camera lost": f"{lost} time{'s' if lost > 1 else ''}" if lost else "",
        "views per frame": report.mean_views,
        "decisions per second": report.decisions_per_second,
        "decision p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (times.p50, times.p90, times.p99)),
        "frame age p50 / p90 / p99 ms": " / ".join(f"{1000 * t:.2f}" for t in (ages.p50, ages.p90, ages.p99)),
    }


def _show_decisions(update: Update, limit: int | None, frame: Frame, decisions: Sequence[Decision]) -> None:
    update(frame.index + 1, f"run: {decisions[0].label}" if decisions else "run", limit)
