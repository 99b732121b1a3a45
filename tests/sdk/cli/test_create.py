"""allweather create: bad input gets one line before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke, one_line


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        ((), 2, "name the data: --data signs"),
        (("--data", "signs"), 2, "name the network: --arch resnet20"),
        (("--data", "signs", "--arch", "resnet20", "--onnx", "a.onnx"), 2, "train.arch and onnx.file name two"),
        (("--data", "signs", "--arch", "resnet20", "--model", "a:b"), 2, "train.arch and train.model name two"),
        (("--data", "signs", "--arch", "resnet21"), 2, "'resnet21'; did you mean"),
        (("--data", "signs", "--model", "no_such_module:f"), 2, "there is no module no_such_module"),
        (("--data", "signs", "--onnx", "none.onnx"), 1, "none.onnx"),
        (("--data", "folder:nowhere", "--arch", "resnet20"), 1, "nowhere"),
        (("--data", "sings", "--arch", "resnet20"), 2, "unknown data set"),
        (("--data", "signs", "--arch", "resnet20", "--size", "7"), 2, "--size"),
        (("--data", "signs", "--arch", "resnet20", "--seed", "-1"), 2, "--seed"),
        (("--config", "none.yaml"), 2, "cannot read none.yaml: No such file or directory"),
        (("--config", "", "--data", "signs"), 2, "--config is empty"),
        (("--onnx", "", "--data", "signs"), 2, "--onnx is empty"),
        (("--report", "file", "--data", "signs", "--arch", "resnet20"), 2, "--report is a folder for the report"),
        (("--report", ".my.aw.create/evaluate", "--data", "signs", "--arch", "resnet20"), 2, "which keeps the stages"),
    ],
)
def test_bad_usage(
    words: tuple[str, ...], status: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("")
    done = invoke("create", "my.aw", *words)
    assert message in one_line(done)
    assert done.exit_code == status
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


@pytest.mark.slow
def test_something_else_in_place_of_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    (tmp_path / "file.aw").write_text("mine")
    for path in (tmp_path / "notes", tmp_path / "file.aw", ".", "/", ".."):
        done = invoke("create", path, "--data", "signs", "--arch", "resnet20")
        assert done.exit_code in (1, 2)
        assert len(done.stderr.splitlines()) == 1
        assert str(path) in done.stderr
    assert (tmp_path / "notes" / "mine.txt").read_text() == (tmp_path / "file.aw").read_text() == "mine"


@pytest.mark.slow
def test_a_corrupted_set_that_is_not_there(folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "create.yaml"
    config.write_text(f"data: folder:{folder}\nsize: 32\ntrain: {{arch: resnet20}}\nevaluate: {{corruptions: nowhere}}")
    done = invoke("create", tmp_path / "my.aw", "--config", config)
    assert done.exit_code != 0
    assert "nowhere" in done.stderr
    assert not (tmp_path / ".my.aw.create").exists()
