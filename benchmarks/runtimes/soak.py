"""Every fault we can think of, and a hundred thousand frames.

    python benchmarks/runtimes/soak.py [--frames N] [--protocol http|rtsp]

A camera on loopback, in this process, is cut off, frozen, sends garbage, changes its size, trickles, is
gone and comes back, while the loop decides with an engine that throws and hangs now and then, logs into a file, and
serves a page that one viewer never reads. Printed are the longest time from each fault's end to the next decision, what
leaked, and the slope of memory over a hundred thousand frames of an undisturbed loop with the trend's standard error.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import socket
import tempfile
import threading
import time
from itertools import repeat
from pathlib import Path

import numpy as np
from stream_camera import free_port, serving

from allweather.runtimes.cameras.open import camera_from, open_camera
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.watchdog import WatchdogEngine
from allweather.runtimes.errors import EngineError
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec, Region
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.types import Decision, Floats, Frame, Image


class Watcher(Sink):
    """Notes when the last decision was, and ends the loop when asked."""

    def __init__(self) -> None:
        self.count, self.last, self.ended = 0, time.monotonic(), False

    def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
        """Notes it."""
        self.count, self.last = self.count + 1, time.monotonic()
        if self.ended:
            raise Ended


class Moody(FakeEngine):
    """Throws or hangs at its next call when told."""

    mood = ""

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        mood, Moody.mood = Moody.mood, ""
        if mood == "throws":
            raise EngineError("the device is lost")
        if mood == "hangs":
            time.sleep(6)
        return super().infer(images)


def until_decided(watcher: Watcher, since: float) -> float:
    """Seconds from `since` to the next decision after it."""
    while watcher.last <= since:
        if time.monotonic() - since > 60:
            return float("inf")
        time.sleep(0.005)
    return watcher.last - since


def faults(watcher: Watcher, protocol: str, port: int) -> None:
    """Injects all of them and prints how long it took to decide again."""
    with serving(protocol, port) as mood:
        until_decided(watcher, time.monotonic())
        found = []
        for _ in range(50):
            mood.cuts += 1
            found.append(until_decided(watcher, time.monotonic() + 0.05))
        print(f"cut 50 times: decides again within {max(found):.2f} s", flush=True)
        for name, seconds in (("frozen", 8.0), ("garbage", 3.0), ("trickle", 3.0)):
            mood.name = name
            time.sleep(seconds)
            mood.name = "well"
            print(f"{name} for {seconds:.0f} s: {until_decided(watcher, time.monotonic() + 0.02):.2f} s", flush=True)
        mood.side = 192
        mood.cuts += 1
        print(f"another size: {until_decided(watcher, time.monotonic() + 0.05):.2f} s", flush=True)
        for name in ("throws", "hangs"):
            Moody.mood = name
            print(f"engine {name}: {until_decided(watcher, time.monotonic() + 0.05):.2f} s", flush=True)
    for seconds in (3.0, 12.0):
        time.sleep(seconds)
        with serving(protocol, port):
            print(f"gone for {seconds:.0f} s: {until_decided(watcher, time.monotonic()):.2f} s", flush=True)


def memory() -> float:
    """Megabytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    """Files that this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def slope(frames: int) -> str:
    """Memory of an undisturbed loop."""
    samples = np.zeros(100)  # room made beforehand, so as not to measure itself

    class Sampling(Sink):
        def write(self, frame: Frame, decision: Decision, region: Region | None) -> None:
            if frame.index % (frames // 100) == 0 and frame.index // (frames // 100) < len(samples):
                samples[frame.index // (frames // 100)] = memory()

    camera, stats = camera_from(repeat(np.zeros((120, 160, 3), np.uint8), frames)), LoopStats()
    shown = LivePreview(camera, stats, Perceiver(FakeEngine(2), ("a", "b"), InputSpec(8, 8)).budget)
    with tempfile.TemporaryDirectory() as folder, MonitorServer([shown], ("127.0.0.1", 0)):
        log = JsonlSink(Path(folder, "d.jsonl"), rotate_bytes=10**6)
        engine = WatchdogEngine(FakeEngine(2), lambda: FakeEngine(2), "fake")
        with Perceiver(engine, ("a", "b"), InputSpec(8, 8)) as eyes:
            report = run(camera, eyes, [log, shown, Sampling()], stats=stats)
    kept = samples[len(samples) // 5 :]  # what is loaded on first use is there by then
    at = np.arange(len(kept)) * frames / 100 / 1e5
    (rate, level), covariance = np.polyfit(at, kept, 1, cov=True)
    error = float(np.sqrt(covariance[0, 0]))
    return f"{report.decided} frames: {level:.1f} MB, {rate:+.3f} MB each 100,000 frames (standard error {error:.3f})"


def main() -> None:
    """Prints one line a fault, then leaks and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--protocol", choices=["http", "rtsp"], default="http")
    given = parser.parse_args()
    threads, files = threading.active_count(), open_files()
    port = free_port()
    watcher, stats = Watcher(), LoopStats()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "d.jsonl")
        camera = open_camera(f"{given.protocol}://127.0.0.1:{port}/cam")
        engine = WatchdogEngine(Moody(2), lambda: Moody(2), "moody")
        with Perceiver(engine, ("a", "b"), InputSpec(8, 8)) as eyes:
            shown = LivePreview(camera, stats, eyes.budget)
            loop = threading.Thread(
                target=run, args=(camera, eyes, [JsonlSink(log), shown, watcher]), kwargs={"stats": stats}
            )
            with MonitorServer([shown], ("127.0.0.1", 0)) as page:
                viewer = socket.create_connection(("127.0.0.1", int(page.url[17:-1])))
                viewer.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")  # and never reads
                loop.start()
                faults(watcher, given.protocol, port)
                watcher.ended = True
                camera.close()
                loop.join(10)
                viewer.close()
        rows = [json.loads(line)["index"] for line in log.read_text().splitlines()]
    print(f"decided {watcher.count}, in the log {len(rows)}, all different: {len(set(rows)) == len(rows)}")
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.05)
    gc.collect()
    print(f"left over: {threading.active_count() - threads} threads, {open_files() - files} files")
    print(slope(given.frames))


if __name__ == "__main__":
    main()
