"""`run` sends its decisions to a broker, a webhook, a table and a folder of hard frames, all at once."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import pytest
from commands import invoke, json_of, one_line
from mqtt_broker import Listener, broker

from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.sinks.hard_frames.folder import FrameFolder


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """A server that takes every POST; gives its address, and what it was sent."""
    received: list[Any] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.headers, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", received
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def sources(sample_bundle: Path, tmp_path: Path) -> list[Path]:
    """Two folders of images; the last image of each is gray, and so nothing that the classifier knows."""
    folders = [tmp_path / "front", tmp_path / "back"]
    for folder in folders:
        folder.mkdir()
        frames = [*Bundle.open(sample_bundle).golden_frames()][:4]
        frames[-1] = frames[-1] * 0 + 127
        for index, frame in enumerate(frames):
            cv2.imwrite(str(folder / f"{index}.png"), frame[..., ::-1])
    return folders


@pytest.mark.slow
def test_each_output_gets_every_decision(sources: list[Path], sample_bundle: Path, tmp_path: Path) -> None:
    table, hard = tmp_path / "table.csv", tmp_path / "hard"
    with broker(tmp_path) as started, Listener(started) as heard, receiver() as (url, received):
        result = invoke(
            "run", sample_bundle, "--source", sources[0], "--source", sources[1], "--engine", "onnx", "--threads", 1,
            "--mqtt", f"{started.address}/site/CAMERA", "--webhook", url, "--table", table, "--hard-frames", hard,
            "--webhook-secret", "s3cret", "--json",
        )  # fmt: skip
        assert [each["decided"] for each in json_of(result)["sources"]] == [4, 4], result.stderr
        topics = {topic for topic, _, _ in heard.messages if topic.endswith("/decision")}
        assert len(topics) == 2
        for topic in topics:
            assert heard.indices(topic) == [0, 1, 2, 3]
            base = topic.removesuffix("/decision")
            assert [json.loads(text)["state"] for text in heard.texts(f"{base}/connection")][-1] == "ended"
            heard.wait(f"{base}/availability", "offline")
    for index, source in enumerate(sources):
        with table.with_name(f"table-{index}.csv").open() as file:
            assert [int(row["index"]) for row in csv.DictReader(file)] == [0, 1, 2, 3]
        posted = [each["index"] for _, body in received if body["source"] == str(source) for each in body["decisions"]]
        assert posted == [0, 1, 2, 3]
    assert all(headers["X-Allweather-Signature"] for headers, _ in received)
    for each in FrameFolder(hard, 0).images():
        assert json.loads(each.path.with_suffix(".json").read_text())["confidence"] <= 0.6


@pytest.mark.slow
def test_what_a_broker_did_not_get_is_told_at_the_end(sources: list[Path], sample_bundle: Path) -> None:
    result = invoke(
        "run", sample_bundle, "--source", sources[0], "--engine", "onnx", "--threads", 1,
        "--mqtt", "mqtt://me:s3cret@127.0.0.1:9",
    )  # fmt: skip
    assert result.exit_code == 1
    assert "messages are missing at mqtt://127.0.0.1:9: cannot connect" in one_line(result)
    assert "s3cret" not in result.stderr
    assert "decisions per second" in result.stdout  # what was decided is told nevertheless


def test_a_topic_must_tell_several_sources_apart(sources: list[Path], sample_bundle: Path) -> None:
    result = invoke(
        "run", sample_bundle, "--source", sources[0], "--source", sources[1], "--mqtt", "mqtt://127.0.0.1:9/garden"
    )
    assert result.exit_code == 2
    assert "with several sources the topic of --mqtt has a level CAMERA" in one_line(result)
    assert "such as garden/CAMERA; got garden" in one_line(result)
