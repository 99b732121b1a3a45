"""The health check: loops that decide, wait or hang."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

from previews import LOCALHOST, decision, get

from allweather.runtimes.cameras.live import LiveCamera
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.errors import CameraError
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.health import Health, check_health
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.types import Budget


def cannot_connect() -> Any:
    raise CameraError("there is no camera rtsp://***@porch")


def test_a_loop_that_waits_is_alive_and_one_that_hangs_is_not() -> None:
    now = [100.0]
    stats = LoopStats(clock=lambda: now[0])
    preview = LivePreview(camera_from([]), stats, Budget())
    stats.add_decisions((decision(),))
    assert check_health([preview]) == Health(True, True, ())
    now[0] += 6
    stats.mark_alive()
    waiting = check_health([preview])
    assert (waiting.alive, waiting.ready) == (True, False)
    assert "iterator: no decision for 6 s" in waiting.problems
    now[0] += 20
    hanging = check_health([preview])
    assert (hanging.alive, hanging.ready) == (False, False)
    assert "20 s" in hanging.problems[0]


def test_a_camera_that_is_missing_is_a_problem_but_no_hang() -> None:
    camera = LiveCamera(cannot_connect, "porch")
    preview = LivePreview(camera, LoopStats(), Budget())
    with MonitorServer([preview], LOCALHOST) as server, camera:
        reader = threading.Thread(target=lambda: list(camera))
        reader.start()
        while camera.state.phase != "waiting":
            time.sleep(0.01)
        status, body = get(server, "/healthz")
        camera.close()
        reader.join(5)
    health = json.loads(body)
    assert (status, health["alive"], health["ready"]) == (503, True, False)
    assert health["problems"] == ["porch: there is no camera rtsp://***@porch"]
