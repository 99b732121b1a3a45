"""What commands of minutes say while they run and when they are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import invoke

from allweather.cli.training import training_run
from allweather.trainers.data.registry import open_dataset


def test_ctrl_c_in_a_training_says_that_the_same_command_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(KeyboardInterrupt),
        training_run("train", lambda: open_dataset(f"folder:{folder}", 32), devices=1, precision="fp32"),
    ):
        raise KeyboardInterrupt
    assert "stopped; the same command goes on where it was last saved" in capsys.readouterr().err


@pytest.mark.slow
def test_export_names_its_steps_where_there_is_no_terminal(folder: Path, plain: Path, tmp_path: Path) -> None:
    words = f"export {plain} --data folder:{folder} --engine onnx --precision fp32 --out {tmp_path / 'x.aw'}".split()
    result = invoke(*words)
    assert result.exit_code == 0, result.output
    for step in ("reference outputs from torch", "classifier: onnx fp32"):
        assert f"export: {step}\n" in result.stderr
        assert step not in result.stdout
