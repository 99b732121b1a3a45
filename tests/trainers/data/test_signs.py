"""The drawn data set: the same images every time, hard but fair; and a drive whose ground truth holds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby, pairwise

import numpy as np
import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.data.signs import CLASSES, SPLITS, DriveFrame, conditions, render_drive, render_signs
from allweather.trainers.data.signs.conditions import air, lens, sensor
from allweather.trainers.data.signs.sign.sign_faces import LEVELS, sign_face


def test_an_image_does_not_depend_on_how_many_are_rendered() -> None:
    few, few_labels = render_signs("train", count=10)
    more, more_labels = render_signs("train", count=20)
    np.testing.assert_array_equal(few, more[:10])
    np.testing.assert_array_equal(few_labels, more_labels[:10])


@pytest.mark.slow
def test_splits_and_seeds_share_no_image() -> None:
    sets = [render_signs(split, count=32)[0] for split in SPLITS] + [render_signs("train", seed=1, count=32)[0]]
    different = {image.tobytes() for images in sets for image in images}
    assert len(different) == 4 * 32


def test_classes_are_balanced_at_every_multiple_of_their_count() -> None:
    _, labels = render_signs("val", count=5 * len(CLASSES))
    np.testing.assert_array_equal(np.bincount(labels, minlength=len(CLASSES)), 5)
    assert all(total % len(CLASSES) == 0 for total in SPLITS.values())
    assert not np.array_equal(labels[:16], labels[16:32])


@pytest.mark.parametrize("size", [16, 32, 33, 96])
def test_images_of_any_size(size: int) -> None:
    images, labels = render_signs("test", size=size, count=6)
    assert images.shape == (6, size, size, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.int64
    assert images.std(axis=(1, 2, 3)).min() > 2


def test_sizes_show_the_same_scene() -> None:
    small, large = render_signs("test", size=32, count=16)[0], render_signs("test", size=64, count=16)[0]
    halved = large.reshape(16, 32, 2, 32, 2, 3).mean(axis=(2, 4))
    differences = np.abs(halved - small).mean(axis=(1, 2, 3))
    assert np.median(differences) < 12


def test_faces_fill_their_square_and_cannot_be_changed() -> None:
    for label in range(len(CLASSES)):
        face = sign_face(label, 128)
        alpha = face[..., 3]
        rows, columns = np.flatnonzero(alpha.max(axis=1)), np.flatnonzero(alpha.max(axis=0))
        assert min(np.ptp(rows), np.ptp(columns)) >= 0.93 * 128
        assert not face.flags.writeable
    assert [len(sign_face(0, side)) for side in (5, 33, 64, 1000)] == [8, 64, 64, LEVELS[0]]


def _ridge_accuracy(train: int, test: int) -> float:
    """Accuracy of a ridge regression from every second value of an image to its class."""
    train_images, train_labels = render_signs("train", count=train)
    test_images, test_labels = render_signs("test", count=test)
    values = [images.reshape(len(images), -1)[:, ::2] / 127.5 - 1 for images in (train_images, test_images)]
    features, test_features = ((x - x.mean(axis=1, keepdims=True)).astype(np.float32) for x in values)
    targets = np.eye(len(CLASSES), dtype=np.float32)[train_labels] - 1 / len(CLASSES)
    weights = np.linalg.solve(features @ features.T + 300 * np.eye(train, dtype=np.float32), targets)
    return float(np.mean((test_features @ (features.T @ weights)).argmax(axis=1) == test_labels))


@pytest.mark.slow
def test_a_linear_classifier_does_not_tell_the_classes_apart() -> None:
    accuracy = _ridge_accuracy(960, 320)
    assert 1.5 / len(CLASSES) < accuracy < 0.6


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: render_signs("all"), "split .* train, val, test; got 'all'"),
        (lambda: render_signs("val", size=8), "size .* 16 pixels; got 8"),
        (lambda: render_signs("val", seed=-1), "seed .* not .* negative; got -1"),
        (lambda: render_signs("val", count=0), "count .* 1 to 2000 .* 'val'; got 0"),
        (lambda: render_signs("val", count=2001), "count .* 1 to 2000 .* 'val'; got 2001"),
        (lambda: render_drive(-1, 3), "seed .* not .* negative; got -1"),
        (lambda: render_drive(0, 0), "frames .* at least 1; got 0"),
        (lambda: render_drive(0, 3, (90, 640)), "size .* 120 x 160 pixels; got 90 x 640"),
        (lambda: conditions.apply_condition(np.zeros((4, 4, 3), np.uint8), "hail", 0, 0),
         "condition .* clear, dusk, .*, dirty lens; got 'hail'"),
        (lambda: render_signs("test", count=2.5), "count must be 1 to 4000 for split 'test'; got 2.5"),  # type: ignore[arg-type]
        (lambda: render_signs("test", size="32"), "size must be at least 16 pixels; got '32'"),  # type: ignore[arg-type]
        (lambda: render_signs("test", seed=None), "seed must be a whole number; got None"),  # type: ignore[arg-type]
        (lambda: render_signs(["test"]), "split must be one of train, val, test"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_named_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def frames() -> list[DriveFrame]:
    return list(render_drive(5, 130, (270, 480), conditions=False))


@pytest.mark.slow
def test_the_ground_truth_lies_inside_the_image(frames: list[DriveFrame]) -> None:
    for frame in frames:
        assert frame.image.shape == (270, 480, 3)
        assert frame.image.dtype == np.uint8
        assert (frame.label is None) == (frame.box is None)
        if frame.box is not None:
            left, top, width, height = frame.box
            assert left >= 0
            assert top >= 0
            assert left + width <= 480
            assert top + height <= 270
            assert max(width, height) > 16
    assert sum(frame.label is not None for frame in frames) > 50


@pytest.mark.slow
def test_signs_grow_until_they_are_passed(frames: list[DriveFrame]) -> None:
    boxes = [(frame.sign, frame.box) for frame in frames if frame.box is not None]
    boxes_of_signs = [[box for _, box in group] for _, group in groupby(boxes, key=lambda pair: pair[0])]
    assert len(boxes_of_signs) >= 3
    for boxes_of_sign in boxes_of_signs[1:-1]:
        widths = [box[2] for box in boxes_of_sign]
        assert widths[-1] >= 1.2 * widths[0]
        assert all(later >= sooner - 1 for sooner, later in pairwise(widths))


def test_the_scene_moves_smoothly(frames: list[DriveFrame]) -> None:
    steps = [np.abs(after.image.astype(np.int16) - before.image).mean() for before, after in pairwise(frames[:60])]
    assert min(steps) > 0.2
    assert max(steps) < 3 * np.median(steps)


@pytest.mark.slow
def test_a_frame_does_not_depend_on_the_length_of_the_drive() -> None:
    short, long = list(render_drive(2, 4, (120, 160))), list(render_drive(2, 12, (120, 160), conditions=False))[:1]
    np.testing.assert_array_equal(short[0].image, long[0].image)
    assert not np.array_equal(short[0].image, next(render_drive(3, 1, (120, 160))).image)


@pytest.mark.slow
def test_the_schedule_gives_each_condition_an_equal_part() -> None:
    schedule = conditions.condition_schedule(700)
    assert [(condition, len(list(group))) for condition, group in groupby(schedule)] == [
        (condition, 100) for condition in conditions.CONDITIONS
    ]
    assert {frame.condition for frame in render_drive(1, 14, (120, 160))} == set(conditions.CONDITIONS)


CHANGES = [sensor.dusk, air.snow, air.fog, sensor.add_noise, lens.blur, lens.dirt]


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_condition_is_pure_and_grows_with_strength(change: Callable[..., np.ndarray]) -> None:
    frame = next(render_drive(1, 1, (120, 160))).image
    before = frame.copy()
    differences = [
        np.abs(change(frame, strength, 5, 1).astype(np.int16) - frame).mean() for strength in (0.0, 0.2, 0.5, 0.9)
    ]
    np.testing.assert_array_equal(frame, before)
    assert differences[0] == 0
    assert differences == sorted(differences)
    np.testing.assert_array_equal(change(frame, 0.5, 5, 1), change(frame, 0.5, 5, 1))


def test_snow_falls_and_dirt_stays_where_it_is() -> None:
    frame = np.full((180, 320, 3), 90, np.uint8)
    first, second = (lens.dirt(frame, 1.0, index, 2) for index in (0, 30))
    np.testing.assert_array_equal(first, second)
    first, second = (air.snow(frame, 1.0, index, 2) for index in (0, 30))
    assert np.abs(first.astype(int) - second).mean() > 1
    assert abs(float(first.mean()) - float(second.mean())) < 3
