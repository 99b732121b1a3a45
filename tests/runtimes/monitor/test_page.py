"""The page: its script reads only what the server sends, and a browser shows it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from typing import Any, get_args

import pytest
from browser import Tab, browser
from previews import LOCALHOST, connect, first_event, preview

from allweather.runtimes.camera_health import CameraHealth, HealthReason, HealthState
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.types import Drops, Reason, StageTimes

PAGE, STYLE = (
    files("allweather.runtimes.monitor").joinpath(f"page.{kind}").read_text("utf-8") for kind in ("js", "css")
)
IMAGES_SHOWN = "[...document.querySelectorAll('.image img')].filter(image => image.naturalWidth > 0).length"


def state() -> dict[str, Any]:
    """Returns the state of one camera as the page gets it."""
    shown = preview(3)
    shown.stats.set_health(CameraHealth("degraded", ("dark",)))
    with MonitorServer([shown], LOCALHOST) as server:
        (first,) = json.loads(first_event(server))
    return dict(first)


def keys_read(variable: str) -> set[str]:
    """Returns the keys of an object that the script of the page reads, such as `label` of `decision.label`."""
    return set(re.findall(rf"(?<![\w.]){variable}\.(\w+)", PAGE)) | set(re.findall(rf"state\.{variable}\.(\w+)", PAGE))


def table_keys(name: str) -> set[str]:
    """Returns the keys of a constant table of the script."""
    (table,) = re.findall(rf"const {name} = {{(.*?)}};", PAGE, re.DOTALL)
    return set(re.findall(r"(\w+): \"", table))


def test_every_key_that_the_page_reads_is_sent() -> None:
    sent = state()
    sent.update(version=3, index=2)  # of updates alone, see test_routes
    for variable, keys in (("state", sent), ("decision", sent["decisions"][0]), ("camera", sent["camera"]),
                           ("health", sent["health"])):  # fmt: skip
        read = keys_read(variable)
        assert read, f"the page reads nothing of {variable}"
        assert read <= set(keys), f"{variable} has no {read - set(keys)}"
    assert {"p50", "p90", "p99"} <= set(sent["frame_age"])


def test_every_reason_stage_and_cause_has_its_words_or_color() -> None:
    assert table_keys("REASONS") == set(get_args(Reason))
    stages = {field.name for field in fields(StageTimes)}
    assert all(STYLE.count(f"--{stage}:") == 2 for stage in stages)  # light and dark
    assert table_keys("HEALTH") == set(get_args(HealthState))
    assert table_keys("HEALTH_REASONS") == set(get_args(HealthReason))
    assert all(f".health.{state}" in STYLE for state in get_args(HealthState) if state != "clear")
    assert table_keys("CAUSES") == {field.name for field in fields(Drops)}


def test_the_script_takes_no_text_as_markup() -> None:
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", PAGE)


@pytest.mark.slow
def test_a_browser_shows_the_decision_with_the_image_of_its_frame(tmp_path: Path) -> None:
    with MonitorServer([preview(3), preview(0)], LOCALHOST, "s3+cret") as server, browser(tmp_path) as started:
        tab = Tab(started, f"{server.url}?token=s3+cret")
        tab.wait(f"{IMAGES_SHOWN} === 1")
        text = tab.evaluate("document.body.innerText")
        assert tab.evaluate("document.querySelectorAll('.camera').length") == 2
        assert tab.evaluate("document.querySelector('.image img').alt") == "frame 2 of iterator"
        assert tab.evaluate("document.title") == "allweather: 2 cameras"
        assert not started.events  # nothing was blocked, and nothing failed
    assert all(part in text for part in ("<b>stop</b>", "2 of 4 views", "identity", "33.0 ms"))


@pytest.mark.slow
def test_a_browser_shows_the_health_of_a_camera_in_words(tmp_path: Path) -> None:
    sick = preview(1)
    sick.stats.set_health(CameraHealth("degraded", ("dark", "covered")))
    with MonitorServer([sick], LOCALHOST) as server, browser(tmp_path) as started:
        tab = Tab(started, server.url)
        tab.wait(f"{IMAGES_SHOWN} === 1")
        assert tab.evaluate("document.querySelector('.health').innerText") == (
            "camera health: degraded, too dark, covered or dirty"
        )
        assert not started.events


@pytest.mark.slow
def test_eight_cameras_in_each_of_seven_tabs_show_their_images(tmp_path: Path) -> None:
    """A browser opens six connections to a host at most."""
    with MonitorServer([preview(1) for _ in range(8)], LOCALHOST) as server, browser(tmp_path) as started:
        for tab in [Tab(started, server.url) for _ in range(7)]:
            tab.wait(f"{IMAGES_SHOWN} === 8")


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/cams/", "/cams", "/a/b/c/"])
def test_the_page_works_behind_a_proxy_that_adds_a_prefix(tmp_path: Path, path: str) -> None:
    with MonitorServer([preview(1)], LOCALHOST) as server, browser(tmp_path) as started:
        with proxy(path.rstrip("/"), server) as url:
            tab = Tab(started, url + path)
            tab.wait(f"{IMAGES_SHOWN} === 1")
        tab.wait("document.body.className === 'stale'")
        assert "not connected" in tab.evaluate("document.title")


@contextmanager
def proxy(prefix: str, server: MonitorServer) -> Iterator[str]:
    """A reverse proxy that removes a prefix from the path; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path.startswith(prefix)
            with connect(server) as connection:
                path = self.path[len(prefix) :] or "/"
                connection.sendall(f"GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                while data := connection.recv(65536):
                    self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Logs nothing."""

    with ThreadingHTTPServer(LOCALHOST, Handler) as proxy_server:
        thread = threading.Thread(target=proxy_server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy_server.server_address[1]}"
        finally:
            proxy_server.shutdown()
            thread.join()
