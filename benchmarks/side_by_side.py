"""Runs commands side by side until the time is over: one small network after the other leaves most of a GPU idle.

    python benchmarks/side_by_side.py COMMANDS --minutes M --out DIR --data CIFAR10 [--workers N]

COMMANDS is a file with a command in each line, the most valuable first: a script of this folder and its arguments, in
which {out} is the folder DIR, {data} the data set, and {minutes} what is left of the time when the command begins.
What follows a # is left out. N commands run at a time, by default as many as there are cores but one. DIR gets a log
of each command and ended.json, which says how each one ended. A command that is not finished when the time is over is
ended; the same call skips what is finished and begins the others again, most of which go on where they were.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.limits import usable_cores

BENCHMARKS = Path(__file__).resolve().parent
MARGIN = 25.0  # seconds in which a command that keeps to its minutes writes its results
PAUSE = 0.2  # seconds between two looks at the processes
FINISHED, STOPPED = "finished", "out of time"


@dataclass(frozen=True)
class Running:
    """A command that runs.

    Attributes:
        process: Its process.
        started: Monotonic time of its start in seconds.
    """

    process: subprocess.Popen[bytes]
    started: float


def read_commands(path: Path) -> list[str]:
    """Returns the commands of a file.

    Raises:
        UsageError: It cannot be read, or a command names no script of the benchmarks, or has a quote without its end
            or braces with another name.
    """
    try:
        lines = [line.partition("#")[0].strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {getattr(error, 'strerror', None) or 'it is no text'}") from None
    commands = [line for line in lines if line]
    for command in commands:
        try:
            words = [word.format(out="", data="", minutes="") for word in shlex.split(command)]
        except (ValueError, KeyError, IndexError) as error:
            raise UsageError(
                f"{path}: {command!r:.80} is no command ({error}); braces hold out, data or minutes"
            ) from None
        script = BENCHMARKS / words[0]
        if script.suffix != ".py" or not script.is_file():
            raise UsageError(f"{path}: {command.split()[0]} is no script in {BENCHMARKS}")
    return commands


def file_name(command: str) -> str:
    """Returns a name for the log of a command."""
    return re.sub(r"[^A-Za-z0-9.+-]+", "-", command).strip("-")[-120:] + ".log"


def start(command: str, args: argparse.Namespace, end: float) -> Running:
    """Starts a command in a session of its own, with one thread for each library, and its log."""
    minutes = max(0.1, (end - MARGIN - time.monotonic()) / 60)
    script, *words = shlex.split(command)
    words = [word.format(out=args.out, data=args.data, minutes=f"{minutes:.2f}") for word in words]
    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    with (args.out / "logs" / file_name(command)).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 # a script of this folder
            [sys.executable, "-u", str(BENCHMARKS / script), *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **threads},
        )
    return Running(process, time.monotonic())


def run(commands: list[str], ended: dict[str, str], args: argparse.Namespace, end: float) -> dict[str, str]:
    """Runs the commands that are not finished, and returns how each one ended that began."""
    waiting = [command for command in commands if ended.get(command, "").split(",")[0] != FINISHED]
    running: dict[str, Running] = {}
    try:
        while (waiting or running) and time.monotonic() < end:
            while waiting and len(running) < args.workers:
                command = waiting.pop(0)
                running[command] = start(command, args, end)
            for command, each in list(running.items()):
                if (code := each.process.poll()) is not None:
                    how = FINISHED if code == 0 else f"failed with exit code {code}"
                    ended[command] = f"{how}, {time.monotonic() - each.started:.0f} s"
                    print(f"{command}: {ended[command]}", flush=True)
                    del running[command]
            time.sleep(PAUSE)
    finally:
        for command, each in running.items():
            each.process.kill()  # a training has a resume file
            ended[command] = STOPPED
    return ended


def main() -> None:
    """Runs the commands, and writes and prints how they ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("commands", type=Path)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--workers", type=int, default=max(1, usable_cores() - 1))
    args = parser.parse_args()
    if not 0 < args.minutes < math.inf or args.workers < 1:
        raise UsageError("--minutes is a number above 0, and --workers 1 or more")
    end = time.monotonic() + 60 * args.minutes
    commands = read_commands(args.commands)
    (args.out / "logs").mkdir(parents=True, exist_ok=True)
    kept = args.out / "ended.json"
    ended = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    ended = run(commands, ended, args, end)
    with atomic_file(kept) as temporary:
        temporary.write_text(json.dumps(ended, indent=1), encoding="utf-8")
    for command in commands:
        print(f"{ended.get(command, 'not begun')}: {command}")


if __name__ == "__main__":
    try:
        main()
    except AllweatherError as error:
        raise SystemExit(f"error: {error}") from None
