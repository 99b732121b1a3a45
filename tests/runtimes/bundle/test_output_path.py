"""A bundle takes the place of a bundle alone: nobody's other files are deleted with it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from allweather.runtimes.bundle.output_path import check_bundle_path, check_outside_bundles
from allweather.runtimes.errors import OutputError, UsageError

BUNDLE = {"format": "allweather-bundle", "schema_version": 1, "files": {"onnx/classifier-fp32.onnx": {}}}


def write(folder: Path, manifest: object, *names: str) -> None:
    for name in ("manifest.json", *names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(manifest if isinstance(manifest, str) else json.dumps(manifest))


@pytest.mark.parametrize("manifest", [{"name": "browser extension", "manifest_version": 3}, [], "no JSON", "[" * 9000])
def test_a_folder_of_another_program_stays(manifest: object, tmp_path: Path) -> None:
    write(tmp_path / "extension", manifest, "src/app.js")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputError, match=r"extension: its manifest.json is not that of a bundle; name a new folder"):
        check_bundle_path(tmp_path / "extension")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["site.yaml", "logs/front.jsonl", ".git/HEAD", "onnx/notes.txt"])
def test_files_beside_a_bundle_stay(name: str, tmp_path: Path) -> None:
    write(tmp_path / "x.aw", BUNDLE, "onnx/classifier-fp32.onnx", name)
    with pytest.raises(OutputError, match=rf"beside the bundle it holds {name}, which would be deleted"):
        check_bundle_path(tmp_path / "x.aw")


def test_a_bundle_is_replaced_with_what_systems_leave_there(tmp_path: Path) -> None:
    write(tmp_path / "x.aw", BUNDLE, "onnx/classifier-fp32.onnx", ".DS_Store", "onnx/Thumbs.db", "._manifest.json")
    check_bundle_path(tmp_path / "x.aw")


def test_a_zip_file_that_is_no_bundle_stays(tmp_path: Path) -> None:
    images, bundle, empty = tmp_path / "images.zip", tmp_path / "x.zip", tmp_path / "empty.zip"
    with zipfile.ZipFile(images, "w") as archive:
        archive.writestr("train/stop/0.png", b"precious")
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("manifest.json", json.dumps(BUNDLE))
    empty.touch()
    with pytest.raises(OutputError, match=r"images.zip: it exists and is no bundle; remove it, or name a new file"):
        check_bundle_path(images)
    check_bundle_path(bundle)
    check_bundle_path(empty)
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(OutputError, match="is no bundle"):
        check_bundle_path(tmp_path / "text.zip")


def test_a_zip_file_with_a_damaged_manifest_stays(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps({**BUNDLE, "arch": "a" * 99}))
    content = bytearray(path.read_bytes())
    start = content.index(b"manifest.json") + len("manifest.json")
    content[start : start + 8] = b"\xff" * 8
    path.write_bytes(content)
    with pytest.raises(OutputError, match="is no bundle"):
        check_bundle_path(path)


def test_nothing_else_is_written_into_a_bundle(tmp_path: Path) -> None:
    bundle = tmp_path / "my.aw"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps(BUNDLE))
    for path in (bundle, bundle / "report", bundle / "a" / "b.safetensors"):
        with pytest.raises(UsageError, match=r"the bundle .*my.aw, which holds only its own files; name another --log"):
            check_outside_bundles(path, "--log")
    for inner in (bundle / "x.aw", bundle / "x.zip"):
        with pytest.raises(UsageError, match="lies in the bundle"):
            check_bundle_path(inner)
    check_bundle_path(bundle)
    check_outside_bundles(tmp_path / "my.aw.report")
    (tmp_path / "manifest.json").write_text("{}")
    check_outside_bundles(tmp_path / "report")  # in a folder of another program
    assert [path.name for path in bundle.iterdir()] == ["manifest.json"]
