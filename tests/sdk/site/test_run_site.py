"""Running a configuration: cameras with settings of their own, and reading it again while it runs."""

from __future__ import annotations

import json
import logging
import signal
import socket
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from commands import invoke, start
from sites import config, write_video

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.site import run_site as running
from allweather.site.open_site import LoadedSite, load_site
from allweather.site.read import site_from
from allweather.site.reload import Reload, reloaded
from allweather.site.run_site import run_site


def live(raw: Any) -> Any:
    """The same configuration with films that are played at their own speed."""
    return {**raw, "cameras": [{**camera, "live": True} for camera in raw["cameras"]]}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.end_to_end
def test_each_camera_has_its_policy_its_regions_and_its_log(sample_bundle: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "x.avi", 4)
    (tmp_path / "site.yaml").write_text(json.dumps(config(sample_bundle, tmp_path)))
    done = invoke("run", "--config", str(tmp_path / "site.yaml"), "--json")
    assert done.exit_code == 0, done.output
    front, yard = lines(tmp_path / "front.jsonl"), lines(tmp_path / "yard.jsonl")
    assert {each["source"] for each in front} == {"front"}
    assert [len(each["views"]) for each in front] == [2] * 4
    assert [(len(each["views"]), each["name"], each["region"]) for each in yard] == [(1, "gate", [0, 0, 32, 32])] * 4


@pytest.mark.end_to_end
def test_a_configuration_is_read_again_and_a_wrong_one_changes_nothing(sample_bundle: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "x.avi", 2000)
    path = tmp_path / "site.yaml"
    raw = live(config(sample_bundle, tmp_path))
    path.write_text(json.dumps(raw))
    running = start("run", "--config", str(path))
    try:
        wait_until(lambda: len(lines(tmp_path / "front.jsonl")) > 2)
        path.write_text(json.dumps({**raw, "polcy": "center"}))
        running.send_signal(signal.SIGHUP)
        time.sleep(1.0)
        before = len(lines(tmp_path / "front.jsonl"))
        wait_until(lambda: len(lines(tmp_path / "front.jsonl")) > before + 2)
        with socket.create_server(("127.0.0.1", 0)) as taken:  # what can be told only when it is opened
            path.write_text(json.dumps({**raw, "serve": str(taken.getsockname()[1])}))
            running.send_signal(signal.SIGHUP)
            time.sleep(2.0)
            before = len(lines(tmp_path / "front.jsonl"))
            wait_until(lambda: len(lines(tmp_path / "front.jsonl")) > before + 2)
        path.write_text(json.dumps({**raw, "policy": "center"}))
        running.send_signal(signal.SIGHUP)
        wait_until(lambda: len(lines(tmp_path / "front.jsonl")[-1]["views"]) == 1)
    finally:
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert "the configuration stays as it was: site.yaml: no key is called 'polcy'; did you mean policy?" in errors
    assert "the configuration stays as it was: cannot serve a page on 127.0.0.1" in errors
    assert errors.count(f"the configuration was read again; {sample_bundle} decides") == 1
    assert "classes are others" not in errors
    assert "Traceback" not in errors


@pytest.mark.end_to_end
def test_a_configuration_that_fails_at_its_start_gives_way_to_the_one_before(
    sample_bundle: Path, tmp_path: Path
) -> None:
    write_video(tmp_path / "x.avi", 2000)
    (tmp_path / "taken").touch()
    (tmp_path / "other.csv").write_text("a,b\n")
    path, log = tmp_path / "site.yaml", tmp_path / "front.jsonl"
    raw = live(config(sample_bundle, tmp_path))
    path.write_text(json.dumps(raw))
    running = start("run", "--config", str(path))
    try:
        wait_until(lambda: len(lines(log)) > 2)
        for change in (
            {"regions": {"gate": [5000, 0, 9, 9]}},
            {"table": str(tmp_path / "other.csv")},
            {"video": str(tmp_path / "taken" / "x.mp4")},
            {"webhook": {"url": "http://127.0.0.1:9/"}},  # which fails at its end, and not at its start
        ):
            path.write_text(json.dumps({**raw, "cameras": [raw["cameras"][0], {**raw["cameras"][1], **change}]}))
            running.send_signal(signal.SIGHUP)
            time.sleep(2.0)
            written = len(lines(log))
            wait_until(lambda written=written: len(lines(log)) > written + 2)  # type: ignore[misc]
        path.write_text(json.dumps({**raw, "policy": "center"}))
        running.send_signal(signal.SIGHUP)
        wait_until(lambda: len(lines(log)[-1]["views"]) == 1)
    finally:
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM, errors
    for reason in ("the region 5000,0,9,9 reaches outside", "cannot continue", "cannot write"):
        assert f"the configuration stays as it was: {reason}" in errors
    assert "decisions or events are missing at http://127.0.0.1:9" in errors
    assert "Traceback" not in errors


def wait_until(condition: Any, seconds: float = 60.0) -> None:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds
        time.sleep(0.05)


def test_models_that_stay_the_same_are_not_loaded_again(sample_bundle: Path, tmp_path: Path) -> None:
    raw = config(sample_bundle, tmp_path)
    running = load_site(site_from(raw, "site.yaml"))
    served = site_from({**raw, "serve": "8080"}, "site.yaml")
    hangups: list[int] = []
    previous = signal.signal(signal.SIGHUP, lambda *_: hangups.append(1))
    try:
        reload = Reload(lambda: served, running)
        assert not reload.on_hangup()
        reload.join()
        time.sleep(0)  # the handler runs between two instructions of this thread
        assert hangups == [1]
        assert reload.on_hangup()
        ready = reload.take()
        assert ready is not None
        assert ready.site is served
        assert ready.perceivers is running.perceivers
    finally:
        signal.signal(signal.SIGHUP, previous)
        running.close()


def test_a_signal_to_end_wins_over_a_configuration_that_is_ready(
    sample_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_video(tmp_path / "x.avi", 1)
    raw = config(sample_bundle, tmp_path)
    runs: list[int] = []

    def run_cameras(loops: Any, *, on_hangup: Any, **_: object) -> list[int]:
        runs.append(1)
        wait_until(on_hangup)
        return [signal.SIGHUP, signal.SIGTERM]

    monkeypatch.setattr("allweather.site.run_site.run_cameras", run_cameras)
    report = run_site(
        site_from(raw, "site.yaml"), limit=None, on_decisions=lambda *_: None, on_page=print,
        read_again=lambda: site_from(raw, "site.yaml"),
    )  # fmt: skip
    assert (runs, report.signals) == ([1], [signal.SIGTERM])


def test_what_changes_while_a_configuration_is_read_is_read_again(sample_bundle: Path, tmp_path: Path) -> None:
    raw = config(sample_bundle, tmp_path)
    running = load_site(site_from(raw, "site.yaml"))
    reading, goes_on = threading.Event(), threading.Event()
    sites = [site_from({**raw, "serve": port}, "site.yaml") for port in ("8081", "8082")]

    def read() -> Any:
        reading.set()
        goes_on.wait(30)
        return sites.pop(0)

    previous = signal.signal(signal.SIGHUP, lambda *_: None)
    try:
        reload = Reload(read, running)
        reload.on_hangup()
        reading.wait(30)
        assert not reload.on_hangup()
        goes_on.set()
        reload.join()
        ready = reload.take()
        assert ready is not None
        assert ready.site.address == ("127.0.0.1", 8082)
        assert not reload.is_outdated
    finally:
        signal.signal(signal.SIGHUP, previous)
        running.close()


def test_a_configuration_that_cannot_be_read_is_not_ready(sample_bundle: Path, tmp_path: Path) -> None:
    def read() -> Any:
        raise UsageError("site.yaml: no")

    running = load_site(site_from(config(sample_bundle, tmp_path), "site.yaml"))
    reload = Reload(read, running)
    assert not reload.on_hangup()
    reload.join()
    assert reload.take() is None
    running.close()


@pytest.mark.slow
def test_what_is_loaded_when_the_program_ends_is_closed_and_told_to_nobody(sample_bundle: Path, tmp_path: Path) -> None:
    raw = config(sample_bundle, tmp_path)
    running = load_site(site_from(raw, "site.yaml"))
    reading, ended = threading.Event(), threading.Event()

    def read() -> Any:
        reading.set()
        ended.wait(30)
        return site_from({**raw, "policy": "center"}, "site.yaml")

    hangups: list[int] = []
    previous = signal.signal(signal.SIGHUP, lambda *_: hangups.append(1))
    try:
        before = threading.active_count()
        reload = Reload(read, running)
        reload.on_hangup()
        reading.wait(30)
        threading.Timer(0.2, ended.set).start()
        reload.close()  # waits, as a process that ends while its models are being loaded is aborted
        assert ended.is_set()
        assert not hangups
        assert reload.take() is None
        wait_until(lambda: threading.active_count() == before)
    finally:
        signal.signal(signal.SIGHUP, previous)
        running.close()


def test_the_priority_of_the_program_cannot_be_changed_while_it_runs(sample_bundle: Path, tmp_path: Path) -> None:
    raw = config(sample_bundle, tmp_path)
    running = LoadedSite(site_from(raw, "site.yaml"), (), Bundle.open(sample_bundle).manifest)
    with pytest.raises(UsageError, match="realtime and cores hold for the whole program"):
        reloaded(site_from({**raw, "realtime": True}, "site.yaml"), running)


@pytest.mark.parametrize(("now", "told"), [(("stop", "yield"), False), (("stop", "cat"), True)])
def test_a_bundle_of_other_classes_is_told(
    now: tuple[str, ...], told: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(running, "_open", lambda *_: [])
    site, previous = (
        SimpleNamespace(
            site=SimpleNamespace(models=SimpleNamespace(bundle="new.aw")),
            manifest=SimpleNamespace(classes=classes),
            close_unless_shared=lambda other: None,
        )
        for classes in (now, ("yield", "stop"))
    )
    with ExitStack() as stack:
        running._open_or_keep(site, previous, [], print, stack)  # type: ignore[arg-type]
    assert caplog.messages[0] == "the configuration was read again; new.aw decides"
    assert caplog.messages[1:] == ["its classes are others than before: stop, cat, and not yield, stop"] * told
