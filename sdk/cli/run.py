"""allweather run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from allweather.cli.checks import parse_cores, parse_regions, read_token
from allweather.cli.console import Update, handle_errors, progress_bar, say
from allweather.cli.options import AsJson, Engine, Precision, Threads
from allweather.cli.run_results import print_reports
from allweather.runtimes.choices import STDOUT
from allweather.runtimes.errors import UsageError
from allweather.site.outputs import MqttOutput, RunOutputs
from allweather.site.site import ModelChoice, Site, SiteCamera, parse_address

if TYPE_CHECKING:
    from allweather.runtimes.types import Decision, Frame


@handle_errors
def run(
    bundle: Annotated[Path | None, typer.Argument(help="Bundle: a folder or a .zip file.")] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with bundle, cameras and what is written, in place of all options but --limit, --json and "
            "secrets; SIGHUP reads it again. 'allweather config --check FILE' checks it."
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Camera index, video file, folder of images, URL or GStreamer pipeline; env:NAME or file:PATH takes "
            "it from an environment variable or a file, as other users of the machine can read a command line. May be "
            "repeated; all sources share one engine."
        ),
    ] = None,
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
        list[str] | None,
        typer.Option(
            help="Part of each frame to decide on: [NAME=]x,y,width,height in pixels; the whole frame if not given. "
            "May be repeated, with a name for each: they share the budget."
        ),
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
    table: Annotated[
        Path | None,
        typer.Option(
            help="Append each decision to this table: .csv, a row at once, or .parquet, which is complete at the end."
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(
            help="Publish each decision to an MQTT broker, such as mqtt://USER@HOST:PORT/TOPIC, or mqtts:// for TLS; "
            "env:NAME or file:PATH takes it, with a password, from an environment variable or a file. In TOPIC, "
            "allweather/CAMERA if not given, CAMERA is the source."
        ),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(help="Post decisions to this URL as JSON; also env:NAME or file:PATH."),
    ] = None,
    webhook_secret: Annotated[
        str,
        typer.Option(
            envvar="ALLWEATHER_WEBHOOK_SECRET", help="Secret that posts to the webhook are signed with (HMAC-SHA256)."
        ),
    ] = "",
    hard_frames: Annotated[
        Path | None,
        typer.Option(
            help="Save frames with a confidence of at most 0.6, or on which views disagree, in this folder, to be "
            "labeled: one in ten seconds at most, 500 MB in all."
        ),
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
            help="Token that viewers must send, or env:NAME or file:PATH; required if other machines can reach HOST.",
        ),
    ] = "",
    realtime: Annotated[
        bool,
        typer.Option(
            "--realtime",
            help="Run before other programs: locks the memory and has real-time priority, where the system permits it.",
        ),
    ] = False,
    cores: Annotated[
        str | None,
        typer.Option(help="Cores for --realtime, such as 2,3; all that the process may use if not given."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Runs a bundle on cameras, videos or folders within a latency budget."""
    from allweather.site.run_site import run_site

    token = read_token(token)
    read_again: Callable[[], Site] | None = None
    if config is None:
        outputs = RunOutputs(
            jsonl=jsonl, jsonl_mb=jsonl_mb, jsonl_fsync=jsonl_fsync, video=video, show=show, table=table,
            mqtt=None if mqtt is None else MqttOutput(mqtt),
            webhook=webhook, webhook_secret=webhook_secret if webhook else "", hard_frames=hard_frames,
        )  # fmt: skip
        cameras = SiteCamera("", "", policy, budget_ms, parse_regions(region), live, wait, outputs, smooth)
        address = None if serve is None else parse_address(serve, "--serve")
        if cores is not None and not realtime:
            raise UsageError("--cores is about --realtime, which is not given; use taskset for the cores alone")
        site = _site(bundle, source or [], cameras, ModelChoice("", engine, precision, threads), address, token)
        site = replace(site, realtime=realtime, cores=parse_cores(cores))
    else:
        given = {
            "BUNDLE": bundle, "--source": source, "--engine": engine, "--precision": precision, "--threads": threads,
            "--budget-ms": budget_ms, "--policy": policy, "--region": region, "--live": live, "--wait": wait,
            "--show": show, "--jsonl": jsonl, "--jsonl-mb": jsonl_mb, "--jsonl-fsync": jsonl_fsync, "--video": video,
            "--serve": serve, "--realtime": realtime, "--cores": cores, "--table": table,
            "--smooth": smooth, "--mqtt": mqtt, "--webhook": webhook, "--hard-frames": hard_frames,
        }  # fmt: skip
        _check_only_config(given)
        from allweather.site.read import read_site

        read = partial(read_site, config, token=token, webhook_secret=webhook_secret)
        site = read()
        if not sys.stderr.isatty():  # a lost terminal ends the program; without one, SIGHUP is what a supervisor sends
            read_again = partial(read, again=True)
    to_stdout = any(camera.outputs.jsonl == Path(STDOUT) for camera in site.cameras)
    if to_stdout and as_json:
        raise UsageError("--json and --jsonl - both write to stdout; leave one of them out")
    with progress_bar("run", limit, lines=False) as update:  # it may run for months
        report = run_site(
            site,
            limit=limit,
            on_decisions=partial(_show_decisions, update, limit),
            on_page=partial(_say_address, site.token),
            read_again=read_again,
        )
    if not to_stdout:  # where only lines of JSON are expected
        print_reports(report, as_json)
    if report.error:
        raise report.error
    if report.signals:
        raise typer.Exit(128 + report.signals[0])


def _check_only_config(given: Mapping[str, object]) -> None:
    """Checks that no option is given that a configuration replaces."""
    names = [name for name, value in given.items() if value is not None and value is not False]
    if names:
        raise UsageError(f"--config replaces {', '.join(names)}; leave it out, or write it into the file")


def _site(
    bundle: Path | None,
    sources: Sequence[str],
    camera: SiteCamera,
    models: ModelChoice,
    address: tuple[str, int] | None,
    token: str,
) -> Site:
    """Returns what the options say: the same for each source, but for the files that are written."""
    if bundle is None or not sources:
        missing = "the bundle" if bundle is None else "--source"
        raise UsageError(f"{missing} is missing: allweather run BUNDLE --source SOURCE, or run --config FILE")
    if camera.outputs.show and len(sources) > 1:
        raise UsageError("--show opens one window, for one source; use --serve for several")
    outputs = [camera.outputs.for_source(index, len(sources)) for index in range(len(sources))]
    for each in outputs:
        each.check(bundle, sources)
    cameras = tuple(replace(camera, source=source, outputs=each) for source, each in zip(sources, outputs, strict=True))
    return Site(replace(models, bundle=str(bundle)), cameras, address, token)


def _say_address(token: str, url: str) -> None:
    say(f"serving the live page on {url}{'?token=... (yours)' if token else ''}")


def _show_decisions(update: Update, limit: int | None, frame: Frame, decisions: Sequence[Decision]) -> None:
    update(frame.index + 1, f"run: {decisions[0].label}" if decisions else "run", limit)
