"""How commands end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run_python
from rich.console import Console

from allweather.cli import console
from allweather.runtimes.errors import CameraError, StalledError, UsageError

SWALLOWED = """
import os, signal, sys, time
import typer
from allweather.cli.console import handle_errors
from allweather.runtimes.errors import EngineError

@handle_errors
def command() -> None:
    try:
        if sys.argv[1] == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        raise ValueError
    except (KeyboardInterrupt, ValueError) as error:
        raise {kind}("a library took it for a fault of its own") from error

app = typer.Typer()
app.command()(command)
app(args=[])
"""


def test_a_narrow_terminal_cuts_no_word_of_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = Console(width=60, record=True)
    monkeypatch.setattr(console, "out", narrow)
    console.print_table([("policy", *["accepted, % (errors among them)"] * 7), ("top:2", *["50.0 (1.00)"] * 7)])
    assert "…" not in narrow.export_text()


@pytest.mark.parametrize("kind", ["EngineError", "RuntimeError"])
@pytest.mark.slow
def test_an_interrupt_that_a_library_swallows_is_still_one(kind: str) -> None:
    done = run_python(SWALLOWED.format(kind=kind), "interrupted")
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "interrupted"


@pytest.mark.slow
def test_without_an_interrupt_the_error_is_printed() -> None:
    done = run_python(SWALLOWED.format(kind="EngineError"), "left alone")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: a library took it for a fault of its own"


FULL = """
import torch, typer
from allweather.cli.console import handle_errors

@handle_errors
def command() -> None:
    {what}

app = typer.Typer()
app.command()(command)
app(args=[])
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "what", ["torch.empty(2**60)", "raise torch.OutOfMemoryError('CUDA out of memory')", "bytearray(2**62)"]
)
def test_a_full_memory_gets_one_line(what: str) -> None:
    done = run_python(FULL.format(what=what))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "memory is full" in line
    assert "--batch-size" in line


def test_an_address_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.print_result({"source": "rtsp://[2001:db8:a:b::1]/door"}, True, "run")
    assert "2001:db8:a:b::1" in capsys.readouterr().out


IMPORTING = """
import sys, time
import typer
from allweather.cli.console import handle_errors

@handle_errors
def command() -> None:
    import slow
    print("used")
    time.sleep(5)
    print("too late")

app = typer.Typer()
app.command()(command)
app(args=[])
"""


@pytest.mark.slow
def test_an_interrupt_waits_for_an_import(tmp_path: Path) -> None:
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.5)\nprint('imported')\n"
    (tmp_path / "slow.py").write_text(slow)
    done = run_python(IMPORTING, PYTHONPATH=str(tmp_path))
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "interrupted"
    assert done.stdout.splitlines() in (["imported"], ["imported", "used"])


LOGGED = """
import logging
import typer
from allweather.cli.console import handle_errors

@handle_errors
def command() -> None:
    logging.getLogger("allweather.runtimes").warning("a camera [of many] " + "far away " * 30 + "is lost")

app = typer.Typer()
app.command()(command)
app(args=[])
"""


@pytest.mark.slow
def test_a_warning_is_one_line_however_long() -> None:
    done = run_python(LOGGED)
    assert done.stderr == "WARNING  a camera [of many] " + "far away " * 30 + "is lost\n"


@pytest.mark.parametrize(("error", "code"), [(UsageError("x"), 2), (CameraError("x"), 1), (StalledError("x"), 75)])
def test_exit_codes_tell_a_supervisor_what_to_do(error: Exception, code: int) -> None:
    assert console._exit_code(error) == code


def test_json_holds_no_numbers_that_json_lacks() -> None:
    values = {"a": (1.0, float("nan")), "b": {"c": float("inf")}, "d": Path("x")}
    assert console.to_json(values) == {"a": [1.0, None], "b": {"c": None}, "d": "x"}


MESSAGES = """
import logging, sys
import allweather.cli
from allweather.cli.console import handle_errors, print_result, say

@handle_errors
def command() -> None:
    for epoch in range(1000):
        say(f"epoch {epoch}")
    logging.getLogger("allweather").warning("few images")
    print_result({"val_accuracy": 0.5}, True, "trained")

def run() -> None:
    command()
    sys.exit(0)

allweather.cli._run = run
allweather.cli.main()
"""


@pytest.mark.end_to_end
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full exists only on Linux")
@pytest.mark.parametrize("words", ["--help", "--version", "doctor --json"])
def test_a_stdout_that_is_full_gets_one_line(words: str) -> None:
    with Path("/dev/full").open("w") as full:
        line = [sys.executable, "-m", "allweather.cli", *words.split()]
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    (error,) = done.stderr.splitlines()
    assert "cannot write to stdout" in error


@pytest.mark.end_to_end
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full exists only on Linux")
def test_a_stderr_that_is_full_does_not_end_a_command() -> None:
    with Path("/dev/full").open("w") as full:
        line = [sys.executable, "-c", MESSAGES]
        done = subprocess.run(line, stdout=subprocess.PIPE, stderr=full, text=True, timeout=60, check=False)
    assert (done.returncode, json.loads(done.stdout)) == (0, {"val_accuracy": 0.5})


@pytest.mark.end_to_end
@pytest.mark.parametrize("value", ["0", "", "abc", "-5", "\u00b2", "9" * 5000])
def test_a_size_of_the_terminal_that_is_none_hides_no_result(value: str) -> None:
    size = dict.fromkeys(("COLUMNS", "LINES", "TERMINAL_WIDTH"), value)
    line = [sys.executable, "-m", "allweather.cli", "lint", "--json", "nothing.onnx"]
    done = subprocess.run(line, env={**os.environ, **size}, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no file nothing.onnx")
