"""The embedded data set: the same pictures every time, hard but fair; and a drive whose truth is true."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import groupby, pairwise

import numpy as np
import pytest

from allweather.trainers.data.signs import CLASSES, SPLITS, DriveFrame, drive, render, weather
from allweather.trainers.data.signs.sign.faces import LEVELS, face


def test_the_same_picture_every_time_however_many_are_asked_for() -> None:
    few, few_labels = render("train", count=10)
    more, more_labels = render("train", count=20)
    np.testing.assert_array_equal(few, more[:10])
    np.testing.assert_array_equal(few_labels, more_labels[:10])


def test_splits_and_seeds_share_no_picture() -> None:
    sets = [render(split, count=32)[0] for split in SPLITS] + [render("train", seed=1, count=32)[0]]
    pictures = {picture.tobytes() for images in sets for picture in images}
    assert len(pictures) == 4 * 32


def test_classes_are_balanced_at_every_multiple_of_their_number() -> None:
    _, labels = render("val", count=5 * len(CLASSES))
    np.testing.assert_array_equal(np.bincount(labels, minlength=len(CLASSES)), 5)
    assert all(total % len(CLASSES) == 0 for total in SPLITS.values())
    assert not np.array_equal(labels[:16], labels[16:32])


@pytest.mark.parametrize("size", [16, 32, 33, 96])
def test_pictures_of_any_size(size: int) -> None:
    images, labels = render("test", size=size, count=6)
    assert images.shape == (6, size, size, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.std(axis=(1, 2, 3)).min() > 2


def test_sizes_show_the_same_scene() -> None:
    small, large = render("test", size=32, count=16)[0], render("test", size=64, count=16)[0]
    halved = large.reshape(16, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    apart = np.abs(halved - small).mean(axis=(1, 2, 3))
    assert np.median(apart) < 12


def test_faces_fill_their_square_and_cannot_be_changed() -> None:
    for label in range(len(CLASSES)):
        picture = face(label, 128)
        coverage = picture[..., 3]
        rows, columns = np.flatnonzero(coverage.max(axis=1)), np.flatnonzero(coverage.max(axis=0))
        assert min(np.ptp(rows), np.ptp(columns)) >= 0.93 * 128
        assert not picture.flags.writeable
    assert [len(face(0, side)) for side in (5, 33, 64, 1000)] == [8, 64, 64, LEVELS[0]]


def _ridge_accuracy(train: int, test: int) -> float:
    images, labels = render("train", count=train)
    unseen, truth = render("test", count=test)
    scale = [picture.reshape(len(picture), -1)[:, ::2] / 127.5 - 1 for picture in (images, unseen)]
    known, asked = ((x - x.mean(axis=1, keepdims=True)).astype(np.float32) for x in scale)
    wanted = np.eye(len(CLASSES), dtype=np.float32)[labels] - 1 / len(CLASSES)
    weights = np.linalg.solve(known @ known.T + 300 * np.eye(train, dtype=np.float32), wanted)
    return float(np.mean((asked @ (known.T @ weights)).argmax(axis=1) == truth))


def test_no_straight_line_tells_the_classes_apart() -> None:
    accuracy = _ridge_accuracy(960, 320)
    assert 1.5 / len(CLASSES) < accuracy < 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render("all"), "split must be one of train, val, test; got 'all'"),
        (lambda: render("val", size=8), "size must be at least 16 pixels; got 8"),
        (lambda: render("val", seed=-1), "seed must not be negative; got -1"),
        (lambda: render("val", count=0), "count must be 1 to 2000 for split 'val'; got 0"),
        (lambda: render("val", count=2001), "count must be 1 to 2000 for split 'val'; got 2001"),
        (lambda: drive(-1, 3), "seed must not be negative; got -1"),
        (lambda: drive(0, 0), "frames must be at least 1; got 0"),
        (lambda: drive(0, 3, (90, 640)), "size must be at least 120 x 160 pixels; got 90 x 640"),
        (lambda: weather.apply(np.zeros((4, 4, 3), np.uint8), "hail", np.random.default_rng(0)),
         "stretch must be one of clean, dark, noise, blur; got 'hail'"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        call()


@pytest.fixture(scope="module")
def frames() -> list[DriveFrame]:
    return list(drive(5, 180, (180, 320), stretches=False))


def test_the_truth_lies_inside_the_picture(frames: list[DriveFrame]) -> None:
    for frame in frames:
        assert frame.image.shape == (180, 320, 3)
        assert frame.image.dtype == np.uint8
        assert (frame.label is None) == (frame.box is None)
        if frame.box is not None:
            left, top, width, height = frame.box
            assert left >= 0
            assert top >= 0
            assert left + width <= 320
            assert top + height <= 180
            assert max(width, height) > 16
    assert sum(frame.label is not None for frame in frames) > 50


def test_signs_grow_until_they_are_passed(frames: list[DriveFrame]) -> None:
    boxes = [(frame.label, frame.box) for frame in frames if frame.box is not None]
    lives = [[box for _, box in group] for _, group in groupby(boxes, key=lambda pair: pair[0])]
    assert len(lives) >= 3
    for life in lives[1:-1]:
        widths = [box[2] for box in life]
        assert widths[-1] >= 1.2 * widths[0]
        assert all(later >= sooner - 1 for sooner, later in pairwise(widths))


def test_the_scene_moves_smoothly(frames: list[DriveFrame]) -> None:
    steps = [np.abs(after.image.astype(np.int16) - before.image).mean() for before, after in pairwise(frames[:60])]
    assert min(steps) > 0.2
    assert max(steps) < 3 * np.median(steps)


def test_a_drive_is_the_same_however_long_it_is() -> None:
    short, long = list(drive(2, 4, (120, 160))), list(drive(2, 12, (120, 160), stretches=False))[:1]
    np.testing.assert_array_equal(short[0].image, long[0].image)
    assert not np.array_equal(short[0].image, next(drive(3, 1, (120, 160))).image)


def test_the_schedule_gives_each_weather_its_part() -> None:
    stretches = weather.schedule(600)
    assert [stretch for stretch, _ in groupby(stretches)] == [
        "clean",
        "dark",
        "clean",
        "noise",
        "clean",
        "blur",
    ]
    assert len(stretches) == 600
    assert {frame.stretch for frame in drive(1, 12, (120, 160))} == set(weather.STRETCHES)


@pytest.mark.parametrize("spoil", [weather.darken, weather.add_noise, weather.blur])
def test_weather_is_pure_and_grows_with_strength(spoil: Callable[..., np.ndarray]) -> None:
    frame = next(drive(1, 1, (120, 160))).image
    kept = frame.copy()
    harm = [
        np.abs(spoil(frame, strength, np.random.default_rng(0)).astype(np.int16) - frame).mean()
        for strength in (0.0, 0.2, 0.5, 0.9)
    ]
    np.testing.assert_array_equal(frame, kept)
    assert harm[0] == 0
    assert harm == sorted(harm)
    twice = [spoil(frame, 0.5, np.random.default_rng(7)) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
