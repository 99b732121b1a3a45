"""Every command that takes minutes refuses an output that another process is writing, before it does anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from allweather.cli.app import app
from allweather.runtimes.system.output_lock import output_lock

COMMANDS = {
    "train": ["--data", "signs", "--arch", "resnet20"],
    "finetune": ["CHECKPOINT", "--data", "signs", "--method", "fma"],
    "learn-augmentation": ["--data", "signs", "--arch", "resnet20"],
    "train-predictor": ["CHECKPOINT", "--data", "signs"],
    "tune-policy": ["CHECKPOINT", "--data", "signs"],
    "corrupt": ["--data", "signs"],
    "evaluate": ["CHECKPOINT", "--data", "signs"],
    "export": ["CHECKPOINT"],
    "demo": [],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_second_of_two_commands_with_one_output_is_refused_in_one_line(command: str, tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "in.safetensors", tmp_path / "out.safetensors"
    checkpoint.write_text("")
    arguments = [str(checkpoint) if each == "CHECKPOINT" else each for each in COMMANDS[command]]
    with output_lock(out):
        result = CliRunner().invoke(app, [command, *arguments, "--out", str(out)])
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1, result.stderr
    assert "is writing" in result.stderr
    assert "wait until it has ended" in result.stderr
    assert list(tmp_path.iterdir()) == [checkpoint]
