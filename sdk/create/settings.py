"""The settings of each stage as the training methods take them, made of the configuration and checked at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from allweather.create.config import CreateConfig, Finetune, Fit, Predictor
from allweather.create.epochs import with_epochs
from allweather.exporters.compilation import DEFAULT_ENGINES, ExportOptions, precision_plan
from allweather.exporters.foreign.model_input import InputSettings
from allweather.exporters.installed import check_installed
from allweather.runtimes.crop import Crop
from allweather.runtimes.errors import UsageError
from allweather.runtimes.tta.confidence_model import check_share
from allweather.trainers.corruptions.sets.corrupted_copies import CopySettings
from allweather.trainers.data.image_size import ImageSize, parse_size
from allweather.trainers.methods.finetune import FinetuneSettings
from allweather.trainers.methods.loss_predictor.settings import PredictorSettings
from allweather.trainers.training.settings import FitSettings


@dataclass(frozen=True)
class CreateSettings:
    """The settings of each stage; None for a stage that is left out.

    Attributes:
        size: Size that images are brought to; None for the usual one.
        crop: How they are brought to it.
        fit: Training of the plain classifier; None if somebody's classifier is imported.
        foreign: What the configuration says about the input of the imported one; None without one.
        finetune: Robust finetuning.
        predictor: Training of the loss predictor.
        tuning: Copies that the policies are compared on.
        export: What to compile.
    """

    size: ImageSize | None
    crop: Crop
    fit: FitSettings | None
    foreign: InputSettings | None
    finetune: FinetuneSettings | None
    predictor: PredictorSettings | None
    tuning: CopySettings
    export: ExportOptions

    @staticmethod
    def of(config: CreateConfig) -> CreateSettings:
        """Returns the settings that a configuration asks for.

        Raises:
            UsageError: A value is out of range, or the network or the data is not named; the message names the section.
        """
        if config.data is None:
            raise UsageError("name the data: --data signs, for example, or data in the file of --config")
        _check_network(config)
        config, _ = with_epochs(config)
        size = None if config.size is None else parse_size(str(config.size))
        crop = Crop(config.crop, config.crop_fraction)
        with _section("train"):
            fit = None
            if config.onnx is None:
                fit = _fit(config.train, config.seed, label_smoothing=config.train.label_smoothing)
        with _section("onnx"):
            foreign = _foreign(config, size, crop)
        with _section("finetune"):
            finetune = _finetune(config.finetune, config.seed) if isinstance(config.finetune, Finetune) else None
        with _section("predictor"):
            predictor = _predictor(config.predictor, config.seed) if isinstance(config.predictor, Predictor) else None
        with _section("tune"):
            tuning = CopySettings(copies=config.tune.copies, seed=config.seed)
            if config.tune.max_views < 1:
                raise UsageError(f"max_views must be at least 1; got {config.tune.max_views}")
            if config.tune.risk is not None:
                check_share("risk", config.tune.risk)
        with _section("export"):
            export = _export(config)
        return CreateSettings(size, crop, fit, foreign, None if foreign else finetune, predictor, tuning, export)


def _check_network(config: CreateConfig) -> None:
    named = {
        "train.arch": config.train.arch,
        "train.model": config.train.model,
        "onnx.file": config.onnx.file if config.onnx else None,
    }
    given = [key for key, value in named.items() if value is not None]
    if not given:
        raise UsageError(
            "name the network: --arch resnet20, for example, your own with --model package.module:function, or "
            "somebody's with --onnx FILE"
        )
    if len(given) > 1:
        raise UsageError(f"one network is made into a bundle, and {' and '.join(given)} name two; leave one out")


@contextmanager
def _section(name: str) -> Iterator[None]:
    """Puts the name of a section before the text of an error."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _fit(section: Fit, seed: int, **further: Any) -> FitSettings:
    names = (*Fit.model_fields, "epochs", "schedule")
    return FitSettings(**{name: getattr(section, name) for name in names}, **further, seed=seed)


def _foreign(config: CreateConfig, size: ImageSize | None, crop: Crop) -> InputSettings | None:
    given = config.onnx
    if given is None:
        return None
    return InputSettings(given.mean, given.std, given.pixels, given.layout, size, given.channels, crop)


def _finetune(section: Finetune, seed: int) -> FinetuneSettings:
    return FinetuneSettings(
        section.method, section.strategy, gamma=section.gamma, layers=section.layers,
        strength_points=section.strength_points, max_clean_drop=section.max_clean_drop, fit=_fit(section, seed),
    )  # fmt: skip


def _predictor(section: Predictor, seed: int) -> PredictorSettings:
    fit = FitSettings(epochs=section.epochs, batch_size=section.batch_size, lr=section.lr, shift=0, seed=seed)
    return PredictorSettings(
        kind=section.kind, loss=section.loss, copy_settings=CopySettings(copies=section.copies, seed=seed),
        exclude_family=section.exclude_family, fit=fit,
    )  # fmt: skip


def _export(config: CreateConfig) -> ExportOptions:
    options = ExportOptions(config.export.engines or DEFAULT_ENGINES, config.export.precisions or None)
    check_installed(precision_plan(options), traces=config.onnx is None)
    if not set(options.engines) & set(DEFAULT_ENGINES):
        raise UsageError(
            f"the bundle is evaluated here, which only {' and '.join(DEFAULT_ENGINES)} can do; add one of them"
        )
    return options
