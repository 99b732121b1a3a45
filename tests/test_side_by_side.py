"""The script that runs benchmarks side by side, with small scripts in place of the benchmarks."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "side_by_side.py"


@pytest.fixture
def scripts(tmp_path: Path) -> Path:
    """Returns the folder of small scripts, which are named from it."""
    (tmp_path / "tell.py").write_text("import sys; print(*sys.argv[1:])\n")
    (tmp_path / "fail.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "wait.py").write_text("import time; time.sleep(60)\n")
    return tmp_path


def call(folder: Path, commands: str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "commands.txt").write_text(commands)
    words = [folder / "commands.txt", "--out", folder / "out", "--data", "cifar10:ROOT", "--minutes", "0.06", *more]
    return subprocess.run([sys.executable, str(SCRIPT), *map(str, words)], capture_output=True, text=True, check=False)


def ended(folder: Path) -> dict[str, str]:
    kept: dict[str, str] = json.loads((folder / "out" / "ended.json").read_text())
    return {command.split("/")[-1]: how.split(",")[0] for command, how in kept.items()}


@pytest.mark.slow
def test_commands_run_until_the_time_is_over_and_finished_ones_are_skipped(scripts: Path) -> None:
    commands = f'{scripts}/tell.py {{data}} {{out}} "two words" # a remark\n\n{scripts}/fail.py\n{scripts}/wait.py\n'
    started = time.monotonic()
    assert call(scripts, commands, "--workers", "2").returncode == 0
    assert time.monotonic() - started < 30, "what waits was not ended"
    tell = 'tell.py {data} {out} "two words"'
    assert ended(scripts) == {tell: "finished", "fail.py": "failed with exit code 3", "wait.py": "out of time"}
    (log,) = (scripts / "out" / "logs").glob("*tell*")
    assert log.read_text() == f"cifar10:ROOT {scripts / 'out'} two words\n"
    (scripts / "fail.py").write_text("")
    call(scripts, commands, "--workers", "3")
    assert ended(scripts) == {tell: "finished", "fail.py": "finished", "wait.py": "out of time"}
    assert log.read_text().count("\n") == 1, "what was finished ran again"


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ("there_is_none.py --x", "there_is_none.py is no script"),
        ("gpu/__init__", "is no script"),
        ("on_a_gpu.py 'x", "is no command"),
        ("on_a_gpu.py {folder}", "is no command"),
    ],
)
def test_other_commands_are_refused_in_one_line(scripts: Path, commands: str, message: str) -> None:
    done = call(scripts, commands)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert message in done.stderr


def test_the_commands_of_the_project_name_scripts_that_are_there() -> None:
    sys.path.insert(0, str(SCRIPT.parent))
    try:
        from side_by_side import read_commands
    finally:
        sys.path.remove(str(SCRIPT.parent))
    assert len(read_commands(SCRIPT.parent / "gpu" / "commands.txt")) >= 20
