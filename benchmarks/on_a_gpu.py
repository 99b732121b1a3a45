"""Measures what takes a GPU minutes and a CPU days, most valuable first; the same command resumes what was stopped.

    python benchmarks/on_a_gpu.py --minutes M --out DIR --data CIFAR10 [--only NAME]

CIFAR10 is a folder that holds cifar-10-batches-py, or the name of any data set, such as folder:PATH. The parts:
speed: training speed beside a bare torch loop. Each gets a share of the minutes, and cuts its schedule to it; what ran
is in the JSON of each run. docs/on-a-gpu.md tells more.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from gpu import consistency, invariant, speed, vgg16
from gpu.budget import Budget, OutOfTimeError
from gpu.records import Work, commit, machine, write_json
from gpu.summary import summary, summary_rows

from allweather.runtimes.errors import AllweatherError, TrainingError, UsageError, first_line, unknown_name
from allweather.runtimes.markdown import markdown_table
from allweather.runtimes.system.atomic_files import check_file
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.training.launch import launch

MIN_TORCH = (2, 10)
SIZE = 32  # pixels
CIFAR_FOLDER = "cifar-10-batches-py"
SEED = 0


@dataclass(frozen=True)
class Part:
    """One of the parts.

    Attributes:
        weight: What it gets of the minutes, beside the weights of the others.
        run: Runs it within the budget of its work.
    """

    weight: float
    run: Callable[[Work], None]


def parts(networks: Mapping[str, Any]) -> dict[str, Part]:
    """Returns all parts in order of value, with the networks that they train instead of their own, by part."""

    def part(name: str, weight: float, run: Callable[..., None]) -> tuple[str, Part]:
        return name, Part(weight, partial(run, **({"networks": networks[name]} if name in networks else {})))

    return dict(
        [
            part("speed", 5, speed.run),
            part("vgg16", 45, vgg16.run),
            part("consistency", 25, consistency.run),
            part("ait", 25, invariant.run),
        ]
    )


class OneLineParser(argparse.ArgumentParser):
    """A parser that tells of a bad argument in one line."""

    def error(self, message: str) -> NoReturn:
        """Ends the program with exit code 2."""
        self.exit(2, f"error: {message}\n")


def main(arguments: Sequence[str] | None = None, networks: Mapping[str, Any] | None = None) -> None:
    """Runs the parts that are not finished, and prints and writes the summary.

    Args:
        arguments: Those of the command line if None.
        networks: Names of the networks to train instead of a part's own, by part.
    """
    all_parts = parts(networks or {})
    args = _parse(arguments, all_parts)
    budget = Budget(60 * args.minutes)
    keep_freed_memory()
    work = Work(args.out, open_dataset(args.data, SIZE), launch(), budget, SEED)
    print(f"{machine(work.fabric)}; torch {torch.__version__}; commit {commit()}", flush=True)
    chosen = {name: part for name, part in all_parts.items() if args.only in (None, name)}
    ended = run_parts(work, chosen)
    result = summary(work, ended, args.minutes)
    write_json(args.out / "summary.json", result)
    print("\n".join(markdown_table(summary_rows(result))))


def run_parts(work: Work, chosen: Mapping[str, Part]) -> dict[str, str]:
    """Runs parts one after the other; what one does not need is left to the later ones.

    Returns:
        How each part ended: "finished", "out of time", or what failed.
    """
    ended: dict[str, str] = {}
    weight = sum(part.weight for part in chosen.values())
    for name, part in chosen.items():
        share, weight = part.weight / weight, weight - part.weight
        try:
            part.run(replace(work, budget=work.budget.share(share)))
            ended[name] = "finished"
        except OutOfTimeError:
            ended[name] = "out of time; the same command goes on"
        except (TrainingError, torch.OutOfMemoryError) as error:
            ended[name] = f"failed: {first_line(error)}"
        print(f"{name}: {ended[name]}", flush=True)
    return ended


def _parse(arguments: Sequence[str] | None, all_parts: Mapping[str, Part]) -> argparse.Namespace:
    """Reads and checks the arguments.

    Raises:
        UsageError: One of them cannot work.
        OutputError: Nothing can be written into the folder.
    """
    parser = OneLineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, required=True, help="wall-clock time for everything")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the results")
    parser.add_argument("--data", required=True, metavar="CIFAR10", help="folder that holds cifar-10-batches-py")
    parser.add_argument("--only", metavar="NAME", help=f"a single part: {', '.join(all_parts)}")
    args = parser.parse_args(arguments)
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < MIN_TORCH:
        raise UsageError(f"this needs torch 2.10 or later; this is torch {torch.__version__}")
    if not 0 < args.minutes < math.inf:
        raise UsageError(f"--minutes is a number above 0; got {args.minutes:g}")
    if args.only is not None and args.only not in all_parts:
        raise unknown_name("part", args.only, all_parts)
    if ":" not in args.data:
        if not (Path(args.data) / CIFAR_FOLDER).is_dir():
            raise UsageError(f"--data is a folder that holds {CIFAR_FOLDER}; there is none in {args.data}")
        args.data = f"cifar10:{args.data}"
    check_file(args.out / "summary.json")
    return args


def _exit(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    try:
        main()
    except AllweatherError as error:
        _exit(f"error: {error}", 2 if isinstance(error, UsageError) else 1)
    except KeyboardInterrupt:
        _exit("stopped; the same command goes on", 130)
