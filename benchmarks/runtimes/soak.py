"""Runs the loop through many kinds of faults, and over a hundred thousand frames.

    python benchmarks/runtimes/soak.py [--frames N] [--protocol http|rtsp]

A camera on loopback, in this process, is disconnected, freezes, sends garbage, sends single bytes, changes the size of
its images, is off and comes back. Meanwhile the loop decides with an engine that fails and hangs now and then, logs
into a file, and serves a web page to a viewer that never reads it. The script prints the longest time from the end of
each fault to the next decision, the threads and files that are left over, and the slope of memory over a hundred
thousand frames, with the standard error of that trend: of an undisturbed loop, and of one that decides with a real
bundle within a budget while its camera is disconnected and sends garbage every two seconds, with viewers.
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
import urllib.request
from contextlib import suppress
from itertools import repeat
from pathlib import Path

import numpy as np
from stream_camera import free_port, serving

from allweather.runtimes.cameras.open import camera_from, open_camera
from allweather.runtimes.engines.fake import FakeEngine
from allweather.runtimes.engines.watchdog import WatchdogEngine
from allweather.runtimes.errors import EngineError
from allweather.runtimes.load import load
from allweather.runtimes.loop.loop import run
from allweather.runtimes.loop.stats import LoopStats
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.server import MonitorServer
from allweather.runtimes.perceiver import Perceiver
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.sinks.base import Ended, Sink
from allweather.runtimes.sinks.jsonl import JsonlSink
from allweather.runtimes.types import Decision, Floats, Frame, Image

BUNDLE = Path(__file__).parents[2] / "samples" / "bundles" / "signs-robust"


class DecisionWatcher(Sink):
    """Stores the time of the last decision, and ends the loop on request."""

    def __init__(self) -> None:
        self.count, self.last, self.stop = 0, time.monotonic(), False

    def write(self, frame: Frame, decision: Decision) -> None:
        """Counts the decision."""
        self.count, self.last = self.count + 1, time.monotonic()
        if self.stop:
            raise Ended


class FaultyEngine(FakeEngine):
    """Fails or hangs at its next call on request."""

    next_fault = ""

    def infer(self, images: Image) -> Floats:
        """See `Engine.infer`."""
        fault, FaultyEngine.next_fault = FaultyEngine.next_fault, ""
        if fault == "fails":
            raise EngineError("the device is lost")
        if fault == "hangs":
            time.sleep(6)
        return super().infer(images)


def wait_for_decision(watcher: DecisionWatcher, since: float) -> float:
    """Waits for the next decision after `since`; returns the seconds from then, infinity after a minute."""
    while watcher.last <= since:
        if time.monotonic() - since > 60:
            return float("inf")
        time.sleep(0.005)
    return watcher.last - since


def inject_faults(watcher: DecisionWatcher, protocol: str, port: int) -> None:
    """Injects all faults; prints for each how long it took until the next decision."""
    with serving(protocol, port) as behavior:
        wait_for_decision(watcher, time.monotonic())
        seconds_to_recover = []
        for _ in range(50):
            behavior.disconnects += 1
            seconds_to_recover.append(wait_for_decision(watcher, time.monotonic() + 0.05))
        print(f"disconnected 50 times: decides again within {max(seconds_to_recover):.2f} s", flush=True)
        for name, seconds in (("frozen", 8.0), ("garbage", 3.0), ("trickle", 3.0)):
            behavior.mode = name
            time.sleep(seconds)
            behavior.mode = "normal"
            print(
                f"{name} for {seconds:.0f} s: {wait_for_decision(watcher, time.monotonic() + 0.02):.2f} s", flush=True
            )
        behavior.side = 192
        behavior.disconnects += 1
        print(f"another size: {wait_for_decision(watcher, time.monotonic() + 0.05):.2f} s", flush=True)
        for name in ("fails", "hangs"):
            FaultyEngine.next_fault = name
            print(f"engine {name}: {wait_for_decision(watcher, time.monotonic() + 0.05):.2f} s", flush=True)
    for seconds in (3.0, 12.0):
        time.sleep(seconds)
        with serving(protocol, port):
            print(f"off for {seconds:.0f} s: {wait_for_decision(watcher, time.monotonic()):.2f} s", flush=True)


def memory() -> float:
    """Returns the megabytes of this process that are in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def open_files() -> int:
    """Returns the number of files that this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def memory_slope(frames: int) -> str:
    """Runs an undisturbed loop; returns a line with its memory and how fast that grows."""
    samples = np.zeros(100)  # allocated before, so that it is not measured itself

    class Sampling(Sink):
        def write(self, frame: Frame, decision: Decision) -> None:
            if frame.index % (frames // 100) == 0 and frame.index // (frames // 100) < len(samples):
                samples[frame.index // (frames // 100)] = memory()

    camera, stats = camera_from(repeat(np.zeros((120, 160, 3), np.uint8), frames)), LoopStats()
    preview = LivePreview(camera, stats, Perceiver(FakeEngine(2), ("a", "b"), InputSpec(8, 8)).budget)
    with tempfile.TemporaryDirectory() as folder, MonitorServer([preview], ("127.0.0.1", 0)):
        log = JsonlSink(Path(folder, "d.jsonl"), rotate_bytes=10**6)
        engine = WatchdogEngine(FakeEngine(2), lambda: FakeEngine(2), "fake")
        with Perceiver(engine, ("a", "b"), InputSpec(8, 8)) as perceiver:
            report = run(camera, perceiver, [log, preview, Sampling()], stats=stats)
    return f"{report.decided} frames: {trend(samples, frames)}"


def memory_slope_of_faults(decisions: int, protocol: str) -> str:
    """Runs a loop whose camera fails all the time; returns a line with its memory, threads and files."""
    samples, left = np.zeros((100, 3)), threading.Event()
    port, stats = free_port(), LoopStats()
    with tempfile.TemporaryDirectory() as folder, serving(protocol, port) as behavior:
        behavior.frame_seconds = 0.001

        class Sampling(Sink):
            count = 0

            def write(self, frame: Frame, decision: Decision) -> None:
                if self.count % (decisions // 100) == 0 and self.count // (decisions // 100) < len(samples):
                    samples[self.count // (decisions // 100)] = memory(), threading.active_count(), open_files()
                self.count += 1
                if self.count >= decisions:
                    raise Ended

        def disturb() -> None:
            while not left.wait(2.0):
                behavior.mode = "garbage"
                left.wait(0.02)
                behavior.mode = "normal"
                behavior.disconnects += 1

        def view(url: str) -> None:
            while not left.wait(0.05):
                for path in ("", "frames/0.jpg", "metrics", "healthz"):
                    with suppress(OSError), urllib.request.urlopen(url + path, timeout=5) as response:  # noqa: S310
                        response.read()

        camera = open_camera(f"{protocol}://127.0.0.1:{port}/cam")
        with load(BUNDLE, budget_ms=20) as perceiver:
            preview = LivePreview(camera, stats, perceiver.budget)
            log = JsonlSink(Path(folder, "d.jsonl"), rotate_bytes=10**6)
            with MonitorServer([preview], ("127.0.0.1", 0)) as server:
                helpers = [threading.Thread(target=disturb), threading.Thread(target=view, args=(server.url,))]
                for helper in helpers:
                    helper.start()
                run(camera, perceiver, [log, preview, Sampling()], stats=stats)
                left.set()
                for helper in helpers:
                    helper.join()
    state = f"threads {samples[20:, 1].min():.0f} to {samples[20:, 1].max():.0f}, "
    state += f"files {samples[20:, 2].min():.0f} to {samples[20:, 2].max():.0f}"
    growth = trend(samples[:, 0], decisions)
    return f"{decisions} decisions, {behavior.disconnects} faults of the camera: {growth}; {state}"


def trend(samples: Floats, frames: int) -> str:
    """Returns the level of memory and how fast it grows, without the first fifth, where libraries are still loaded."""
    steady = samples[len(samples) // 5 :]
    position = np.arange(len(steady)) * frames / 100 / 1e5
    (slope, level), covariance = np.polyfit(position, steady, 1, cov=True)
    error = float(np.sqrt(covariance[0, 0]))
    return f"{level:.1f} MB, {slope:+.3f} MB per 100,000 frames (standard error {error:.3f})"


def main() -> None:
    """Prints one line for each fault, then the threads and files that are left over, and the memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--protocol", choices=["http", "rtsp"], default="http")
    arguments = parser.parse_args()
    threads, files = threading.active_count(), open_files()
    port = free_port()
    watcher, stats = DecisionWatcher(), LoopStats()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "d.jsonl")
        camera = open_camera(f"{arguments.protocol}://127.0.0.1:{port}/cam")
        engine = WatchdogEngine(FaultyEngine(2), lambda: FaultyEngine(2), "faulty")
        with Perceiver(engine, ("a", "b"), InputSpec(8, 8)) as perceiver:
            preview = LivePreview(camera, stats, perceiver.budget)
            loop = threading.Thread(
                target=run, args=(camera, perceiver, [JsonlSink(log), preview, watcher]), kwargs={"stats": stats}
            )
            with MonitorServer([preview], ("127.0.0.1", 0)) as server:
                viewer = socket.create_connection(("127.0.0.1", int(server.url[17:-1])))
                viewer.sendall(b"GET /frames/0 HTTP/1.0\r\n\r\n")  # it never reads the response
                loop.start()
                inject_faults(watcher, arguments.protocol, port)
                watcher.stop = True
                camera.close()
                loop.join(10)
                viewer.close()
        rows = [json.loads(line)["index"] for line in log.read_text().splitlines()]
    print(f"{watcher.count} decisions, {len(rows)} in the log, all different: {len(set(rows)) == len(rows)}")
    deadline = time.monotonic() + 10
    while threading.active_count() > threads and time.monotonic() < deadline:
        time.sleep(0.05)
    gc.collect()
    print(f"left over: {threading.active_count() - threads} threads, {open_files() - files} files")
    print(memory_slope(arguments.frames), flush=True)
    print(memory_slope_of_faults(arguments.frames, arguments.protocol))


if __name__ == "__main__":
    main()
