"""Pictures that a command writes do not become images of the data set that it reads."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from allweather.cli.app import app
from allweather.runtimes.errors import UsageError
from allweather.trainers.data.files.outputs import check_output_is_no_class


@pytest.fixture
def classes(root: Path) -> Path:
    """A folder of classes without splits."""
    shutil.copytree(root / "train", root.parent / "classes")
    return root.parent / "classes"


@pytest.mark.parametrize("name", ["report", "aa", "aa/report", "report/deep"])
def test_a_folder_among_classes_is_refused(classes: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"lies among the images of folder:.*; name another --out, outside of "):
        check_output_is_no_class(classes / name, f"folder:{classes}")


@pytest.mark.parametrize("name", ["train", "train/aa", "val/report", "Test/bb"])
def test_a_folder_in_a_split_is_refused(root: Path, name: str) -> None:
    with pytest.raises(UsageError, match="lies among the images"):
        check_output_is_no_class(root / name, f"folder:{root}")


def test_other_folders_are_allowed(root: Path, classes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output_is_no_class(root / "report", f"folder:{root}")  # beside the splits
    with pytest.raises(UsageError, match=r"is the folder of folder:.* itself; name another --out"):
        check_output_is_no_class(root, f"folder:{root}")
    check_output_is_no_class(classes.with_name("classes.report"), f"folder:{classes}")
    check_output_is_no_class(classes / ".report", f"folder:{classes}")  # hidden ones are left out
    for data in ("signs", f"list:{classes}/list.csv", "folder:", f"cifar10:{classes}"):
        check_output_is_no_class(classes / "report", data)
    monkeypatch.chdir(classes)
    with pytest.raises(UsageError, match=r"among the images of folder:\.,"):
        check_output_is_no_class(Path("report"), "folder:.")


@pytest.mark.parametrize(
    "words",
    [
        ["corrupt", "--out"],
        ["show-augmentation", "none.safetensors", "--out"],
        ["evaluate", "none.safetensors", "--out"],
        ["create", "none.aw", "--report"],
    ],
)
def test_commands_write_no_pictures_among_the_images(classes: Path, words: list[str]) -> None:
    """The plots of evaluate became images of a class that the next training learned from."""
    done = CliRunner().invoke(app, [*words, str(classes / "extra"), "--data", f"folder:{classes}"])
    assert done.exit_code == 2
    assert "lies among the images" in done.output
    assert sorted(entry.name for entry in classes.iterdir()) == ["aa", "bb"]
