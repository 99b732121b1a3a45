"""A service of your own on several cameras: python camera_service.py BUNDLE PORT SOURCE...

Decisions to rely on go to camera-0.jsonl and so on, metrics to localhost:PORT/metrics. SIGTERM and Ctrl-C end it.
"""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor

from prometheus_client import Counter, Gauge, Histogram, start_http_server

import allweather

DECISIONS = Counter("decisions", "Number of decisions.", ["camera", "label", "reason"])
AGE = Histogram("age_seconds", "From capture to decision.", ["camera"], buckets=(0.005, 0.01, 0.02, 0.05, 0.1))
UP = Gauge("camera_up", "1 while frames come, else 0.", ["camera"])


class Accepted(allweather.JsonlSink):  # or of MqttSink
    """Writes the decisions to rely on."""

    def write(self, frame: allweather.Frame, decision: allweather.Decision) -> None:
        """Takes a decision."""
        if decision.accepted or (decision.accepted is None and decision.confidence >= 0.9):
            super().write(frame, decision)


def decide(camera: allweather.Camera, perceiver: allweather.Perceiver) -> None:
    """Decides on the frames of a camera until it is closed."""
    UP.labels(camera.name).set_function(lambda: camera.state.phase == "live")
    try:
        for decision in allweather.watch(camera, perceiver, sinks=[Accepted(f"{camera.name}.jsonl")]):
            DECISIONS.labels(camera.name, decision.label, decision.reason).inc()
            AGE.labels(camera.name).observe(decision.age)
    except allweather.AllweatherError as error:
        failed.append(f"{camera.name}: {error}")
        end()  # so that whatever has started this program starts it again


def end(*_: object) -> None:
    """Ends all loops, each after the decision on its present frame."""
    for camera in cameras:
        camera.close()


if len(sys.argv) < 4:
    sys.exit("usage: python camera_service.py BUNDLE PORT SOURCE...")
failed: list[str] = []
try:
    start_http_server(int(sys.argv[2]), "127.0.0.1")
    cameras = [allweather.open_camera(source, name=f"camera-{i}", live=True) for i, source in enumerate(sys.argv[3:])]
    perceiver = allweather.load(sys.argv[1], budget_ms=20, threads=1)
except (allweather.AllweatherError, OSError, OverflowError, ValueError) as error:  # all but the first are of the port
    sys.exit(f"error: {error}")
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, end)
with perceiver, ThreadPoolExecutor(len(cameras)) as threads:
    list(threads.map(decide, cameras, [perceiver] * len(cameras)))
print("\n".join(failed), file=sys.stderr)
sys.exit(75 if failed else 0)
