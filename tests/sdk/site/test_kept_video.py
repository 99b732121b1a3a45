"""A video that was recorded before the configuration was read again stays."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path

import cv2
import pytest
from commands import start
from sites import config, write_video

from allweather.site.kept_video import keep_video


@pytest.mark.end_to_end
def test_reading_a_configuration_again_keeps_the_video_so_far(sample_bundle: Path, tmp_path: Path) -> None:
    write_video(tmp_path / "x.avi", 2000)
    path, log, video = tmp_path / "site.yaml", tmp_path / "front.jsonl", tmp_path / "front.avi"
    raw = config(sample_bundle, tmp_path)
    raw["cameras"] = [{**raw["cameras"][0], "live": True, "video": str(video)}]
    path.write_text(json.dumps(raw))
    running = start("run", "--config", str(path))
    try:
        wait_for_lines(log, 5)
        path.write_text(json.dumps({**raw, "policy": "center"}))
        running.send_signal(signal.SIGHUP)
        wait_for_single_view(log)
    finally:
        running.send_signal(signal.SIGTERM)
        _, errors = running.communicate(timeout=60)
    assert "the configuration was read again" in errors
    videos = (tmp_path / "front-before-1.avi", video)
    frames = [int(cv2.VideoCapture(str(each)).get(cv2.CAP_PROP_FRAME_COUNT)) for each in videos]
    assert min(frames) > 0
    assert sum(frames) == len(log.read_text().splitlines())


def wait_for_lines(log: Path, count: int) -> None:
    started = time.monotonic()
    while not log.exists() or len(log.read_text().splitlines()) < count:
        assert time.monotonic() - started < 60
        time.sleep(0.05)


def wait_for_single_view(log: Path) -> None:
    """Waits for a decision under the new policy, of one view and not two."""
    started = time.monotonic()
    while len(json.loads(log.read_text().splitlines()[-1])["views"]) != 1:
        assert time.monotonic() - started < 60
        time.sleep(0.05)


def test_it_takes_the_next_free_name(tmp_path: Path) -> None:
    video = tmp_path / "front.mp4"
    keep_video(video)  # there is none
    for number in range(3):
        video.write_text(str(number))
        keep_video(video)
    kept = {each.name: each.read_text() for each in tmp_path.iterdir()}
    assert kept == {"front-before-1.mp4": "0", "front-before-2.mp4": "1", "front-before-3.mp4": "2"}


def test_one_that_cannot_be_renamed_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = tmp_path / f"{'x' * 250}.mp4"
    video.touch()
    with caplog.at_level(logging.WARNING):
        keep_video(video)
    assert "is replaced by the next one, as it cannot be renamed" in caplog.text
    assert video.exists()
