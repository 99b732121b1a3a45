"""The monitor server, tested by sockets that send what a browser, a monitoring system and a stranger would send."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import cv2
import numpy as np
import pytest
from previews import LOCALHOST, connect, first_event, get, port, preview

from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.connection_loop import MAX_CONNECTIONS, MAX_STREAMS
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.routes import is_loopback
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.types import Budget, Image


def test_the_page_is_served_and_an_unknown_path_names_the_known_ones() -> None:
    with MonitorServer([preview()], LOCALHOST) as server:
        status, body = get(server, "/")
        assert status == 200
        assert b"<!doctype html>" in body
        for path in ("/none", "/frames/1", "/frames/x", "/frames/-1", "/../etc/passwd", "/frames/99999999999"):
            status, body = get(server, path)
            assert status == 404
            assert all(known in body for known in (b"/frames/0", b"/events", b"/metrics", b"/healthz"))


def test_frames_are_images_of_the_newest_decision() -> None:
    with MonitorServer([preview(3)], LOCALHOST) as server, connect(server) as connection:
        connection.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")
        data = b""
        while data.count(b"\xff\xd9") < 1:
            data += connection.recv(65536)
    start = data.index(b"\xff\xd8")
    image = cv2.imdecode(np.frombuffer(data[start:], np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    assert image.shape[0] >= 240  # small frames are enlarged, so that the text can be read


def test_events_hold_the_state_of_all_cameras_and_no_nan() -> None:
    with MonitorServer([preview(2), preview(0)], LOCALHOST) as server:
        states: list[dict[str, Any]] = json.loads(first_event(server))
    first, second = states
    assert first["decisions"][0]["label"] == "<b>stop</b>"
    assert first["decisions"][0]["predicted_losses"] == [0.25, None]
    assert (first["decisions"][0]["planned_views"], first["decisions"][0]["reason"]) == (4, "budget")
    assert (first["decided"], first["budget_seconds"], first["views_per_frame"]) == (2, 0.033, [[2, 2]])
    assert first["decision_time_counts"][-1] == first["frame_age_counts"][-1] == 2
    assert (second["decided"], second["decisions"]) == (0, [])


def test_a_token_that_no_browser_sends_unchanged_is_refused_and_one_of_signs_works() -> None:
    for token in ("sch\u00f6n", "two words", "line\n", "\udce9"):
        with pytest.raises(UsageError, match="ASCII without spaces"):
            MonitorServer([], LOCALHOST, token)
    with MonitorServer([preview()], LOCALHOST, "a+b/c%=&") as server:
        for path in ("/?token=a+b/c%25=%26", "/?token=a%2Bb%2Fc%25%3D%26"):
            assert get(server, path)[0] == 200
        assert get(server, "/", Authorization="bearer a+b/c%=&")[0] == 200
        assert get(server, "/?token=a%20b/c%25=%26")[0] == 401


def test_a_token_allows_any_host_name_as_a_proxy_may_send_its_own() -> None:
    with MonitorServer([preview()], LOCALHOST, "s3cret") as server:
        assert get(server, "/?token=s3cret", Host="cams.example")[0] == 200
        assert get(server, "/", Host="cams.example")[0] == 401


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 401), ("/?token=wrong", {}, 401), ("/?token=s3cret", {}, 200), ("/metrics", {}, 401),
        ("/metrics", {"Authorization": "Bearer s3cret"}, 200), ("/healthz", {}, 200),
    ],
)  # fmt: skip
def test_a_token_is_required(path: str, headers: dict[str, str], status: int) -> None:
    with MonitorServer([preview()], LOCALHOST, "s3cret") as server:
        assert get(server, path, **headers)[0] == status


def test_a_foreign_name_that_resolves_to_this_machine_is_refused() -> None:
    with MonitorServer([preview()], LOCALHOST) as server:
        status, body = get(server, "/", Host="evil.example:80")
        assert status == 403
        assert b"'evil.example'" in body
        assert b"proxy_set_header Host localhost" in body
        assert get(server, "/", Host="localhost:1234")[0] == 200
        assert get(server, "/", Host="[::1]:1234")[0] == 200


def test_a_page_that_others_can_reach_needs_a_token() -> None:
    for host in ("0.0.0.0", "192.168.1.4", "::", "camera.local"):  # noqa: S104 -- it is refused
        with pytest.raises(UsageError, match="needs a token"):
            MonitorServer([], (host, 0))
    assert is_loopback("::1")


def test_a_page_on_all_addresses_has_the_name_of_the_machine() -> None:
    with MonitorServer([], ("0.0.0.0", 0), "s3cret") as server:  # noqa: S104 -- it has a token
        assert server.url.startswith(f"http://{socket.gethostname()}:")


def test_a_port_in_use_is_an_output_error() -> None:
    with MonitorServer([], LOCALHOST) as server, pytest.raises(OutputError, match="choose another port"):
        MonitorServer([], ("127.0.0.1", port(server)))


def test_a_host_that_no_machine_has_is_an_output_error() -> None:
    for host in ("\u00fc" * 70, "a\0b", "256.1.1.1", "::g"):
        with pytest.raises(OutputError, match="cannot serve"):
            MonitorServer([], (host, 0), "s3cret")


@pytest.mark.slow
def test_viewers_that_never_read_stop_nothing_and_surplus_ones_are_disconnected() -> None:
    def images() -> Iterator[Image]:
        for _ in range(300):
            yield np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)

    camera, stats = camera_from(images()), LoopStats()
    live_preview = LivePreview(camera, stats, Budget())
    with MonitorServer([live_preview], LOCALHOST) as server, ExitStack() as connections:
        for _ in range(MAX_STREAMS):
            connection = connections.enter_context(connect(server))
            connection.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")
        while server._loop.num_streams < MAX_STREAMS:  # the server has not read the last requests yet
            time.sleep(0.01)
        assert get(server, "/healthz")[0] in (200, 503)  # is served however many viewers there are
        status, body = get(server, "/events")
        assert status == 503
        assert b"too many viewers" in body
        for _ in range(MAX_CONNECTIONS - MAX_STREAMS + 4):
            connections.enter_context(connect(server))
        with Perceiver(FakeEngine(2), ("dark", "bright"), InputSpec(8, 8)) as perceiver:
            report = run(camera, perceiver, [live_preview], stats=stats)
        assert report.decided == 300
        assert server._loop.num_connections <= MAX_CONNECTIONS


@pytest.mark.parametrize("decisions", [0, 1])
def test_a_viewer_that_has_left_is_noticed_while_there_is_nothing_new_to_send(decisions: int) -> None:
    with MonitorServer([preview(decisions)], LOCALHOST) as server:
        for _ in range(3):
            connection = connect(server)
            connection.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")
            assert connection.recv(8)
            connection.close()
        deadline = time.monotonic() + 10
        while server._loop.num_connections and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not server._loop.num_connections
