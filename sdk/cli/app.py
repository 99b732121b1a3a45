"""The list of commands."""

from __future__ import annotations

import typer

from allweather.cli.bench import bench
from allweather.cli.build import build
from allweather.cli.calibrate import calibrate
from allweather.cli.corrupt import corrupt
from allweather.cli.demo import demo
from allweather.cli.doctor import doctor
from allweather.cli.evaluate import evaluate
from allweather.cli.export import export
from allweather.cli.finetune import finetune
from allweather.cli.import_checkpoint import import_
from allweather.cli.learn_augmentation import augmenter
from allweather.cli.lint import lint
from allweather.cli.run import run
from allweather.cli.show_augmentation import augment
from allweather.cli.train import train
from allweather.cli.train_predictor import predictor
from allweather.cli.tune_policy import tune

app = typer.Typer(
    name="allweather",
    help="Robust perception on edge cameras: train, export and run image classifiers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(train)
app.command("import")(import_)
app.command()(calibrate)
app.command()(finetune)
app.command()(augmenter)
app.command()(augment)
app.command()(predictor)
app.command()(tune)
app.command()(evaluate)
app.command()(corrupt)
app.command()(export)
app.command()(lint)
app.command()(build)
app.command()(run)
app.command()(bench)
app.command()(doctor)
