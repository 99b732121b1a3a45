"""From data to a bundle and a report: train or import, finetune, train the loss predictor, tune, export, compare."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from allweather.create.classifier_stages import (
    BUNDLE,
    CHECKPOINT,
    Start,
    finetune_stage,
    import_stage,
    open_start,
    train_stage,
)
from allweather.create.comparison import CLEAN, MEAN, TTA, Comparison, Example, System, SystemResult, compare
from allweather.create.config import GENERATE, CreateConfig, Predictor
from allweather.create.digests import data_digest, file_digest, foreign_digest, network_digest
from allweather.create.epochs import with_epochs
from allweather.create.expected import (
    EVALUATE,
    EXPORT,
    EXPORT_PLAIN,
    FINETUNE,
    IMPORT,
    PREDICTOR,
    TRAIN,
    TUNE,
    WRITE,
    expected_seconds,
)
from allweather.create.kept_stages import KeptStages, StageOutput, StageResult
from allweather.create.report import Created, distinct_systems, write_create_report
from allweather.create.settings import CreateSettings
from allweather.create.view_stages import copy_bundle, export_stage, policy_stage, predictor_stage
from allweather.enough_images import few_val_notes
from allweather.exporters.foreign.import_model import ForeignModel
from allweather.journey import Journey, Stage, StageRun
from allweather.reports.image_grids import gallery
from allweather.reports.reading import Origin
from allweather.runtimes.bundle.manifest import MANIFEST
from allweather.runtimes.bundle.output_path import check_bundle_path
from allweather.runtimes.system.atomic_files import atomic_file
from allweather.runtimes.system.path_argument import real_path
from allweather.runtimes.text import printable, shortened
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.corruptions.sets import CorruptedSet, GeneratedSet, open_corrupted_set
from allweather.trainers.corruptions.sets.files_digest import files_digest
from allweather.trainers.data.dataset import Dataset

PLAIN, ROBUST, IMPORTED = "plain", "robust", "imported"
COMPARISON, EXAMPLES, CELLS = "comparison.json", "examples.png", ".cells"
MAX_CLASSES_CHARACTERS = 100  # of the list of classes in a message


@dataclass(frozen=True)
class CreateResult:
    """What was made.

    Attributes:
        out: The bundle.
        report: Folder of the report.
        kept: Folder of the stages.
        comparison: How the systems did.
        stages: The stages and their times.
    """

    out: Path
    report: Path
    kept: Path
    comparison: Comparison
    stages: tuple[Stage, ...]


def create(
    config: CreateConfig,
    out: Path,
    report: Path,
    *,
    download: bool = False,
    origin: Origin | None = None,
    say: Callable[[str], None] = lambda line: None,
    watch: Callable[[Sequence[Stage]], None] = lambda stages: None,
) -> CreateResult:
    """Makes a bundle and a report. One that was stopped goes on where it was; stages whose settings changed are redone.

    Args:
        config: What to make.
        out: Bundle to write: a folder or a .zip file. The hidden folder `.NAME.create` beside it keeps the stages.
        report: Folder to write the report into.
        download: Whether CIFAR may be downloaded.
        origin: What makes the report; None for a program that called allweather.
        say: Called with each line of text for the user.
        watch: Called with all stages whenever one of them has changed.

    Raises:
        UsageError: A setting is out of range, or names no network or data.
        AllweatherError: A stage fails; see its function.
    """
    settings = CreateSettings.of(config)
    check_bundle_path(out)
    start = open_start(config, settings, download=download)
    config, notes = with_epochs(config, len(start.dataset.train))
    settings = CreateSettings.of(config)
    for note in (*start.dataset.notes, *few_val_notes(len(start.dataset.val)), *notes):
        say(note)
    if config.onnx and config.onnx.classes is None:
        classes = shortened(", ".join(start.dataset.classes), MAX_CLASSES_CHARACTERS)
        say(
            f"the outputs of {config.onnx.file} are taken for the classes of the data in its order, {classes}; "
            "onnx.classes in the file of --config names others"
        )
    corrupted = _corrupted(config, start)
    journey = Journey(expected_seconds(start, config, settings), watch)
    return _Creation(config, settings, start, corrupted, out, report, origin, journey, say).run()


class _Creation:
    """The stages of one bundle, one after the other; each gets the model file of the one before."""

    def __init__(
        self,
        config: CreateConfig,
        settings: CreateSettings,
        start: Start,
        corrupted: CorruptedSet,
        out: Path,
        report: Path,
        origin: Origin | None,
        journey: Journey,
        say: Callable[[str], None],
    ) -> None:
        self._config, self._settings, self._start, self._corrupted = config, settings, start, corrupted
        self._out, self._report, self._origin, self._journey = out, report, origin, journey
        self._folder = real_path(out).parent / f".{real_path(out).name}.create"
        self._kept, self._say = KeptStages(self._folder, journey, say), say
        self._own = config.train.model
        self._data = data_digest(start.dataset)
        self._notes: list[str] = []

    def run(self) -> CreateResult:
        """Runs the stages, or keeps what an earlier process has made."""
        plain = self._classifier()
        model = self._robust(plain)
        final = self._policy(self._predictor(model))
        if self._settings.foreign:
            systems = self._systems(IMPORTED, final, None)
        elif self._settings.finetune:
            exported = self._export(EXPORT_PLAIN, "export-plain", plain)
            systems = self._systems(ROBUST, self._export(EXPORT, "export", final), exported)
        else:
            systems = self._systems(PLAIN, self._export(EXPORT, "export", final), None)
        evaluated = self._compare(systems)
        with self._journey.stage(WRITE):
            bundle = systems[-1].bundle
            copy_bundle(bundle, self._out)
            result = TypeAdapter(Comparison).validate_json((evaluated.folder / COMPARISON).read_bytes())
            examples = evaluated.folder / EXAMPLES
            bundles = {system.name.removesuffix(TTA): system.bundle for system in systems}
            made = Created(
                self._out, bundles, result, examples.read_bytes() if examples.exists() else None, self._notes,
                self._journey.stages[:-1], self._config, self._origin,
            )  # fmt: skip
            write_create_report(made, self._report)
        return CreateResult(self._out, self._report, self._folder, result, self._journey.stages)

    def _stage(
        self,
        title: str,
        name: str,
        settings: Mapping[str, Any],
        inputs: Mapping[str, str],
        make: Callable[[Path, StageRun], StageResult],
    ) -> StageOutput:
        spec = self._start.dataset.input  # on square images, two kinds of crop give the same pixels
        crop = f"{spec.crop.kind} {spec.crop.fraction:g}"
        common = {"seed": self._config.seed, "size": f"{spec.height} x {spec.width}", "crop": crop}
        output = self._kept.run(title, name, {**settings, **common}, {"the data": self._data, **inputs}, make)
        for note in output.notes:
            self._say(note)
        self._notes += output.notes
        return output

    def _classifier(self) -> StageOutput:
        config, start, network = self._config, self._start, self._start.network
        if isinstance(network, ForeignModel):
            assert config.onnx is not None
            settings = {**config.onnx.model_dump(mode="json"), **config.export.model_dump(mode="json")}
            return self._stage(
                IMPORT, "import", settings, {"the file": foreign_digest(Path(config.onnx.file))},
                lambda folder, run: import_stage(start, self._settings, folder, run),
            )  # fmt: skip
        fit = self._settings.fit
        assert fit is not None
        own = {"your network": network_digest(network)} if isinstance(network, Checkpoint) else {}
        return self._stage(
            TRAIN, "train", config.train.model_dump(mode="json"), own,
            lambda folder, run: train_stage(start, config, fit, folder, run),
        )  # fmt: skip

    def _robust(self, plain: StageOutput) -> StageOutput:
        settings, section = self._settings.finetune, self._config.finetune
        if settings is None or isinstance(section, str):
            return plain
        return self._stage(
            FINETUNE, "finetune", section.model_dump(mode="json"), {"the plain classifier": plain.digest},
            lambda folder, run: finetune_stage(
                plain.folder / CHECKPOINT, self._start, self._config, settings, folder, run
            ),
        )  # fmt: skip

    def _predictor(self, model: StageOutput) -> StageOutput:
        settings, section = self._settings.predictor, self._config.predictor
        if settings is None or not isinstance(section, Predictor):
            return model
        return self._stage(
            PREDICTOR, "predictor", section.model_dump(mode="json"), {"the classifier": model.digest},
            lambda folder, run: predictor_stage(
                self._model_of(model), self._start.dataset, settings, self._own, folder, run
            ),
        )  # fmt: skip

    def _policy(self, model: StageOutput) -> StageOutput:
        section = self._config.tune
        return self._stage(
            TUNE, "tune", section.model_dump(mode="json"), {"the model": model.digest},
            lambda folder, run: policy_stage(
                self._model_of(model), self._start.dataset, self._settings, section, self._own, folder, run
            ),
        )  # fmt: skip

    def _export(self, title: str, name: str, model: StageOutput) -> StageOutput:
        return self._stage(
            title, name, self._config.export.model_dump(mode="json"), {"the model": model.digest},
            lambda folder, run: export_stage(
                model.folder / CHECKPOINT, self._start.dataset, self._settings, self._own, folder, run
            ),
        )  # fmt: skip

    def _model_of(self, output: StageOutput) -> Path:
        return output.folder / (BUNDLE if self._settings.foreign else CHECKPOINT)

    @staticmethod
    def _systems(name: str, final: StageOutput, plain: StageOutput | None) -> list[System]:
        bundle = final.folder / BUNDLE
        first = [System(PLAIN, plain.folder / BUNDLE, "center")] if plain else []
        return [*first, System(name, bundle, "center"), System(f"{name}{TTA}", bundle, None)]

    def _compare(self, systems: Sequence[System]) -> StageOutput:
        section, seed = self._config.evaluate, self._config.seed
        dataset = _evaluated(self._config, self._start)

        def make(folder: Path, run: StageRun) -> StageResult:
            result, images = compare(
                systems, dataset, self._corrupted, seed=seed, keep=folder / CELLS, watch=run.update
            )
            if images:
                captions = [_caption(each, distinct_systems(result.systems)) for each in result.examples]
                with atomic_file(folder / EXAMPLES) as temporary:
                    temporary.write_bytes(gallery(images, captions))
            with atomic_file(folder / COMPARISON) as temporary:
                temporary.write_bytes(TypeAdapter(Comparison).dump_json(result, indent=1))
            shutil.rmtree(folder / CELLS, ignore_errors=True)
            return StageResult(_errors_in_words(result))

        inputs = {each.name: f"{file_digest(each.bundle / MANIFEST)} {each.policy or ''}" for each in systems}
        inputs["the corrupted images"] = files_digest(self._corrupted.source)
        return self._stage(EVALUATE, "evaluate", section.model_dump(mode="json"), inputs, make)


def _evaluated(config: CreateConfig, start: Start) -> Dataset:
    """Returns the data with the test images that are evaluated: all of them if the corrupted ones are on disk."""
    if config.evaluate.corruptions != GENERATE:
        return start.dataset.with_test_images(len(start.dataset.test), config.seed)
    return start.dataset.with_test_images(config.evaluate.images, config.seed)


def _corrupted(config: CreateConfig, start: Start) -> CorruptedSet:
    test = _evaluated(config, start).test
    if config.evaluate.corruptions == GENERATE:
        return GeneratedSet(test, config.seed)
    return open_corrupted_set(Path(config.evaluate.corruptions), start.dataset.classes, start.dataset.input)


def _caption(example: Example, systems: Sequence[SystemResult]) -> str:
    """Returns the caption of an example: its true class, and what each of these systems predicts."""
    predictions = [f"{each.name}: {printable(example.predicted[each.name])}" for each in systems]
    return "\n".join([example.corruption.replace("_", " "), f"true: {printable(example.label)}", *predictions])


def _errors_in_words(result: Comparison) -> str:
    group = MEAN if MEAN in result.systems[0].errors else CLEAN
    shares = (f"{each.name} {100 * each.errors[group].value:.1f} %" for each in result.systems)
    return f"{'corrupted' if group == MEAN else 'clean'} images wrong: {', '.join(shares)}"
