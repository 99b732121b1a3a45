"""Saved hard frames: which, how often, how much of the disk, and by which names."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from decisions import decision, frame, opened
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.sinks.hard_frames import HardFramesSink
from allweather.runtimes.sinks.hard_frames import sink as module
from allweather.runtimes.sinks.hard_frames.folder import _OURS, FrameFolder, image_name
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.types import Frame


class Clock:
    """A clock that the tests set."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __call__(self) -> float:
        return self.seconds


def images(folder: Path) -> list[Path]:
    return [each.path for each in FrameFolder(folder, 0).images()]


def test_the_region_of_the_least_certain_object_is_saved_with_what_was_decided(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    noise.setflags(write=False)
    sure = decision(5, confidence=0.55)
    unsure = replace(decision(5, label="né/../x", confidence=0.31), region=Region(10, 20, 30, 16), name="gate")
    unknown = replace(decision(5, label="", confidence=0.1), reason="undecided")
    with opened(
        HardFramesSink(tmp_path / "new" / "hard", source="rtsp://***@front/a", wall_clock=lambda: 1.7e9)
    ) as sink:
        sink.write_frame(Frame(noise, 5, 0.0), (sure, unsure, unknown))
    (path,) = images(tmp_path / "new" / "hard")
    assert path.name == "20231114T221320.000Z_rtsp-front-a_né-..-x_0.31.png"
    assert np.array_equal(cv2.imread(str(path))[..., ::-1], noise[20:36, 10:40])
    notes = json.loads(path.with_suffix(".json").read_text())
    assert {key: notes[key] for key in ("time", "source", "index", "label", "name", "region", "probabilities")} == {
        "time": 1.7e9, "source": "rtsp://***@front/a", "index": 5, "label": "né/../x", "name": "gate",
        "region": [10, 20, 30, 16], "probabilities": [1.0],
    }  # fmt: skip


def test_sure_decisions_and_empty_frames_are_not_saved(tmp_path: Path) -> None:
    with opened(HardFramesSink(tmp_path, max_confidence=0.6)) as sink:
        sink.write_frame(frame(), ())
        sink.write_frame(frame(), (decision(confidence=0.61),))
        sink.write_frame(frame(), (replace(decision(confidence=0.1), reason="undecided"),))
    assert not images(tmp_path)


def test_with_smoothing_the_frame_alone_counts(tmp_path: Path) -> None:
    """The confidence of an object is low whenever another one takes its place, however clear the image is."""
    smoothed = replace(decision(confidence=0.2), stable=False, frames=1)
    clear = replace(smoothed, frame_label="stop", frame_confidence=0.99)
    hard = replace(smoothed, confidence=0.97, frame_label="yield", frame_confidence=0.4)
    with opened(HardFramesSink(tmp_path, min_seconds=0)) as sink:
        sink.write_frame(frame(), (clear,))
        sink.write_frame(frame(), (clear, hard))
    (path,) = images(tmp_path)
    assert path.stem.endswith("_yield_0.40")


@pytest.mark.parametrize("image_format", ["png", "jpeg"])
def test_one_in_some_seconds_is_saved(image_format: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 100)
    clock = Clock(100.0)
    sink = HardFramesSink(
        tmp_path, min_seconds=10, image_format=image_format, clock=clock, wall_clock=lambda: 1.7e9 + clock.seconds
    )
    with opened(sink):
        for index in range(50):
            clock.seconds = 100.0 + index
            sink.write(frame(index), decision(index, confidence=0.5))
    kept = [json.loads(path.with_suffix(".json").read_text())["index"] for path in images(tmp_path)]
    assert kept == [0, 10, 20, 30, 40]
    assert {path.suffix for path in images(tmp_path)} == {".png" if image_format == "png" else ".jpg"}


def test_the_folder_stays_below_its_size_and_only_files_of_its_own_are_removed(tmp_path: Path) -> None:
    stranger = tmp_path / "20000101T000000.000Z_mine_stop_0.50.png"  # one of the user, without notes beside it
    others = [stranger, tmp_path / "notes.json", tmp_path / "a.png"]
    for path in others:
        path.write_bytes(b"x" * 5000)
    folder = FrameFolder(tmp_path, 10_000)
    for index in range(20):
        folder.save(image_name(1.7e9 + index, "front", "stop", 0.5), ".png", bytes(2000), {"index": index})
        assert sum(each.bytes for each in folder.images()) <= 10_000
    kept = [json.loads(path.with_suffix(".json").read_text())["index"] for path in images(tmp_path)]
    assert kept == [16, 17, 18, 19]
    assert all(path.stat().st_size == 5000 for path in others)


def test_a_clock_that_is_set_back_does_not_let_the_folder_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 100)
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    for start in (1.7e9, 1e6):  # without a battery, a clock begins anew until it has a network
        clock = Clock(start)
        with opened(HardFramesSink(tmp_path, min_seconds=0, max_folder_mb=0.02, wall_clock=clock)) as sink:
            for index in range(8):
                sink.write_frame(Frame(noise, index, 0.0), (decision(index, confidence=0.3),))
                clock.seconds += 1
    assert sum(each.stat().st_size for each in tmp_path.iterdir()) < 20_000
    assert any(path.name.startswith("1970") for path in images(tmp_path))


def test_images_of_before_a_clock_was_set_back_are_the_oldest(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, 10_000)
    for index, time in enumerate([*(1.7e9 + i for i in range(6)), *(1.6e9 + i for i in range(3)), 1.6e9 + 1]):
        folder.save(image_name(time, f"camera-{index}", "stop", 0.5), ".png", bytes(2000), {"index": index})
    kept = [json.loads(path.with_suffix(".json").read_text())["index"] for path in images(tmp_path)]
    assert sorted(kept) == [6, 7, 8, 9], "also where another camera has saved one a second ahead"


@pytest.mark.parametrize("letter", ["a", "é", "限", "\U0001f6d1"])
def test_long_names_of_any_script_fit_into_a_name_of_a_file(letter: str, tmp_path: Path) -> None:
    with opened(HardFramesSink(tmp_path, source=letter * 200, max_confidence=1)) as sink:
        sink.write_frame(frame(), (decision(label=letter * 200, confidence=float("nan")),))
    assert len(images(tmp_path)) == 1


def test_the_newest_image_stays_even_if_it_is_larger_than_the_folder_may_be(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, 10)
    for index in range(3):
        folder.save(image_name(1.7e9 + index, "front", "stop", 0.5), ".png", bytes(2000), {"index": index})
    assert len(folder.images()) == 1


def test_two_images_of_one_moment_have_names_of_their_own(tmp_path: Path) -> None:
    folder = FrameFolder(tmp_path, 10**6)
    for index in range(3):
        folder.save(image_name(1.7e9, "front", "stop", 0.5), ".png", b"image", {"index": index})
    assert len(folder.images()) == 3


@given(st.text(st.characters()), st.text(st.characters()), st.floats(0, 1), st.floats(0, 4e9))
@pytest.mark.slow
def test_any_camera_and_label_make_a_name_that_is_known_again(
    source: str, label: str, confidence: float, time: float
) -> None:
    name = image_name(time, source, label, confidence)
    assert _OURS.fullmatch(f"{name}.png")
    assert len(name.encode()) < 255 - 40
    assert name[:19] <= image_name(time + 1, source, label, confidence)[:19]


def test_a_folder_that_cannot_be_written_is_told_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a part of the path is a file"):
        HardFramesSink(tmp_path / "file" / "hard").open()


def test_a_folder_that_is_lost_is_told_once_and_at_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "hard"
    sink = HardFramesSink(folder, min_seconds=0)
    sink.open()
    folder.rmdir()
    folder.touch()
    for index in range(3):
        sink.write(frame(index), decision(index, confidence=0.5))
    with pytest.raises(OutputError, match="3 hard frames are missing in"):
        sink.close()
    assert ["hard frames are left out until then" in record.getMessage() for record in caplog.records] == [True]


def test_sure_decisions_on_which_views_disagree_are_saved(tmp_path: Path) -> None:
    with opened(HardFramesSink(tmp_path, min_seconds=0)) as sink:
        for index, agreement in enumerate((1.0, 0.75, 0.5)):
            sink.write_frame(frame(index), (replace(decision(index, confidence=0.9), agreement=agreement),))
    (path,) = images(tmp_path)
    assert json.loads(path.with_suffix(".json").read_text())["agreement"] == 0.5


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("max_confidence", 1.1),
        ("max_agreement", -0.1),
        ("min_seconds", -1),
        ("max_folder_mb", 0),
        ("image_format", "gif"),
    ],
)
def test_settings_out_of_range_are_told(setting: str, value: object, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=rf"{setting} is .*got {value!r}"):
        HardFramesSink(tmp_path, **{setting: value})  # type: ignore[arg-type]


def test_a_disk_that_takes_no_image_is_not_filled_with_notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path) -> Any:
        if path.suffix == ".png":
            raise OutputError("the disk is full")
        return atomic_file(path)

    monkeypatch.setattr("allweather.runtimes.sinks.hard_frames.folder.atomic_file", full)
    sink = HardFramesSink(tmp_path / "hard", max_confidence=1.0, min_seconds=0.0)
    sink.open()
    for index in range(3):
        sink.write(frame(index, 48, 64), decision(index))
    with pytest.raises(OutputError, match="3 hard frames are missing"):
        sink.close()
    assert not list((tmp_path / "hard").iterdir())
