"""Valid bundles: what is written opens, completely or not at all, in a format that does not change."""

from __future__ import annotations

import errno
import io
import os
import tempfile
import zipfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from allweather.runtimes.bundle.bundle import Bundle, npy_bytes, write_bundle
from allweather.runtimes.bundle.manifest import MANIFEST
from allweather.runtimes.errors import BundleError, OutputError

Fresh = Callable[[], AbstractContextManager[Path]]
NAMES = st.tuples(st.sampled_from(["deep/0", "f"]), st.text("Az0_.-", max_size=9)).map("".join)
FULL = OSError(errno.ENOSPC, "No space left on device")

# schema version 2, byte for byte: from the first release on, a change here needs a new schema version
PINNED = """{
 "format": "allweather-bundle",
 "schema_version": 2,
 "arch": "tiny",
 "classes": [
  "dry",
  "rain"
 ],
 "input": {
  "height": 2,
  "width": 2,
  "mean": [
   0.5,
   0.5,
   0.5
  ],
  "std": [
   0.25,
   0.5,
   1.0
  ],
  "crop": "center",
  "crop_fraction": 1.0
 },
 "views": [
  "identity"
 ],
 "predictor": null,
 "policies": [],
 "models": [
  {
   "role": "classifier",
   "engine": "onnx",
   "precision": "fp32",
   "file": "model.onnx",
   "weights": null,
   "golden": "golden/logits.npy",
   "tolerance": 0.001,
   "seconds": [
    0.25,
    0.5
   ],
   "parity": {
    "images": 4,
    "largest_logit_difference": 0.25,
    "mean_logit_difference": 0.0,
    "agreement": 1.0,
    "accuracy": 0.5,
    "reference_accuracy": 0.5,
    "corrupted_accuracy": null,
    "reference_corrupted_accuracy": null
   },
   "forced": ""
  }
 ],
 "rejected": [],
 "golden_frames": "golden/frames.npy",
 "golden_count": 2,
 "calibration": null,
 "machine": "a test",
 "versions": {
  "numpy": "2"
 },
 "files": {
  "golden/frames.npy": {
   "size": 152,
   "sha256": "12de5cadcf72a7ee3d9041399196417d1b6d6736587a836f3efbcbe9179eea9d"
  },
  "golden/logits.npy": {
   "size": 144,
   "sha256": "bbdab0065fe36f3b16f43e86f2fa025ab703fc8c8df83c8dee913abc8897b4b6"
  },
  "model.onnx": {
   "size": 7,
   "sha256": "170df6144b15bdf1dced878e45ebdb2dac95d0b1a3bc68459434bbbd88681157"
  }
 }
}"""


@pytest.fixture(autouse=True)
def _without_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """Does not wait for the disk, which would only make the tests slow."""
    monkeypatch.setattr(os, "fsync", lambda handle: None)


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def contents_of(path: Path) -> dict[str, bytes]:
    bundle = Bundle.open(path)
    return {name: bundle.read(name) for name in bundle.manifest.files}


@settings(deadline=None, max_examples=25)
@given(extra=st.dictionaries(NAMES, st.binary(max_size=300), max_size=5))
@pytest.mark.slow
def test_a_folder_and_a_zip_open_to_the_bytes_that_were_written(
    tiny: Any, fresh: Fresh, extra: dict[str, bytes]
) -> None:
    contents = {**tiny.contents, **extra}
    with fresh() as folder:
        for path in (folder / "bundle", folder / "bundle.zip"):
            write_bundle(path, tiny.manifest, contents)
            assert contents_of(path) == contents
        assert Bundle.open(folder / "bundle").manifest == Bundle.open(folder / "bundle.zip").manifest


def test_the_manifest_is_pinned(tiny: Any, tmp_path: Path) -> None:
    text = tiny.write(tmp_path / "bundle").joinpath(MANIFEST).read_text()
    assert text == PINNED


def test_a_bundle_has_the_files_it_lists_and_no_others(tiny: Any, tmp_path: Path) -> None:
    tiny.write(tmp_path / "b")
    tiny.write(tmp_path / "b.zip")
    names = sorted([MANIFEST, *tiny.contents])
    assert [name for name in listing(tmp_path / "b") if (tmp_path / "b" / name).is_file()] == names
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        assert sorted(archive.namelist()) == names


def test_an_array_file_is_pinned() -> None:
    data = npy_bytes(np.array([[0, 1], [2, -0.5]], np.float32))
    assert data[:16].hex() == "934e554d5059010076007b2764657363"
    assert data[10:128] == b"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }".ljust(117) + b"\n"
    assert data[128:].hex() == "000000000000803f00000040000000bf"


@settings(deadline=None, max_examples=40)
@given(
    array=st.sampled_from([np.uint8, np.float32]).flatmap(
        lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=1, max_dims=5, min_side=0))
    )
)
def test_numpy_reads_every_array_file(array: Any) -> None:
    read = np.load(io.BytesIO(npy_bytes(array)), allow_pickle=False)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


def test_the_memory_layout_of_an_array_does_not_matter() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    assert npy_bytes(np.asfortranarray(array)) == npy_bytes(array) == npy_bytes(array.astype(">f4"))


def test_golden_arrays_come_back(tiny: Any, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny.write(tmp_path / "b.zip"))
    assert bundle.golden_frames().tolist() == np.arange(24).reshape(2, 2, 2, 3).tolist()
    assert bundle.golden_outputs(bundle.manifest.models[0]).tolist() == [[0, 1], [2, -0.5]]
    assert bundle.classes == ("dry", "rain")
    assert (bundle.input.height, bundle.input.std) == (2, (0.25, 0.5, 1.0))


def test_the_same_content_makes_the_same_zip(tiny: Any, tmp_path: Path) -> None:
    first, second = (tiny.write(tmp_path / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert first == second


def test_a_file_that_compresses_very_well_still_opens_from_a_zip(tiny: Any, tmp_path: Path) -> None:
    contents = {**tiny.contents, "dark.npy": bytes(3 << 20)}
    write_bundle(tmp_path / "b.zip", tiny.manifest, contents)
    assert contents_of(tmp_path / "b.zip") == contents


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_a_new_bundle_replaces_the_old_one(tiny: Any, tmp_path: Path, name: str) -> None:
    write_bundle(tmp_path / name, tiny.manifest, {**tiny.contents, "old": b"old"})
    tiny.write(tmp_path / name)
    assert contents_of(tmp_path / name) == dict(tiny.contents)
    assert [path.name for path in tmp_path.iterdir()] == [name]


class Failing:
    """Wraps a function and raises an error at its nth call, before or after the call itself."""

    def __init__(self, error: BaseException, nth: int, *, after: bool) -> None:
        self.error, self.left, self.after = error, nth, after
        self.fired = False

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == -1 and not self.after:
                self.fired = True
                raise self.error
            result = function(*arguments, **named)
            if self.left == -1:
                self.fired = True
                raise self.error
            return result

        return call


STEPS = [
    (Path, "mkdir"), (Path, "write_bytes"), (Path, "chmod"), (Path, "rename"), (Path, "replace"), (os, "fsync"),
    (zipfile.ZipFile, "writestr"), (tempfile, "mkdtemp"), (tempfile, "mkstemp"),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full disk", "interrupt"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_failure_anywhere_leaves_a_complete_bundle_and_no_temporary_files(
    tiny: Any, fresh: Fresh, monkeypatch: pytest.MonkeyPatch, name: str, error: BaseException, after: bool
) -> None:
    new = replace(tiny, contents={**tiny.contents, "new": b"new"})
    fired = 0
    for owner, step in STEPS:
        if after and owner is tempfile:
            continue  # after an interrupt before the name of a temporary file is known, nobody can delete it
        for nth in range(4):
            with fresh() as folder, monkeypatch.context() as patch:
                tiny.write(folder / name)
                failing = Failing(error, nth, after=after)
                patch.setattr(owner, step, failing.wrap(getattr(owner, step)))
                if error is FULL:
                    outcome: Any = pytest.raises(OutputError, match=f"cannot write .*{name}: the disk is full")
                else:
                    outcome = pytest.raises(KeyboardInterrupt)
                try:
                    with outcome:
                        new.write(folder / name)
                except pytest.fail.Exception:
                    assert not failing.fired, (step, nth)
                    break
                fired += failing.fired
                patch.undo()
                assert [path.name for path in folder.iterdir()] == [name], (step, nth)
                complete = [dict(tiny.contents), dict(new.contents)]
                assert contents_of(folder / name) in (complete if after or not failing.fired else complete[:1]), (
                    step,
                    nth,
                )
    assert fired >= 4


@pytest.mark.parametrize("name", ["album", "album.zip"])
def test_a_folder_of_something_else_is_never_replaced(tiny: Any, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / name / "holiday.jpg").write_bytes(b"sun")
    with pytest.raises(OutputError, match="cannot write"):
        tiny.write(tmp_path / name)
    assert listing(tmp_path) == [name, f"{name}/holiday.jpg"]


def test_a_file_is_not_replaced_by_a_folder(tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(OutputError, match="cannot write"):
        tiny.write(tmp_path / "notes")
    assert (tmp_path / "notes").read_text() == "mine"


@pytest.mark.parametrize("change", [{"golden/frames.npy": None}, {"../out": b""}, {MANIFEST: b"{}"}, {".hidden": b""}])
def test_what_would_not_open_is_not_written(tiny: Any, tmp_path: Path, change: dict[str, bytes | None]) -> None:
    contents = {name: data for name, data in {**tiny.contents, **change}.items() if data is not None}
    with pytest.raises(BundleError):
        write_bundle(tmp_path / "bundle", tiny.manifest, contents)
    assert listing(tmp_path) == []


def test_bundles_can_be_keys_of_a_dictionary(tiny: Any, tmp_path: Path) -> None:
    write_bundle(tmp_path / "b.aw", tiny.manifest, tiny.contents)
    first, second = Bundle.open(tmp_path / "b.aw"), Bundle.open(str(tmp_path / "b.aw"))
    assert first == second
    assert len({first, second}) == 1
