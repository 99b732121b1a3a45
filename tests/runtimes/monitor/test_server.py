"""The watch page, asked for by sockets as a browser, a monitor and a stranger would."""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import CameraError, OutputError, UsageError
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.health import Health, SystemdNotifier, health
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.server import STREAMS_MOST, VIEWERS_MOST, MonitorServer, is_loopback
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Budget, Decision, Frame, Image, StageTimes

LOCAL = ("127.0.0.1", 0)
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def decision(index: int = 0) -> Decision:
    return Decision(
        "<b>stop</b>", 0.75, np.ones(1, np.float32), index, ("identity", "hflip"), (0.25, float("nan")),
        StageTimes(0.001, 0.002, 0, 0, 0.01, 0), 0.02, False, 0, 4, 0.03, 0.012, "budget",
    )  # fmt: skip


def preview(count: int = 1, budget: float = 0.033) -> LivePreview:
    made = LivePreview(camera_from([]), LoopStats(), Budget(budget))
    for index in range(count):
        made.stats.add(decision(index))
        made.write(Frame(np.full((30, 40, 3), 90, np.uint8), index, 0.0), decision(index), None)
    return made


def connected(page: MonitorServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(page.url[17:-1])), timeout=10)


def ask(page: MonitorServer, path: str, **headers: str) -> tuple[int, bytes]:
    port = int(page.url.rsplit(":", 1)[1].strip("/"))
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    line.request("GET", path, headers=headers)
    answer = line.getresponse()
    body = answer.read(20_000) if path.startswith(("/frames", "/events")) else answer.read()
    line.close()
    return answer.status, body


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert set(threading.enumerate()) <= before


def test_the_page_is_there_and_what_is_not_says_what_is() -> None:
    with MonitorServer([preview()], LOCAL) as page:
        status, body = ask(page, "/")
        assert status == 200
        assert b"<!doctype html>" in body
        for path in ("/none", "/frames/1", "/frames/x", "/frames/-1", "/../etc/passwd", "/frames/99999999999"):
            assert ask(page, path) == (404, b"there are /, /frames/0, /events, /metrics, /healthz\n")


def test_frames_are_pictures_of_the_newest_decision() -> None:
    with MonitorServer([preview(3)], LOCAL) as page, connected(page) as line:
        line.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")
        data = b""
        while data.count(b"\xff\xd9") < 1:
            data += line.recv(65536)
    start = data.index(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(data[start:], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[0] >= 240  # small frames are enlarged to write on


def test_events_say_all_that_is_known_and_no_nan() -> None:
    with (
        MonitorServer([preview(2), preview(0)], LOCAL) as page,
        socket.create_connection(("127.0.0.1", int(page.url[17:-1]))) as line,
    ):
        line.sendall(b"GET /events HTTP/1.0\r\n\r\n")
        data = b""
        while b"\n\n" not in data.partition(b"\r\n\r\n")[2]:
            data += line.recv(65536)
    told: list[dict[str, Any]] = json.loads(data.partition(b"data: ")[2].partition(b"\n\n")[0])
    first, second = told
    assert first["decision"]["label"] == "<b>stop</b>"
    assert first["decision"]["predicted_losses"] == [0.25, None]
    assert (first["decision"]["planned_views"], first["decision"]["reason"]) == (4, "budget")
    assert (first["decided"], first["budget"]) == (2, 0.033)
    assert first["decision_times"][-1] == first["frame_ages"][-1] == 2
    assert (second["decided"], second["decision"]) == (0, None)


@pytest.mark.skipif(not CHROMIUM, reason="no Chromium here: what a browser makes of the page is not tested")
def test_a_browser_shows_the_decision(tmp_path: Path) -> None:
    assert CHROMIUM
    options = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
        "--disable-sync", "--no-first-run", f"--user-data-dir={tmp_path}", "--virtual-time-budget=4000", "--dump-dom",
    ]  # fmt: skip
    with MonitorServer([preview(3), preview(0)], LOCAL, "s3cret") as page:
        browser = subprocess.Popen([CHROMIUM, *options, f"{page.url}?token=s3cret"], stdout=subprocess.PIPE, stderr=-3)
        time.sleep(6)
    # Chromium's clock for such pages stands still while something comes in; the page has ended, and it goes on.
    shown = browser.communicate(timeout=60)[0].decode()
    assert "&lt;b&gt;stop&lt;/b&gt;" in shown
    assert "2 of 4 looks: cut to keep the budget" in shown
    assert shown.count('class="camera"') == 2
    assert "identity  0.25" in shown
    assert "33.0 ms" in shown


def test_metrics_are_read_by_prometheus_own_parser() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    with MonitorServer([preview(5)], LOCAL) as page:
        status, body = ask(page, "/metrics")
    assert status == 200
    found = {
        sample.name: sample for family in text_string_to_metric_families(body.decode()) for sample in family.samples
    }
    assert found["allweather_decisions_total"].value == 5
    assert found["allweather_decisions_total"].labels == {"camera": "iterator"}
    assert found["allweather_looks_total"].value == 10
    assert found["allweather_decision_seconds_count"].value == 5
    assert found["allweather_decision_seconds_sum"].value == pytest.approx(5 * 0.013)
    assert found["allweather_camera_up"].value == 1


def test_the_same_source_twice_has_two_names() -> None:
    with MonitorServer([preview(1), preview(2)], LOCAL) as page:
        body = ask(page, "/metrics")[1].decode()
    assert 'allweather_decisions_total{camera="iterator #0"} 1.0' in body
    assert 'allweather_decisions_total{camera="iterator #1"} 2.0' in body


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401), ("/?token=wrong", {}, 401), ("/?token=s3cret", {}, 200), ("/metrics", {}, 401),
        ("/metrics", {"Authorization": "Bearer s3cret"}, 200), ("/healthz", {}, 200),
    ],
)  # fmt: skip
def test_a_token_is_asked_for(path: str, headers: dict[str, str], status: int) -> None:
    with MonitorServer([preview()], LOCAL, "s3cret") as page:
        assert ask(page, path, **headers)[0] == status


def test_a_name_from_outside_that_points_here_is_refused() -> None:
    with MonitorServer([preview()], LOCAL) as page:
        assert ask(page, "/", Host="evil.example:80")[0] == 403
        assert ask(page, "/", Host="localhost:1234")[0] == 200
        assert ask(page, "/", Host="[::1]:1234")[0] == 200


def test_a_page_for_others_needs_a_token() -> None:
    for host in ("0.0.0.0", "192.168.1.4", "::", "camera.local"):  # noqa: S104 -- it is refused
        with pytest.raises(UsageError, match="needs a token"):
            MonitorServer([], (host, 0))
    assert is_loopback("::1")


def test_a_page_on_all_addresses_is_named_by_the_machine() -> None:
    with MonitorServer([], ("0.0.0.0", 0), "s3cret") as page:  # noqa: S104 -- it has a token
        assert page.url.startswith(f"http://{socket.gethostname()}:")


def test_a_port_in_use_is_an_output_error() -> None:
    with MonitorServer([], LOCAL) as page, pytest.raises(OutputError, match="cannot serve a page on"):
        MonitorServer([], ("127.0.0.1", int(page.url[17:-1])))


def test_viewers_that_never_read_slow_nothing_and_more_than_some_are_sent_away() -> None:
    def images() -> Iterator[Image]:
        for _ in range(300):
            yield np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    camera, stats = camera_from(images()), LoopStats()
    shown = LivePreview(camera, stats, Budget())
    with MonitorServer([shown], LOCAL) as page:
        lines = []
        for _ in range(VIEWERS_MOST + 4):
            lines.append(connected(page))
            lines[-1].sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")
        time.sleep(0.2)
        with Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8)) as eyes:
            report = run(camera, eyes, [shown], stats=stats)
        assert report.decided == 300
        assert report.stages["sink"].p99 < 0.05
        assert len(page._server._viewers) <= VIEWERS_MOST
        for line in lines[STREAMS_MOST:]:
            line.close()
        while len(page._server._viewers) > STREAMS_MOST:
            time.sleep(0.01)
        assert ask(page, "/healthz")[0] in (200, 503)  # however many are watching
        assert ask(page, "/events") == (503, b"too many are watching; close another page\n")
        for line in lines:
            line.close()


@pytest.mark.parametrize("decisions", [0, 1])
def test_who_has_left_is_noticed_while_nothing_new_is_to_be_seen(decisions: int) -> None:
    with MonitorServer([preview(decisions)], LOCAL) as page:
        for _ in range(3):
            line = connected(page)
            line.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")
            assert line.recv(8)
            line.close()
        deadline = time.monotonic() + 10
        while page._server._viewers and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not page._server._viewers


# ---- health


class Gone:
    """A camera that is not there."""

    def __call__(self) -> Any:
        raise CameraError("there is no camera rtsp://***@porch")


def test_health_tells_waiting_from_hanging() -> None:
    now = [100.0]
    stats = LoopStats(clock=lambda: now[0])
    shown = LivePreview(camera_from([]), stats, Budget())
    stats.add(decision())
    assert health([shown]) == Health(True, True, ())
    now[0] += 6
    stats.turn()
    assert health([shown]) == Health(True, False, ("iterator: no decision for 6 s",))
    now[0] += 20
    assert health([shown]) == Health(False, False, ("iterator: the loop has hung for 20 s",))


def test_a_camera_that_is_not_there_is_a_trouble_of_its_own() -> None:
    camera = LiveCamera(Gone(), "porch")
    shown = LivePreview(camera, LoopStats(), Budget())
    with MonitorServer([shown], LOCAL) as page, camera:
        reader = threading.Thread(target=lambda: list(camera))
        reader.start()
        while camera.state.phase != "waiting":
            time.sleep(0.01)
        status, body = ask(page, "/healthz")
        camera.close()
        reader.join(5)
    told = json.loads(body)
    assert (status, told["alive"], told["serving"]) == (503, True, False)
    assert told["troubles"] == ["porch: there is no camera rtsp://***@porch"]


def test_a_supervisor_is_told(tmp_path: Any) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(path)
        line.settimeout(5)
        with SystemdNotifier([preview()], {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "60000"}):
            assert line.recv(999) == b"READY=1"
            assert line.recv(999) == b"WATCHDOG=1\nSTATUS=deciding"
        while (told := line.recv(999)) != b"STOPPING=1":
            assert told.startswith(b"WATCHDOG=1")


def test_without_a_supervisor_nothing_is_told() -> None:
    with SystemdNotifier([preview()], {}) as quiet:
        assert quiet._thread is None
