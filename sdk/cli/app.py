"""The list of commands, in the groups in which the help shows them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from allweather import __version__
from allweather.cli.bench import bench
from allweather.cli.build import build
from allweather.cli.corrupt import corrupt
from allweather.cli.demo import demo
from allweather.cli.doctor import doctor
from allweather.cli.evaluate import evaluate
from allweather.cli.export import export
from allweather.cli.finetune import finetune
from allweather.cli.import_checkpoint import import_checkpoint
from allweather.cli.inspect import inspect
from allweather.cli.learn_augmentation import learn_augmentation
from allweather.cli.lint import lint
from allweather.cli.run import run
from allweather.cli.show_augmentation import show_augmentation
from allweather.cli.train import train
from allweather.cli.train_predictor import train_predictor
from allweather.cli.tune_policy import tune_policy

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Make a model": {
        "train": train,
        "import": import_checkpoint,
        "finetune": finetune,
        "learn-augmentation": learn_augmentation,
        "show-augmentation": show_augmentation,
        "train-predictor": train_predictor,
        "tune-policy": tune_policy,
    },
    "Measure": {"inspect": inspect, "evaluate": evaluate, "corrupt": corrupt, "bench": bench},
    "Deploy": {"export": export, "lint": lint, "build": build},
    "Run": {"run": run, "doctor": doctor, "demo": demo},
}

app = typer.Typer(name="allweather", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, rich_help_panel=group)(command)


def _print_version(requested: bool) -> None:
    if requested:
        typer.echo(f"allweather {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Robust image classification on edge cameras, within a latency budget."""
