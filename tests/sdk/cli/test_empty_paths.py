"""A path that is given as "" is refused: it would be the folder in which the command was started."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import get_args

import pytest
from commands import invoke, one_line

from allweather.cli.app import GROUPS, PATH_OPTIONS
from allweather.cli.checks import read_token

LINES = [
    ("train", "--arch", "resnet20", "--data", "signs", "--out"),
    ("finetune", "x.safetensors", "--data", "signs", "--method", "st", "--out"),
    ("evaluate", "x.aw", "--data", "signs", "--out"),
    ("corrupt", "--data", "signs", "--out"),
    ("bench", "x.aw", "--out"),
    ("export", "x.safetensors", "--data", "signs", "--out"),
    ("export", "x.safetensors", "--out", "x.aw", "--large"),
    ("run", "x.aw", "--source", "0", "--video"),
    ("run", "x.aw", "--source", "0", "--jsonl"),
    ("run", "x.aw", "--source", "0", "--table"),
    ("run", "x.aw", "--source", "0", "--hard-frames"),
    ("demo", "--out"),
]


def test_the_list_of_options_that_are_paths() -> None:
    found = {
        f"--{name.replace('_', '-')}"
        for commands in GROUPS.values()
        for command in commands.values()
        for name, parameter in inspect.signature(command, eval_str=True).parameters.items()
        for annotation in get_args(parameter.annotation)
        if type(annotation).__name__ == "OptionInfo" and "Path" in str(get_args(parameter.annotation)[0])
    }
    assert found == PATH_OPTIONS


@pytest.mark.parametrize("line", LINES, ids=lambda line: f"{line[0]} {line[-1]}")
def test_an_empty_path_is_refused(line: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for done in (invoke(*line, ""), invoke(*line[:-1], f"{line[-1]}=")):
        assert done.exit_code == 2
        assert f"{line[-1]} is empty; name a file or folder" in one_line(done)
        assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "line",
    [
        ("evaluate", "x.aw", "--data", "signs", "--corrupted"),
        ("run", "x.aw", "--source", "0", "--serve", "8080", "--token"),
        ("run", "x.aw", "--source", "0", "--webhook", "http://host", "--webhook-secret"),
    ],
    ids=lambda line: line[-1],
)
def test_an_empty_text_is_not_taken_for_none(line: tuple[str, ...]) -> None:
    for done in (invoke(*line, ""), invoke(*line[:-1], f"{line[-1]}=")):
        assert done.exit_code == 2
        assert f"{line[-1]} is empty; write what it takes, or leave it out" in one_line(done)


def test_the_token_is_read_from_where_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAGE_TOKEN", " s3cret\n")
    (tmp_path / "token").write_text("s3cret2\n")
    assert read_token("env:PAGE_TOKEN") == "s3cret"
    assert read_token(f"file:{tmp_path / 'token'}") == "s3cret2"
    assert (read_token("plain"), read_token("")) == ("plain", "")
    done = invoke("run", "x.aw", "--source", "0", "--serve", "8080", "--token", "env:NOT_THERE")
    assert done.exit_code == 2
    assert "the environment variable NOT_THERE of the token env:NOT_THERE is not set" in one_line(done)


@pytest.mark.parametrize("line", [("evaluate", "", "--data", "signs"), ("run", "", "--source", "0"), ("lint", "")])
def test_an_empty_argument_is_refused(line: tuple[str, ...]) -> None:
    done = invoke(*line)
    assert done.exit_code == 2
    assert "an argument is empty; name a file or folder" in one_line(done)


@pytest.mark.slow
def test_other_options_tell_of_empty_text_themselves(exported: tuple[Path, object]) -> None:
    done = invoke("run", exported[0], "--source", "")
    assert done.exit_code == 1
    assert "the source is empty" in one_line(done)
