"""What commands of minutes say when they are stopped."""

from __future__ import annotations

from pathlib import Path

import pytest

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
