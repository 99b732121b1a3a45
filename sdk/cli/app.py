"""The list of commands, in the groups in which the help shows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from allweather import __version__
from allweather.cli.bench import bench
from allweather.cli.build import build
from allweather.cli.command_line import keep_arguments
from allweather.cli.config import config
from allweather.cli.corrupt import corrupt
from allweather.cli.create import create
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
from allweather.runtimes.redaction import redacted_arguments
from allweather.runtimes.text import printable

GROUPS: dict[str, dict[str, Callable[..., None]]] = {
    "Make a model": {
        "create": create,
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
    "Run": {"run": run, "config": config, "doctor": doctor, "demo": demo},
}
PATH_OPTIONS = frozenset(  # of all commands
    {
        "--check", "--config", "--hard-frames", "--jsonl", "--large", "--onnx", "--out", "--report", "--table", "--use",
        "--video", "--view-losses",
    }
)  # fmt: skip
TEXT_OPTIONS = frozenset(  # of which an empty text would be taken for none
    {"--baseline", "--corrupted", "--model", "--only", "--token", "--webhook-secret"}
)

UsageProblem: type[Exception] = typer.BadParameter.__mro__[1]  # click's, which typer brings or has a copy of


class _Command(TyperCommand):
    """A command, of which no path may be empty: as a path, "" would be the folder in which the command was started."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See `click.Command.parse_args`."""
        keep_arguments(ctx, args)
        for before, argument in pairwise(["", *args]):
            if argument == "" and not before.startswith("--"):
                raise typer.BadParameter("an argument is empty; name a file or folder")
            option = before if argument == "" else argument.removesuffix("=")
            if option in PATH_OPTIONS and (argument == "" or argument.endswith("=")):
                raise typer.BadParameter(f"{option} is empty; name a file or folder")
            if option in TEXT_OPTIONS and (argument == "" or argument.endswith("=")):
                raise typer.BadParameter(f"{option} is empty; write what it takes, or leave it out")
        return super().parse_args(ctx, args)


class _Group(TyperGroup):
    """The commands. What a usage error quotes of the command line is shown without passwords and control characters."""

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """See `click.Command.make_context`."""
        with _printable_usage_errors():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        """See `click.Group.invoke`."""
        with _printable_usage_errors():
            return super().invoke(ctx)


@contextmanager
def _printable_usage_errors() -> Iterator[None]:
    try:
        yield
    except UsageProblem as error:
        if type(error).__name__ != "NoArgsIsHelpError":  # whose message is the help itself
            vars(error)["message"] = printable(redacted_arguments(str(vars(error)["message"])))
        raise


app = typer.Typer(
    name="allweather", cls=_Group, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)
for group, commands in GROUPS.items():
    for name, command in commands.items():
        app.command(name, cls=_Command, rich_help_panel=group)(command)


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
    """Robust image classification on edge cameras, with test-time augmentation within a latency budget."""
