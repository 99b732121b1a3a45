"""The list of commands, their help, and the version."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from commands import invoke

import allweather
from allweather.cli.app import GROUPS, app

COMMANDS: Any = typer.main.get_command(app)
NAMES = [name for group in GROUPS.values() for name in group]


def test_commands_are_shown_in_groups() -> None:
    text = invoke("--help").stdout
    places = [text.index(f" {name} ") for name in (*GROUPS, "learn-augmentation")]
    assert sorted(places) == [places[0], places[-1], *places[1:-1]]
    assert set(COMMANDS.commands) == set(NAMES)
    assert "test-time augmentation" in " ".join(text.split())  # who looks for it should find that it is here


def test_the_version_is_that_of_the_package() -> None:
    project = (Path(__file__).parents[3] / "pyproject.toml").read_text()
    done = invoke("--version")
    assert done.exit_code == 0
    assert done.stdout.split() == ["allweather", allweather.__version__]
    assert f'version = "{allweather.__version__}"' in project


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_is_described_by_a_sentence(name: str) -> None:
    command = COMMANDS.commands[name]
    texts = [command.help.split("\n")[0], *(parameter.help for parameter in command.params if parameter.name != "help")]
    for text in texts:
        assert text, f"{name}: an option has no help"
        assert text.endswith("."), f"{name}: {text}"
    first, *_ = texts
    assert first[0].isupper()
    assert first.split()[0].endswith("s"), f"{name}: the first word says what the command does"
    for option in command.params:
        assert len(option.help.split()) >= 3, f"{name} {option.name}: {option.help}"


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_json_and_help(name: str) -> None:
    options = {option for parameter in COMMANDS.commands[name].params for option in parameter.opts}
    assert "--json" in options
    assert invoke(name, "--help").exit_code == 0


@pytest.mark.slow
def test_help_loads_no_library() -> None:
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from allweather.cli.app import app\n"
        f"for name in {NAMES}:\n"
        "    assert CliRunner().invoke(app, [name, '--help']).exit_code == 0, name\n"
        "print([name for name in ('torch', 'numpy', 'cv2', 'openvino', 'onnx') if name in sys.modules])\n"
    )
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, env=environment, check=False
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_the_package_can_be_run_as_a_module() -> None:
    command = [sys.executable, "-m", "allweather"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["allweather", allweather.__version__]
    assert subprocess.run([*command, "look"], capture_output=True, timeout=60, check=False).returncode == 2


def test_without_a_command_the_help_is_shown() -> None:
    assert "Make a model" in invoke().output


def test_a_missing_library_of_the_command_line_itself_is_one_line() -> None:
    code = "import sys; sys.modules['pydantic'] = None; from allweather.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "doctor"], capture_output=True, text=True, timeout=60)
    cure = "pip install --force-reinstall allweather"
    assert done.returncode == 1
    assert done.stderr == f"error: this needs pydantic, which comes with allweather and is gone: {cure}\n"
