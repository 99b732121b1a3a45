"""Runs the loop into all sinks, while the MQTT broker is killed, the webhook fails and a detector throws and hangs.

    python benchmarks/runtimes/soak_sinks.py [--frames N] [--rate PER_SECOND]

The loop decides with a real bundle, within a budget and with camera health and smoothing, on the boxes of a detector.
That throws every hundredth time and hangs three times. The broker is killed and started again three times, and the
webhook refuses every seventh post. Prints how fast memory grows, and how many of the decisions each sink has got. It
needs Mosquitto, and `allweather[mqtt,parquet]`.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pyarrow.parquet
from paho.mqtt.enums import CallbackAPIVersion
from soak import memory, trend

import allweather
from allweather.runtimes.cameras.open import camera_from
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.temporal import Smoother
from allweather.runtimes.types import Image

LOCALHOST = "127.0.0.1"
BUNDLE = Path(__file__).parents[2] / "samples" / "bundles" / "signs-robust"
AWAY_SECONDS = 3.0  # that the broker is away
HANG_SECONDS = 8.0  # of the detector, which is given 5
FAULTS = 3  # of the broker, and hangs of the detector


class Broker:
    """Mosquitto on a port of its own.

    Args:
        folder: Folder for its settings.
        port: The port.
    """

    def __init__(self, folder: Path, port: int) -> None:
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "mosquitto"
        self._command = [program, "-c", str(folder / "mosquitto.conf")]
        Path(self._command[2]).write_text(f"listener {port} {LOCALHOST}\nallow_anonymous true\nmax_queued_messages 0\n")

    def start(self) -> None:
        """Starts the broker."""
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command, stdout=nowhere, stderr=nowhere)  # noqa: S603 -- our own words

    def kill(self) -> None:
        """Ends the broker at once."""
        self._process.kill()
        self._process.wait()


class Hook(BaseHTTPRequestHandler):
    """Takes POSTs, and refuses every seventh for the time being."""

    posts = decisions = 0

    def do_POST(self) -> None:
        """Takes the decisions, or says 503."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        Hook.posts += 1
        is_taken = Hook.posts % 7 > 0
        Hook.decisions += body.count(b'"index": ') if is_taken else 0
        self.send_response(204 if is_taken else 503)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Logs nothing."""


def receive(broker_port: int, frames: int, parent: Connection) -> None:
    """Takes what is posted and published, in a process of its own whose memory is not measured.

    Args:
        broker_port: Port of the broker.
        frames: Number of frames that there will be.
        parent: Is sent the port of the webhook first; after anything is received from it, the number of frames of which
            a decision was published, and of decisions that were posted.
    """
    heard = np.zeros(frames, bool)

    def hear(client: Any, data: Any, message: paho.MQTTMessage) -> None:
        heard[int(message.payload[message.payload.index(b'"index": ') + 9 :].split(b",", 1)[0])] = True

    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.reconnect_delay_set(0.05, 0.1)  # type: ignore[arg-type]  # sooner than the sink, or it misses some
    client.on_connect = lambda client, *_: client.subscribe("soak/decision", 1)
    client.on_message = hear
    client.connect_async(LOCALHOST, broker_port)
    client.loop_start()
    with ThreadingHTTPServer((LOCALHOST, 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        parent.send(server.server_address[1])
        parent.recv()
        time.sleep(2)  # for what the broker has not passed on yet
        parent.send((int(heard.sum()), Hook.decisions))
        server.shutdown()


@contextmanager
def receiving(broker_port: int, frames: int) -> Iterator[Connection]:
    """Runs `receive` in a process of its own while the `with` block lasts."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=receive, args=(broker_port, frames, theirs), daemon=True)
    process.start()
    try:
        yield ours
    finally:
        process.terminate()
        process.join()


class Watched(allweather.Sink):
    """Counts the decisions before the other sinks get them, takes their time, and disturbs the broker.

    Args:
        broker: The broker.
        frames: Number of frames that there will be.
    """

    def __init__(self, broker: Broker, frames: int) -> None:
        self.decisions = 0
        self.memory = np.zeros(100)  # allocated before, so that it is not measured itself
        self.write_seconds = np.full(frames, np.nan)
        self._broker, self._frames, self._back_at, self._kills = broker, frames, float("inf"), 0

    def write(self, frame: allweather.Frame, decision: allweather.Decision) -> None:
        """Is not called, as `write_frame` takes all decisions of a frame."""

    def write_frame(self, frame: allweather.Frame, decisions: Sequence[allweather.Decision]) -> None:
        """Counts the decisions on a frame."""
        self.decisions += len(decisions)
        position = 100 * frame.index // self._frames
        if self.memory[position] == 0:
            self.memory[position] = memory()
        if time.monotonic() > self._back_at:
            self._broker.start()
            self._back_at = float("inf")
        if self._kills < FAULTS and frame.index > (self._kills + 1) * self._frames // (FAULTS + 1):
            self._broker.kill()
            self._back_at, self._kills = time.monotonic() + AWAY_SECONDS, self._kills + 1
        self.write_seconds[frame.index] = -time.perf_counter()


class Last(allweather.Sink):
    """Takes the time when all sinks have got the decisions on a frame."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched

    def write(self, frame: allweather.Frame, decision: allweather.Decision) -> None:
        """Is not called, as `write_frame` takes all decisions of a frame."""

    def write_frame(self, frame: allweather.Frame, decisions: Sequence[allweather.Decision]) -> None:
        """Takes the time."""
        self._watched.write_seconds[frame.index] += time.perf_counter()


class FaultyDetector:
    """Finds one or two boxes, throws every hundredth time, and hangs now and then.

    Args:
        frames: Number of frames that there will be.
    """

    def __init__(self, frames: int) -> None:
        self.calls = self.errors = self.hangs = 0
        self._frames = frames

    def __call__(self, image: Image) -> list[tuple[int, int, int, int]]:
        """Returns the boxes."""
        self.calls += 1
        if self.hangs < FAULTS and self.calls > (self.hangs + 0.5) * self._frames // FAULTS:
            self.hangs += 1
            time.sleep(HANG_SECONDS)
        if self.calls % 100 == 0:
            self.errors += 1
            raise RuntimeError("out of memory")
        return [(8, 8, 72, 72), (160, 90, 260, 190)][: 1 + self.calls % 2]


def images(frames: int, rate: float) -> Iterator[Image]:
    """Yields images of noise at a rate."""
    drawn = np.random.default_rng(0).integers(0, 256, (16, 240, 320, 3), dtype=np.uint8)
    started = time.monotonic()
    for index in range(frames):
        time.sleep(max(0.0, started + index / rate - time.monotonic()))
        yield drawn[index % len(drawn)]


def main() -> None:
    """Runs the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=200.0)
    arguments = parser.parse_args()
    frames = arguments.frames
    with socket.socket() as one:
        one.bind((LOCALHOST, 0))
        port = int(one.getsockname()[1])
    with tempfile.TemporaryDirectory() as folder, receiving(port, frames) as receiver:
        root = Path(folder)
        broker = Broker(root, port)
        broker.start()
        watched, detector = Watched(broker, frames), FaultyDetector(frames)
        sinks: list[allweather.Sink] = [
            watched,
            allweather.MqttSink(f"mqtt://{LOCALHOST}:{port}", source="soak", topic="CAMERA"),
            allweather.WebhookSink(f"http://{LOCALHOST}:{receiver.recv()}", source="soak"),
            allweather.TableSink(root / "a.csv"), allweather.TableSink(root / "a.parquet"),
            allweather.JsonlSink(root / "a.jsonl"),
            allweather.HardFramesSink(root / "hard", min_seconds=1, max_folder_mb=0.5),
            Last(watched),
        ]  # fmt: skip
        stats = LoopStats()
        with allweather.load(BUNDLE, budget_ms=33) as perceiver:
            smoother = Smoother(perceiver.classes, allweather.Smoothing())
            camera = camera_from(images(frames, arguments.rate))
            try:
                run(camera, perceiver, sinks, detector=detector, smoother=smoother, stats=stats)
            except allweather.OutputError as error:
                print(error)
        report = stats.report()
        print(f"{report.frames} frames, the detector threw {detector.errors} times and hung {detector.hangs} times")
        print(f"{watched.decisions} decisions on {report.decided} frames, late {report.late}; drops {report.drops}")
        print(f"memory {trend(watched.memory, frames)}; at each eighth {watched.memory[::12].round(1).tolist()}")
        milliseconds = 1000 * np.sort(watched.write_seconds[~np.isnan(watched.write_seconds)])
        quantiles = [milliseconds[int(share * (len(milliseconds) - 1))] for share in (0.5, 0.99, 1)]
        print("a write to all sinks p50 / p99 / longest: " + " / ".join(f"{each:.2f}" for each in quantiles) + " ms")
        with (root / "a.csv").open() as file:
            rows = sum(1 for _ in csv.reader(file)) - 1
        lines = (root / "a.jsonl").read_text().count('"index"')
        print(f"CSV {rows}, Parquet {pyarrow.parquet.read_metadata(root / 'a.parquet').num_rows}, JSONL {lines}")
        receiver.send("how many?")
        heard, posted = receiver.recv()
        print(f"MQTT {heard} of {report.decided} frames, webhook {posted} decisions", end="")
        print(f", hard frames {len(list((root / 'hard').glob('*.png')))}")
        broker.kill()


if __name__ == "__main__":
    main()
