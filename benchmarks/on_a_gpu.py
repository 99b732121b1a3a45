"""Measures what takes a GPU minutes and a CPU days, most valuable first; the same command resumes what was stopped.

    python benchmarks/on_a_gpu.py --minutes M --out DIR --data CIFAR10 [--only NAME]

CIFAR10 is a folder that holds cifar-10-batches-py, or the name of any data set, such as folder:PATH. The parts are
speed (training speed beside a bare torch loop), vgg16 (the tables of the FMA paper), consistency (ResNet-18 and its
loss predictor) and ait (augmentation-invariant training). Each gets a share of the minutes and cuts its schedule to
it; what ran is in the JSON of each run. docs/how-to/on-a-gpu.md tells more.
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
OUT_OF_TIME = "out of time; the same command goes on"


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
            part("speed", 10, speed.run),
            part("vgg16", 40, vgg16.run),
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
    torch.backends.cudnn.benchmark = True  # batches have one size, and a GPU then chooses its kernels by measuring
    work = Work(args.out, open_dataset(args.data, SIZE), launch(), budget, SEED)
    print(f"{machine(work.fabric)}; torch {torch.__version__}; commit {commit()}", flush=True)
    chosen = {name: part for name, part in all_parts.items() if args.only in (None, name)}
    ended = run_parts(work, chosen)
    result = summary(work, ended, args.minutes)
    write_json(args.out / "summary.json", result)
    print("\n".join(markdown_table(summary_rows(result))))


def run_parts(work: Work, chosen: Mapping[str, Part]) -> dict[str, str]:
    """Runs parts one after the other; what one does not need is left to the later ones, and then to the unfinished.

    Returns:
        How each part ended: "finished", "out of time", or what failed.
    """
    ended: dict[str, str] = {}
    for _ in range(2):
        unfinished = [name for name in chosen if ended.get(name, OUT_OF_TIME) == OUT_OF_TIME]
        weight = sum(chosen[name].weight for name in unfinished)
        for name in unfinished:
            share, weight = chosen[name].weight / weight, weight - chosen[name].weight
            ended[name] = run_part(replace(work, budget=work.budget.share(share)), chosen[name])
            print(f"{name}: {ended[name]}", flush=True)
        if not work.budget.left():
            break
    return ended


def run_part(work: Work, part: Part) -> str:
    """Runs a part and returns how it ended."""
    try:
        part.run(work)
    except OutOfTimeError:
        return OUT_OF_TIME
    except (TrainingError, torch.OutOfMemoryError) as error:
        return f"failed: {first_line(error)}"
    return "finished"


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
