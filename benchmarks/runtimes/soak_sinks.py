"""Sends many decisions to all sinks while the MQTT broker is killed and started again, and the webhook fails.

    python benchmarks/runtimes/soak_sinks.py [--decisions N] [--rate PER_SECOND]

Prints the memory of this process at each tenth of the way, and at the end how many decisions each sink has got. It
needs Mosquitto, and `allweather[mqtt,parquet]`.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as paho
import pyarrow.parquet

import allweather
from allweather.runtimes.types import StageTimes

LOCALHOST = "127.0.0.1"
PARTS = 10
AWAY_SECONDS = 3.0  # that the broker is away, twice


class Broker:
    """Mosquitto on a port of its own, and a client that counts the decisions that reach it."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as one:
            one.bind((LOCALHOST, 0))
            self.port = one.getsockname()[1]
        self._config = folder / "mosquitto.conf"
        self._config.write_text(f"listener {self.port} {LOCALHOST}\nallow_anonymous true\nmax_queued_messages 0\n")
        self.heard: set[int] = set()

    def start(self) -> None:
        """Starts the broker, and listens."""
        program = shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin") or "mosquitto"
        self._process = subprocess.Popen([program, "-c", str(self._config)], stderr=subprocess.DEVNULL)  # noqa: S603 -- our own words
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("soak/decision", 1)
        self._client.on_message = self._hear
        while True:
            try:
                self._client.connect(LOCALHOST, self.port)
                break
            except OSError:
                time.sleep(0.02)
        self._client.loop_start()

    def _hear(self, client: Any, data: Any, message: paho.MQTTMessage) -> None:
        text = message.payload
        self.heard.add(int(text[text.index(b'"index": ') + 9 :].split(b",", 1)[0]))

    def kill(self) -> None:
        """Ends the broker at once."""
        self._process.kill()
        self._process.wait()
        self._client.disconnect()
        self._client.loop_stop()


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


def memory_mb() -> float:
    """Resident memory of this process in megabytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> None:
    """Runs the soak."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--decisions", type=int, default=100_000)
    parser.add_argument("--rate", type=float, default=1000.0)
    arguments = parser.parse_args()
    count, rate = arguments.decisions, arguments.rate
    image = np.zeros((240, 320, 3), np.uint8)
    times = StageTimes(0, 0, 0, 0, 0.001, 0)
    with tempfile.TemporaryDirectory() as folder, ThreadingHTTPServer((LOCALHOST, 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = Path(folder)
        broker = Broker(root)
        broker.start()
        sinks: list[allweather.Sink] = [
            allweather.MqttSink(f"mqtt://{LOCALHOST}:{broker.port}", source="soak", topic="CAMERA"),
            allweather.WebhookSink(f"http://{LOCALHOST}:{server.server_address[1]}", source="soak"),
            allweather.TableSink(root / "a.csv"), allweather.TableSink(root / "a.parquet"),
            allweather.JsonlSink(root / "a.jsonl"),
            allweather.HardFramesSink(root / "hard", min_seconds=1, max_folder_mb=0.01),
        ]  # fmt: skip
        for sink in sinks:
            sink.open()
        started, back_at = time.monotonic(), float("inf")
        slowest = 0.0
        for index in range(count):
            if index in (count // 3, 2 * count // 3):
                broker.kill()
                back_at = time.monotonic() + AWAY_SECONDS
            if time.monotonic() > back_at:
                broker.start()
                back_at = float("inf")
            decision = allweather.Decision(
                "stop", 0.5, np.ones(1, np.float32), index, ("identity",), (0.5,), times, 0.02, False, 0
            )
            before = time.perf_counter()
            for sink in sinks:
                sink.write_frame(allweather.Frame(image, index, before), (decision,))
            slowest = max(slowest, time.perf_counter() - before)
            if index % (count // PARTS) == 0:
                print(f"{index:8d} decisions, {memory_mb():.1f} MB", flush=True)
            time.sleep(max(0.0, started + index / rate - time.monotonic()))
        print(f"{count:8d} decisions, {memory_mb():.1f} MB; slowest write to all {1000 * slowest:.1f} ms")
        for sink in sinks:
            try:
                sink.close()
            except allweather.OutputError as error:
                print(error)
        with (root / "a.csv").open() as file:
            rows = sum(1 for _ in csv.reader(file)) - 1
        print(f"MQTT {len(broker.heard)}, webhook {Hook.decisions}, CSV {rows}, ", end="")
        print(f"Parquet {pyarrow.parquet.read_metadata(root / 'a.parquet').num_rows}, ", end="")
        print(
            f"JSONL {(root / 'a.jsonl').read_bytes().count(10)}, hard frames {len(list((root / 'hard').glob('*.png')))}"
        )
        broker.kill()
        server.shutdown()


if __name__ == "__main__":
    main()
