"""How commands end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allweather.cli import console

SWALLOWED = """
import os, signal, sys, time
import typer
from allweather.cli.console import guarded
from allweather.runtimes.errors import EngineError

@guarded
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


@pytest.mark.parametrize("kind", ["EngineError", "RuntimeError"])
def test_an_interrupt_that_a_library_swallows_is_still_one(kind: str) -> None:
    words = [sys.executable, "-c", SWALLOWED.format(kind=kind), "interrupted"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "interrupted"


def test_without_one_the_error_is_said() -> None:
    words = [sys.executable, "-c", SWALLOWED.format(kind="EngineError"), "left alone"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: a library took it for a fault of its own"


FULL = """
import torch, typer
from allweather.cli.console import guarded

@guarded
def command() -> None:
    {what}

app = typer.Typer()
app.command()(command)
app(args=[])
"""


@pytest.mark.parametrize(
    "what", ["torch.empty(2**60)", "raise torch.OutOfMemoryError('CUDA out of memory')", "bytearray(2**62)"]
)
def test_a_full_memory_is_one_line(what: str) -> None:
    words = [sys.executable, "-c", FULL.format(what=what)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.strip() == "error: the memory is full; try a smaller --batch or --size, or fewer pictures"


def test_an_address_is_told_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    console.result({"source": "rtsp://[2001:db8:a:b::1]/door"}, True, "run")
    assert "2001:db8:a:b::1" in capsys.readouterr().out


IMPORTING = """
import sys, time
import typer
from allweather.cli.console import guarded

@guarded
def command() -> None:
    import slow
    print("used")
    time.sleep(5)
    print("too late")

app = typer.Typer()
app.command()(command)
app(args=[])
"""


def test_an_interrupt_waits_for_an_import(tmp_path: Path) -> None:
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(0.5)\nprint('imported')\n"
    (tmp_path / "slow.py").write_text(slow)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    words = [sys.executable, "-c", IMPORTING]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 130, done.stderr
    assert done.stderr.strip() == "interrupted"
    assert done.stdout.splitlines() in (["imported"], ["imported", "used"])


LOGGED = """
import logging
import typer
from allweather.cli.console import guarded

@guarded
def command() -> None:
    logging.getLogger("allweather.runtimes").warning("a camera [of many] " + "far away " * 30 + "is lost")

app = typer.Typer()
app.command()(command)
app(args=[])
"""


def test_a_warning_is_one_line_however_long() -> None:
    done = subprocess.run([sys.executable, "-c", LOGGED], capture_output=True, text=True, timeout=60)
    assert done.stderr == "WARNING  a camera [of many] " + "far away " * 30 + "is lost\n"
