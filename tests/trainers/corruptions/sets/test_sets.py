from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from allweather.runtimes.errors import AllweatherError, DataError, OutputError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.choices import SetLayout
from allweather.trainers.corruptions.catalogue import CORRUPTIONS
from allweather.trainers.corruptions.sets import generated, parts, write
from allweather.trainers.corruptions.sets.generated import GeneratedSet
from allweather.trainers.corruptions.sets.read import open_corrupted_set
from allweather.trainers.corruptions.sets.write import write_corrupted_set
from allweather.trainers.data.split import Split

CLASSES = ("bird", "cat", "dog")
NAMES = ("gaussian_noise", "fog", "pixelate")
SPEC = InputSpec(32, 32)
IMAGES = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
LABELS = np.random.default_rng(1).integers(0, 3, 30)
CLEAN = Split(torch.from_numpy(IMAGES), torch.from_numpy(LABELS))


def write_noise(out: Path, layout: SetLayout = "npy", **more: int) -> Path:
    """Writes a small set of random images."""
    write_corrupted_set(CLEAN, CLASSES, out, data="noise", layout=layout, corruptions=NAMES, seed=3, **more)
    return out


def npy_header(shape: str, cut: int = 0) -> bytes:
    """Returns the start of a .npy file that claims a shape."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117)[: 117 - cut] + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode() + bytes(99)


@pytest.fixture(scope="module")
def npy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("npy") / "set", processes=1)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_noise(tmp_path_factory.mktemp("folders") / "set", "folders", processes=1)


def test_the_layout_of_cifar_10_c(npy: Path) -> None:
    stored = np.load(npy / "fog.npy")
    assert (stored.shape, stored.dtype) == ((150, 32, 32, 3), np.uint8)
    labels = np.load(npy / "labels.npy")
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, np.tile(LABELS, 5))
    assert {path.name for path in npy.iterdir()} == {f"{name}.npy" for name in NAMES} | {"labels.npy", "corrupted.json"}


@pytest.mark.slow
def test_the_layout_of_imagenet_c(folders: Path) -> None:
    assert sorted(path.name for path in (folders / "fog").iterdir()) == [*"12345"]
    assert len(list((folders / "fog" / "3" / "cat").glob("*.png"))) == (LABELS == 1).sum()


@pytest.mark.parametrize("severity", [1, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_stored_set_equals_the_generated_one(npy: Path, folders: Path, name: str, severity: int) -> None:
    in_memory = GeneratedSet(CLEAN, 3)
    expected = np.concatenate(list(in_memory.batches(name, severity, 7)))
    assert np.array_equal(in_memory.image(name, severity, 11), expected[11])
    arrays = open_corrupted_set(npy, CLASSES, SPEC)
    assert np.array_equal(np.concatenate(list(arrays.batches(name, severity, 8))), expected)
    assert np.array_equal(arrays.image(name, severity, 11), expected[11])
    files = open_corrupted_set(folders, CLASSES, SPEC)  # in the order of the classes
    order = np.argsort(LABELS, kind="stable")
    assert np.array_equal(files.labels, LABELS[order])
    assert np.array_equal(np.concatenate(list(files.batches(name, severity, 8))), expected[order])
    assert np.array_equal(files.image(name, severity, 11), expected[order][11])


def test_each_archive_may_have_a_folder_of_its_own(folders: Path, tmp_path: Path) -> None:
    shutil.copytree(folders / "fog", tmp_path / "weather" / "fog")
    assert open_corrupted_set(tmp_path, CLASSES, SPEC).corruptions == ("fog",)


@pytest.mark.slow
def test_two_processes_write_what_one_does(npy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(write, "BLOCK_SIZE", 256)  # spawned processes have the value in the file
    two = write_noise(tmp_path / "two", processes=2)
    for name in NAMES:
        assert (two / f"{name}.npy").read_bytes() == (npy / f"{name}.npy").read_bytes()


@pytest.mark.slow
def test_a_killed_run_is_resumed_with_the_same_result(
    npy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "BLOCK_SIZE", 4)
    calls: list[tuple[int, int]] = []

    def interrupt(done: int, total: int) -> None:
        calls.append((done, total))
        if done == 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_noise(tmp_path / "set", processes=1, watch=interrupt)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == [".set.part"]
    with pytest.raises(OutputError, match="unfinished set with other settings"):
        write_corrupted_set(CLEAN, CLASSES, tmp_path / "set", data="noise", corruptions=NAMES, seed=4)
    calls.clear()
    write_noise(tmp_path / "set", processes=1, watch=lambda done, total: calls.append((done, total)))  # type: ignore[arg-type]
    assert calls[0][0] >= 50
    assert calls[-1] == (120, 120)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    for name in NAMES:
        assert (tmp_path / "set" / f"{name}.npy").read_bytes() == (npy / f"{name}.npy").read_bytes()


@pytest.mark.parametrize("place", ["__init__", "submit"])
def test_a_system_that_refuses_processes_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(write.ProcessPoolExecutor, place, refused)
    with pytest.raises(OutputError, match=r"refuses worker processes \(Resource .*--processes 1"):
        write_noise(tmp_path / "set", processes=2)


def test_added_files_appear_together_with_the_set(tmp_path: Path) -> None:
    def interrupt(part: Path) -> None:
        raise KeyboardInterrupt

    for finish in (interrupt, interrupt, lambda part: (part / "sheet.png").touch()):
        assert not (tmp_path / "set").exists()
        with contextlib.suppress(KeyboardInterrupt):
            write_corrupted_set(
                CLEAN, CLASSES, tmp_path / "set", data="noise", corruptions=["fog"], processes=1, finish=finish
            )
    files = {path.name for path in (tmp_path / "set").iterdir()}
    assert files == {"fog.npy", "labels.npy", "corrupted.json", "sheet.png"}


def test_classes_in_another_order_are_matched_by_name(npy: Path) -> None:
    ours, others = open_corrupted_set(npy, CLASSES, SPEC), open_corrupted_set(npy, ("cat", "bird", "dog"), SPEC)
    names = [("cat", "bird", "dog")[label] for label in others.labels.tolist()]
    assert names == [CLASSES[label] for label in ours.labels.tolist()]


@pytest.mark.parametrize("classes", [("bird", "cat", "dog", "eel"), ("bird", "cat", "cow")])
def test_a_set_of_other_classes_is_refused(npy: Path, classes: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="made from noise with 3 classes such as 'bird'"):
        open_corrupted_set(npy, classes, SPEC)


def test_an_existing_folder_is_not_touched(npy: Path) -> None:
    with pytest.raises(OutputError, match="is there already"):
        write_noise(npy)


def test_an_unknown_corruption_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no corruption is called 'fogg'; did you mean fog[?]"):
        write_corrupted_set(CLEAN, CLASSES, tmp_path / "x", data="noise", corruptions=["fogg"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: np.save(path / "fog.npy", np.zeros((150, 32, 32), np.uint8)), r"fog.npy .* uint8 \[5 \* 30"),
        (lambda path: np.save(path / "fog.npy", np.zeros((150, 32, 32, 3), np.float32)), "holds float32"),
        (
            lambda path: np.save(path / "fog.npy", np.zeros((149, 32, 32, 3), np.uint8)),
            r"holds uint8 \[149, 32, 32, 3\]",
        ),
        (lambda path: np.save(path / "labels.npy", np.zeros(149, np.uint8)), "149 labels for the 150 images"),
        (lambda path: np.save(path / "labels.npy", np.arange(150) % 7 // 3), "same labels for each severity"),
        (lambda path: np.save(path / "labels.npy", np.tile(LABELS + 9, 5)), "the classifier knows 3 classes"),
        (lambda path: np.save(path / "labels.npy", np.zeros(150)), "integers"),
        (lambda path: (path / "fog.npy").write_bytes(b"\x93NUMPY no more"), "cannot be read as a .npy array"),
        (lambda path: (path / "fog.npy").write_bytes(npy_header("((", 90)), "cannot be read as a .npy array"),
        (lambda path: (path / "fog.npy").write_bytes(npy_header("(-9, 1)")), "cannot be read as a .npy array"),
        (lambda path: (path / "fog.npy").write_bytes(npy_header("(1 << 99,)")), "cannot be read as a .npy array"),
        (lambda path: (path / "fog.npy").write_bytes(b"PK\x03\x04" + bytes(99)), "an archive of arrays"),
        (lambda path: np.save(path / "fog.npy", np.array(5)), "must hold an array; it holds one int64"),
        (lambda path: np.save(path / "gaussian_noise.npy", np.array(5)), "must hold an array; it holds one int64"),
        (lambda path: np.save(path / "fog.npy", np.zeros((150, 0, 32, 3), np.uint8)), r"\[150, 0, 32, 3\]"),
        (lambda path: (path / "corrupted.json").write_text("[]"), "corrupted.json does not say"),
        (lambda path: (path / "labels.npy").unlink(), "no corrupted set in"),
        (lambda path: [(path / f"{name}.npy").unlink() for name in NAMES], "no corruption such as"),
    ],
)
def test_damaged_arrays(npy: Path, tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(npy, copy)
    change(copy)
    with pytest.raises(DataError, match=message) as caught:
        open_corrupted_set(copy, CLASSES, SPEC)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: shutil.rmtree(path / "fog" / "4"), "fog has no folder 4"),
        (lambda path: (path / "fog" / "4" / "cat").rename(path / "fog" / "4" / "cow"), "the class 'cow'"),
        (lambda path: next((path / "fog" / "4" / "cat").iterdir()).unlink(), "has other images than"),
        (lambda path: [shutil.rmtree(each) for each in (path / "gaussian_noise" / "1").iterdir()], "holds no images"),
    ],
)
def test_damaged_folders(folders: Path, tmp_path: Path, change: Callable[[Path], object], message: str) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folders, copy)
    change(copy)
    with pytest.raises(DataError, match=message):
        open_corrupted_set(copy, CLASSES, SPEC)


def test_a_damaged_image_is_named(folders: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folders, copy)
    image = next((copy / "fog" / "2" / "dog").iterdir())
    image.write_bytes(b"no image")
    with pytest.raises(AllweatherError, match=f"{image.name} cannot be read"):
        list(open_corrupted_set(copy, CLASSES, SPEC).batches("fog", 2, 100))


def test_images_of_another_size_are_prepared(npy: Path) -> None:
    images = next(open_corrupted_set(npy, CLASSES, InputSpec(48, 48)).batches("fog", 1, 4))
    assert images.shape == (4, 48, 48, 3)


def test_the_reference_set_opens(cifar10c: Path) -> None:
    reference = open_corrupted_set(cifar10c, tuple("abcdefghij"), SPEC)
    assert len(reference.corruptions) == 19
    assert len(reference.labels) == 120
    assert next(reference.batches("snow", 5, 50)).shape == (50, 32, 32, 3)


def test_generating_holds_one_batch_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    fog = generated.CORRUPTIONS["fog"]

    def count_images(images: np.ndarray, severity: int, rngs: Iterable[np.random.Generator]) -> np.ndarray:
        sizes.append(len(images))
        return fog(images, severity, rngs)

    monkeypatch.setitem(generated.CORRUPTIONS, "fog", count_images)
    batches = GeneratedSet(CLEAN, 0).batches("fog", 1, 8)
    next(batches)
    assert sizes == [8]
    assert [len(images) for images in batches] == [8, 8, 6]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_result_does_not_depend_on_how_images_are_divided(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(parts.corrupted_parts(IMAGES[:9], name, 4, 5, 2))
    monkeypatch.setattr(parts, "PART_PIXELS", 4 * 32 * 32 + 1)
    divided = list(parts.corrupted_parts(IMAGES[:9], name, 4, 5, 2))
    assert [len(whole), [len(part) for part in divided]] == [1, [4, 4, 1]]
    assert np.array_equal(np.concatenate(divided), whole[0])
