"""What a data set holds is shown alone by inspect, and in short by the commands that use it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from commands import invoke, json_of, one_line

from allweather.runtimes.bundle.bundle import Bundle
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import load_checkpoint, save_checkpoint

SPLITS = ["train", "val", "test"]


@pytest.fixture
def faulty(folder: Path, tmp_path: Path) -> Path:
    """The folder with what real folders have."""
    root = tmp_path / "faulty"
    shutil.copytree(folder, root)
    (root / "val").rename(root / "valid")
    (root / "train/.ipynb_checkpoints").mkdir()
    (root / "train/red/notes.txt").touch()
    (root / "train/red/000.png").write_bytes(b"no image")
    shutil.copy(root / "train/blue/001.png", root / "test/blue/copy.png")
    return root


def test_everything_that_was_found_is_shown(faulty: Path) -> None:
    done = invoke("inspect", f"folder:{faulty}")
    assert done.exit_code == 0
    for words in ("smallest class", "unreadable", "also in train", "valid (24 .png)", "red", "39"):
        assert words in done.stdout
    text = one_line(done)
    for words in (
        "the folder valid is used as val", "hidden files and folders are left out (.ipynb_checkpoints)",
        "not used is 1 file of other kinds (.txt 1)", "1 of 120 images could not be read",
        "1 of 25 images of test are in train",
    ):  # fmt: skip
        assert words in text


def test_all_unreadable_images_are_named(faulty: Path) -> None:
    for index in range(10):
        (faulty / f"train/red/bad {index}.jpg").write_bytes(b"no image")
    text = one_line(invoke("inspect", f"folder:{faulty}"))
    names = ", ".join(f"red/bad {index}.jpg" for index in range(9))
    assert f"train: not readable are red/000.png, {names} and 1 more" in text
    assert "too few to compare policies" in text  # 24 images of val


def test_json_holds_everything(faulty: Path) -> None:
    found = json_of(invoke("inspect", f"folder:{faulty}", "--json"))
    assert [(split["split"], split["folder"]) for split in found["splits"]] == list(
        zip(SPLITS, ("train", "valid", "test"), strict=True)
    )
    assert found["splits"][0]["images"] == {"blue": 40, "green": 40, "red": 39}
    assert found["duplicates"] == {"train/test": 1}
    assert found["problems"] == []


@pytest.mark.slow
def test_what_cannot_be_used_is_shown_and_other_commands_refuse_it(faulty: Path, plain: Path, tmp_path: Path) -> None:
    shutil.rmtree(faulty / "train/green")
    (faulty / "train/green").mkdir()
    done = invoke("inspect", f"folder:{faulty}")
    assert done.exit_code == 0
    assert "cannot be used: there are no images in" in one_line(done)
    out = tmp_path / "x.safetensors"
    for line in (
        ["train", "--arch", "resnet8", "--out", out], ["evaluate", plain], ["corrupt", "--out", tmp_path / "set"],
        ["export", plain, "--out", tmp_path / "x.aw"], ["finetune", plain, "--method", "at", "--out", out],
    ):  # fmt: skip
        refused = invoke(*line, "--data", f"folder:{faulty}")
        assert refused.exit_code == 1
        assert "there are no images in" in one_line(refused)
        assert not out.exists()


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ("folder:/nowhere", 1, "no folder /nowhere; a data set"),
        ("nothing", 2, "unknown data set 'nothing'"),
        ("cifar10:/nowhere", 1, "no cifar10 in /nowhere"),
        ("list:/nowhere.csv", 1, "there is no list /nowhere.csv"),
        ("list:/nowhere", 1, "a list of images is a file .csv, .tsv or .parquet; got /nowhere"),
        ("hf:some/name", 1, "nothing is downloaded: save the data first with datasets.load_dataset(NAME).save_to_disk"),
        ("list:", 2, "unknown data set 'list:'"),
        ("hf:", 2, "unknown data set 'hf:'"),
    ],
)
def test_data_that_is_not_there(data: str, code: int, words: str) -> None:
    done = invoke("inspect", data)
    assert done.exit_code == code
    assert words in one_line(done)


def test_other_data_is_counted() -> None:
    found = json_of(invoke("inspect", "signs", "--json"))
    assert [sum(split["images"].values()) for split in found["splits"]] == [12_000, 2_000, 4_000]


@pytest.mark.slow
def test_it_is_kept_in_the_checkpoint_and_in_json(faulty: Path, tmp_path: Path) -> None:
    out, data = tmp_path / "a.safetensors", ["--data", f"folder:{faulty}"]
    line = ["train", *data, "--size", 16, "--arch", "resnet8", "--epochs", 1, "--batch-size", 20, "--no-hflip"]
    done = invoke(*line, "--out", out, "--json")
    expected = json_of(invoke("inspect", f"folder:{faulty}", "--json"))
    assert expected.pop("purposes")[0]["purpose"] == "train"
    assert json_of(done)["inventory"] == load_checkpoint(out).settings["inventory"] == expected
    assert "smallest class" in done.stderr
    assert load_checkpoint(out).hflip is False
    evaluated = json_of(invoke("evaluate", out, *data, "--json"))
    assert evaluated["provenance"]["inventory"] == expected
    robust = tmp_path / "robust.safetensors"
    line = ["finetune", out, *data, "--method", "at", "--augment", "trivial", "--epochs", 1, "--out", robust, "--json"]
    assert json_of(invoke(*line))["inventory"] == expected
    assert load_checkpoint(robust).hflip is False


@pytest.mark.slow
def test_classes_in_another_order_than_the_folders(checkpoint: Checkpoint, folder: Path, tmp_path: Path) -> None:
    order = [2, 0, 1]
    last = {key: value[order] for key, value in checkpoint.weights.items() if key.startswith("linear.")}
    assert len(last) == 2
    classes = tuple(checkpoint.classes[index] for index in order)
    own = dataclasses.replace(checkpoint, classes=classes, weights={**checkpoint.weights, **last})
    paths = {"plain": checkpoint, "own": own}
    data = ["--data", f"folder:{folder}"]
    for name, each in paths.items():
        save_checkpoint(tmp_path / f"{name}.safetensors", each)
    plain, other = (json_of(invoke("evaluate", tmp_path / f"{name}.safetensors", *data, "--json")) for name in paths)
    assert other["accuracy"] == plain["accuracy"] > 0.9
    assert other["by_class"] == plain["by_class"]
    both = [tmp_path / f"{name}.safetensors" for name in paths]
    compared = json_of(invoke("evaluate", *both, *data, "--json"))["results"]
    assert compared[0]["accuracy"] == compared[1]["accuracy"]
    bundle = tmp_path / "own.aw"
    done = invoke("export", both[1], *data, "--engine", "onnx", "--precision", "fp32", "--out", bundle, "--json")
    assert json_of(done)["models"][0]["reference_accuracy"] > 0.9
    assert Bundle.open(bundle).classes == classes
    assert json_of(invoke("evaluate", bundle, *data, "--json"))["accuracy"] == plain["accuracy"]
    corrupted = tmp_path / "set"
    invoke("corrupt", *data, "--corruption", "fog", "--size", 32, "--processes", 1, "--out", corrupted)
    first, second = json_of(invoke("evaluate", *both, *data, "--corrupted", corrupted, "--json"))["results"]
    assert [cell["error"] for cell in first["cells"]] == [cell["error"] for cell in second["cells"]]


def test_a_list_is_shown_as_folders_are(folder: Path, tmp_path: Path) -> None:
    lines = [f"{path},{path.parent.name}" for path in sorted(folder.glob("train/*/*.png"))]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines, "none.png,red"]))
    done = invoke("inspect", f"list:{tmp_path / 'list.csv'}")
    assert done.exit_code == 0
    assert "train (121 .png)" in done.stdout
    text = one_line(done)
    assert "train: 1 of 121 images could not be read and are left out" in text
    assert "list.csv lists no image of val: a tenth of each class of train will be held out as val" in text
