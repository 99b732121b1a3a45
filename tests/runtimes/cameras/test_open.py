"""Files, folders and iterables as cameras."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from allweather.runtimes.cameras.open import camera_from, open_camera
from allweather.runtimes.errors import CameraError, UsageError
from allweather.runtimes.types import Drops, Frame, Image


def solid_image(value: int = 0, height: int = 48, width: int = 64) -> Image:
    return np.full((height, width, 3), value, np.uint8)


def write_video(path: Path, count: int, fps: float = 25.0, codec: str = "mp4v") -> None:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (64, 48))
    for index in range(count):
        writer.write(solid_image(index * 8))
    writer.release()


# ---- files


def test_a_video_is_read_without_loss(tmp_path: Path) -> None:
    write_video(tmp_path / "drive.mp4", 24, fps=12.5)
    now = iter(range(1000))
    with open_camera(str(tmp_path / "drive.mp4"), clock=lambda: float(next(now))) as camera:
        assert (camera.live, camera.fps, camera.name) == (False, 12.5, str(tmp_path / "drive.mp4"))
        frames = list(camera)
    assert [frame.index for frame in frames] == list(range(24))
    stamps = [frame.captured for frame in frames]
    assert stamps == sorted(set(stamps))
    assert camera.drops == Drops()
    for frame in frames:
        assert frame.image.shape == (48, 64, 3)
        assert abs(int(frame.image.mean()) - frame.index * 8) <= 6


def test_a_slow_reader_of_a_file_loses_nothing(tmp_path: Path) -> None:
    write_video(tmp_path / "drive.mp4", 5)
    with open_camera(str(tmp_path / "drive.mp4")) as camera:
        indices = []
        for frame in camera:
            time.sleep(0.01)
            indices.append(frame.index)
    assert indices == [0, 1, 2, 3, 4]


def test_colors_arrive_as_rgb(tmp_path: Path) -> None:
    blue = solid_image()
    blue[..., 2] = 255
    cv2.imwrite(str(tmp_path / "a.png"), blue[..., ::-1])
    writer = cv2.VideoWriter(str(tmp_path / "a.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    writer.write(np.ascontiguousarray(blue[..., ::-1]))
    writer.release()
    for source in (tmp_path / "a.png", tmp_path / "a.avi"):
        (frame,) = open_camera(str(source))
        assert frame.image.mean((0, 1)) == pytest.approx([0, 0, 255], abs=12)


def test_a_video_cut_short_ends_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole, cut = tmp_path / "whole.avi", tmp_path / "cut.avi"
    write_video(whole, 30, codec="MJPG")
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) // 2])
    frames = list(open_camera(str(cut)))
    assert 0 < len(frames) < 30
    assert f"{cut} ended after {len(frames)} of about 30 frames" in caplog.text


def test_a_damaged_video_does_not_hang(tmp_path: Path) -> None:
    path = tmp_path / "damaged.avi"
    write_video(path, 30, codec="MJPG")
    data = bytearray(path.read_bytes())
    for position in np.random.default_rng(7).integers(6000, len(data) - 600, 200):
        data[position] ^= 0xFF
    path.write_bytes(data)
    camera = open_camera(str(path))
    assert len(list(camera)) + camera.drops.total <= 30


@pytest.mark.parametrize("content", [b"", b"these are words\n" * 100])
def test_a_file_that_is_not_a_video_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "words.mp4").write_bytes(content)
    with pytest.raises(CameraError, match=r"words\.mp4 is not a video"):
        open_camera(str(tmp_path / "words.mp4"))


def test_a_video_without_its_end_is_refused(tmp_path: Path) -> None:
    write_video(tmp_path / "whole.mp4", 10)
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:-600])
    with pytest.raises(CameraError, match=r"cut\.mp4 is not a video"):
        open_camera(str(tmp_path / "cut.mp4"))


@pytest.mark.parametrize(
    "source", ["", "nothing/here.mp4", "-1", "ftp://user:pw@host/film.mp4", "x" * 5000, "\0", "/dev"]
)
def test_a_source_that_does_not_exist_is_refused(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cv2.imwrite(str(tmp_path / "image.png"), solid_image())  # "" does not name the working folder
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CameraError) as caught:
        open_camera(source)
    assert "\n" not in str(caught.value)
    assert "pw" not in str(caught.value)


# ---- folders


def test_a_folder_is_read_by_name(tmp_path: Path) -> None:
    for value, name in enumerate(["a.png", "b.JPG", "c.bmp", "d.webp", "e.tif", "f.ppm", "g.jpeg"]):
        cv2.imwrite(str(tmp_path / name), solid_image(value * 30))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / ".hidden.png").write_text("of the system")
    with open_camera(str(tmp_path)) as camera:
        frames = list(camera)
        assert not camera.live
        assert camera.fps is None
    assert [frame.index for frame in frames] == list(range(7))
    assert [float(frame.image.mean()) for frame in frames] == pytest.approx(range(0, 210, 30), abs=2)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp"])
@pytest.mark.parametrize("keep", [0.0, 0.02, 0.5, 0.98])
def test_a_damaged_image_is_named_counted_and_skipped(
    suffix: str, keep: float, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for name in ("1", "2", "3"):
        cv2.imwrite(str(tmp_path / f"{name}{suffix}"), noise)
    bad = tmp_path / f"2{suffix}"
    data = bad.read_bytes()
    bad.write_bytes(data[: int(len(data) * keep)])
    with caplog.at_level(logging.WARNING), open_camera(str(tmp_path)) as camera:
        indices = [frame.index for frame in camera]
    assert indices == [0, 2]
    assert camera.drops == Drops(decode=1)
    assert [str(bad) in record.getMessage() for record in caplog.records] == [True]


def test_an_image_followed_by_other_data_is_complete(tmp_path: Path) -> None:
    encoded, data = cv2.imencode(".jpg", solid_image(100))
    assert encoded
    (tmp_path / "a.jpg").write_bytes(data.tobytes() + b"made by a phone" * 100)
    assert len(list(open_camera(str(tmp_path)))) == 1


def test_an_image_that_vanishes_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), solid_image())
    camera = open_camera(str(tmp_path))
    (tmp_path / "b.png").unlink()
    assert [frame.index for frame in camera] == [0]
    assert camera.drops == Drops(decode=1)
    assert "b.png" in caplog.text


@pytest.mark.parametrize("live", [False, True])
@pytest.mark.parametrize("count", [1, 3])
def test_images_of_which_none_can_be_read_are_an_error(count: int, live: bool, tmp_path: Path) -> None:
    for index in range(count):
        (tmp_path / f"{index}.jpg").write_bytes(b"no image")
    with (
        open_camera(tmp_path, live=live) as camera,
        pytest.raises(CameraError, match=f"none of the images in {tmp_path} could be read.*{count} skipped"),
    ):
        list(camera)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    with pytest.raises(CameraError, match=r"holds no images .*; choose a folder that does"):
        open_camera(str(tmp_path))
    for name in ("cat", "airplane"):
        (tmp_path / name).mkdir()
    with pytest.raises(CameraError, match=r"holds no images .*; the folders in it are not read: .* such as airplane$"):
        open_camera(str(tmp_path))


# ---- iterables


def test_an_iterable_is_a_camera() -> None:
    images = [solid_image(value) for value in range(5)]
    camera = camera_from(iter(images))
    frames = list(camera)
    assert [frame.index for frame in frames] == [0, 1, 2, 3, 4]
    assert all(frame.image is image for frame, image in zip(frames, images, strict=True))


@pytest.mark.parametrize(
    "image", [None, 3, np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_an_iterable_of_something_else_is_refused(image: Any) -> None:
    with pytest.raises(CameraError, match=r"uint8 \[H, W, 3\] RGB"):
        list(camera_from([image]))


def test_images_of_opencv_become_rgb() -> None:
    blue = solid_image()
    blue[..., 0] = 255
    (frame,) = camera_from([blue], bgr=True)
    assert frame.image[0, 0].tolist() == [0, 0, 255]
    assert blue[0, 0].tolist() == [255, 0, 0]


def test_what_is_not_iterable_is_refused() -> None:
    with pytest.raises(UsageError, match=r"iterable of images.*got NoneType"):
        camera_from(None)  # type: ignore[arg-type]


def test_a_generator_is_closed_and_its_errors_arrive() -> None:
    ended = []

    def images() -> Iterator[Image]:
        try:
            yield solid_image()
            raise ZeroDivisionError
        finally:
            ended.append(True)

    with camera_from(images()) as camera:
        for _ in camera:
            break
    assert ended == [True]
    with pytest.raises(ZeroDivisionError):
        list(camera_from(images()))


# ---- reading and closing


def test_a_second_reader_continues_where_the_first_stopped() -> None:
    with camera_from(solid_image(value) for value in range(4)) as camera:
        assert next(iter(camera)).index == 0
        assert [frame.index for frame in camera] == [1, 2, 3]


def test_a_closed_camera_cannot_be_read() -> None:
    camera = camera_from([solid_image()])
    with camera:
        pass
    with pytest.raises(CameraError, match="has been closed"):
        list(camera)
    camera.close()


@pytest.mark.parametrize(
    ("images", "cure"),
    [
        (np.zeros((4, 4, 3), np.uint8), r"call perceiver\(image\)"),
        (object(), "derive from allweather.Camera"),
    ],
)
def test_what_is_no_iterable_of_images_is_told_the_way_that_works(images: Any, cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        camera_from(images)


def test_a_frame_in_an_iterable_is_told_where_frames_go() -> None:
    frame = Frame(np.zeros((4, 4, 3), np.uint8), 0, 0.0)
    with camera_from([frame]) as camera, pytest.raises(CameraError, match=r"perceiver.decide\(frame\)"):  # type: ignore[list-item]
        next(iter(camera))


@pytest.mark.parametrize(
    ("source", "cure"),
    [
        ("file:///home/me/x.avi", "write the path alone, without file://"),
        ("rtsp:/host/x", "a URL has two slashes before its host, as in rtsp://HOST/path"),
        ("http:host/x.mjpg", "a URL has two slashes"),
        ("http://", "it names no host"),
        ("rtsp:///stream1", "it names no host"),
        ("rtsp://me:pw@:554/stream1", "it names no host"),
    ],
)
def test_a_mistyped_url_is_told_with_its_cure(source: str, cure: str) -> None:
    with pytest.raises(CameraError, match=re.escape(cure)):
        open_camera(source)


@pytest.mark.parametrize("source", ["rtsp://[::1]/x", "rtsp://host", "udp://:5000", "udp://@:5000", "http://h:80/"])
def test_a_url_with_a_host_is_taken(source: str) -> None:
    assert open_camera(source).live
