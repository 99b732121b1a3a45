"""The evaluations that allweather evaluate runs: on clean, corrupted, augmented and shifted images, and of policies."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from allweather.cli.console import progress_bar, to_json
from allweather.cli.inspect import say_inventory
from allweather.runtimes.errors import UsageError

if TYPE_CHECKING:
    from allweather.reports.reading import Origin
    from allweather.runtimes.preprocess import InputSpec
    from allweather.trainers.corruptions.sets import CorruptedSet
    from allweather.trainers.data.dataset import Dataset
    from allweather.trainers.data.streamed.reading import Reading
    from allweather.trainers.inference.open_model import EvaluatedModel

GENERATE = "generate"


@dataclass(frozen=True)
class EvaluationOutput:
    """What one evaluation prints.

    Attributes:
        values: The object that --json prints.
        notes: Lines for the user.
        tables: Tables for people; the first row of each is its header.
        facts: Values for people, one a line.
    """

    values: Any
    notes: Sequence[str]
    tables: Sequence[Sequence[Sequence[str]]] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


Run: TypeAlias = Callable[[Path | None], EvaluationOutput | None]  # takes the folder of the report


class Evaluations:
    """Evaluates open models on the test images of one data set.

    The `prepare_` methods check what the command line asks for, and return the function that does it, so that nothing
    is computed before everything has been checked.

    Args:
        models: Open models of the same classes.
        data: Name of the data set.
        reading: Whether the images of files are streamed, and how.
        download: Whether CIFAR may be downloaded.
        seed: Random seed of generated corruptions and of policies that draw.
        keep: Folder for finished parts of the long evaluations, which a later call continues from; None keeps nothing.
        origin: What made the reports.
        limit: Number of test images, drawn at random; all if None.
        corruptions: Names of the corruptions; all that there are if empty.
    """

    def __init__(
        self,
        models: Sequence[EvaluatedModel],
        data: str,
        *,
        reading: Reading,
        download: bool,
        seed: int,
        keep: Path | None,
        origin: Origin | None = None,
        limit: int | None = None,
        corruptions: Sequence[str] = (),
    ) -> None:
        self._models, self._data, self._reading, self._download = models, data, reading, download
        self._seed, self._keep, self._origin = seed, keep, origin
        self._limit, self._corruptions = limit, corruptions
        self._opened: tuple[InputSpec, tuple[str, ...], Dataset] | None = None

    def evaluate_clean(self, folder: Path | None) -> EvaluationOutput:
        """Evaluates the models on the clean test images."""
        from allweather.evaluation.clean import clean_evaluation
        from allweather.reports.clean import comparison_table, write_clean_report

        results = []
        for index, model in enumerate(self._models):
            results.append(clean_evaluation(model, self._dataset(model)))
            if folder:
                write_clean_report(results[-1], self._folder_of(folder, index), self._origin)
        notes = [*results[0].provenance.notes, *self._one_view_notes()]
        if len(results) > 1:
            return EvaluationOutput(_all(results), notes, [comparison_table(results)])
        values = to_json(results[0])
        return EvaluationOutput(values, notes, facts={**values["provenance"], **values})

    def prepare_corrupted(
        self, corrupted: str, baseline: str | None, devices: int, policies: Sequence[str] = ()
    ) -> Run:
        """Returns the evaluation on corrupted images, by several processes; all but the main one get None from it.

        Args:
            corrupted: Text of --corrupted.
            baseline: Text of --baseline; None for no mean corruption error.
            devices: Number of processes.
            policies: Policies that are evaluated beside it.
        """
        from allweather.evaluation.baselines import read_baseline
        from allweather.evaluation.corrupted import corrupted_evaluation
        from allweather.reports.corrupted import error_table, summary_table, write_corrupted_report
        from allweather.trainers.training.launch import launch

        errors = read_baseline(baseline) if baseline else None
        sources = self._open_corrupted(corrupted)

        def run(folder: Path | None) -> EvaluationOutput | None:
            fabric = launch(devices)
            results, mistakes = [], []
            with progress_bar("evaluate") as update:
                for model, source in zip(self._models, sources, strict=True):
                    dataset = self._dataset(model)

                    def watch(done: int, total: int, name: str = model.path.name) -> None:
                        update(done, f"{name}: {done} of {total} cells", total)

                    result, images = corrupted_evaluation(
                        model, dataset, source(dataset), baseline=errors, fabric=fabric,
                        keep=self._keep / "corrupted" if self._keep else None, watch=watch,
                    )  # fmt: skip
                    results.append(result)
                    mistakes.append(images)
            if not fabric.is_global_zero:
                return None
            if folder:
                write_corrupted_report(results, mistakes, folder, self._origin)
            tables = [summary_table(results), error_table(results, list(results[0].mean_errors()))]
            notes = [*results[0].provenance.notes, *self._one_view_notes(policies)]
            return EvaluationOutput(_all(results), notes, tables)

        return run

    def prepare_augmented(self) -> Run:
        """Returns the evaluation on augmented images.

        Raises:
            UsageError: No model has augmentation strengths.
        """
        from allweather.evaluation.augmented import augmented_evaluation, example_images
        from allweather.reports.augmented import accuracy_table, write_augmented_report

        strengths = next((model.strengths for model in self._models if model.strengths), None)
        if strengths is None:
            raise UsageError(
                "--augmented needs augmentation strengths, and none of the models is a checkpoint that has some; run "
                "allweather finetune, which finds them, and name its checkpoint, too"
            )

        def run(folder: Path | None) -> EvaluationOutput:
            results = []
            with progress_bar("evaluate") as update:
                for model in self._models:
                    dataset = self._dataset(model)

                    def watch(done: int, total: int, name: str = model.path.name) -> None:
                        update(done, f"{name}: {done} of {total} augmentations", total)

                    results.append(augmented_evaluation(model, dataset, strengths, watch=watch))
            if folder:
                write_augmented_report(results, example_images(dataset, strengths), folder, self._origin)
            return EvaluationOutput(_all(results), results[0].provenance.notes, [accuracy_table(results)])

        return run

    def evaluate_shifted(self, folder: Path | None) -> EvaluationOutput:
        """Evaluates the models on shifted, gray and recolored images."""
        from allweather.evaluation.shifted import embed_variants, shifted_evaluation
        from allweather.reports.shifted import accuracy_table, write_shifted_report

        results, points = [], []
        with progress_bar("evaluate") as update:
            for model in self._models:
                dataset = self._dataset(model)

                def watch(done: int, total: int, name: str = model.path.name) -> None:
                    update(done, f"{name}: {done} of {total} test sets", total)

                results.append(shifted_evaluation(model, dataset, watch=watch))
                points.append(embed_variants(model, dataset) if folder and model.features else None)
        if folder:
            write_shifted_report(results, points, folder, self._origin)
        return EvaluationOutput(_all(results), results[0].provenance.notes, [accuracy_table(results)])

    def prepare_policies(self, texts: Sequence[str], corrupted: str | None) -> Run:
        """Returns the evaluation of policies, on clean images and on corrupted ones if some are named.

        Raises:
            UsageError: A model has no such policy.
        """
        from allweather.evaluation.policies import policy_evaluation
        from allweather.reports.policies import correlations, summary_table, write_policy_report
        from allweather.runtimes.tta.policy_names import parse_policy

        policies = [
            [parse_policy(text, model.policies, model.predictor_views) for text in dict.fromkeys(texts)]
            for model in self._models
        ]
        sources = self._open_corrupted(corrupted) if corrupted else [None] * len(self._models)

        def run(folder: Path | None) -> EvaluationOutput:
            results, notes, tables = [], [], []
            with progress_bar("evaluate") as update:
                for index, (model, source) in enumerate(zip(self._models, sources, strict=True)):
                    dataset = self._dataset(model)

                    def watch(done: int, total: int, name: str = model.path.name) -> None:
                        update(done, f"{name}: {done} of {total} cells", total)

                    result, images = policy_evaluation(
                        model, dataset, source(dataset) if source else None, policies[index], seed=self._seed,
                        keep=self._keep / f"policies-{index}" if self._keep else None, watch=watch,
                    )  # fmt: skip
                    results.append(result)
                    notes += [*(() if index else result.provenance.notes), *correlations(result)]
                    tables.append(summary_table(result))
                    if folder:
                        write_policy_report(result, images, self._folder_of(folder, index), self._origin)
            return EvaluationOutput(asdict(results[0]) if len(results) == 1 else _all(results), notes, tables)

        return run

    def _one_view_notes(self, policies: Sequence[str] = ()) -> list[str]:
        """Says which models were evaluated with one view although they follow another policy, none of those given."""
        tuned = [(model.path.name, model.policies[0]) for model in self._models if model.policies]
        return [
            f"{name} was evaluated with one view of each image, and is tuned for the policy {policy.name}: --policy "
            f"{policy.name} evaluates that"
            for name, policy in tuned
            if policy.planned_views > 1 and policy.name not in policies
        ]

    def _dataset(self, model: EvaluatedModel) -> Dataset:
        """Opens the data set for a model and shows its inventory; the last one is kept for the next that it fits.

        Test images that cannot be read are left out, so that each pass over them gives the same rows.
        """
        if self._opened is None or self._opened[:2] != (model.input, model.classes):
            first, self._opened = self._opened is None, None  # so that its memory is free for the next one
            dataset = model.open_data(self._data, reading=self._reading, download=self._download)
            count = len(dataset.test) if self._limit is None else self._limit
            self._opened = model.input, model.classes, dataset.with_test_images(count, self._seed)
            if first and os.environ.get("LOCAL_RANK", "0") == "0":  # of several processes, the main one
                say_inventory(dataset.inventory)
        return self._opened[2]

    def _open_corrupted(self, corrupted: str) -> list[Callable[[Dataset], CorruptedSet]]:
        """Returns for each model the function that gives its corrupted images: made from a data set, or read."""
        from allweather.trainers.corruptions import CORRUPTIONS
        from allweather.trainers.corruptions.catalogue import get_corruption
        from allweather.trainers.corruptions.sets import GeneratedSet, open_corrupted_set, part_of_set

        names = tuple(get_corruption(name).name for name in dict.fromkeys(self._corruptions or CORRUPTIONS))

        def generated(dataset: Dataset) -> CorruptedSet:
            return GeneratedSet(dataset.test, self._seed, names)

        def stored(model: EvaluatedModel) -> Callable[[Dataset], CorruptedSet]:
            whole = open_corrupted_set(Path(corrupted), model.classes, model.input)
            part = part_of_set(whole, self._corruptions, self._limit, self._seed)
            return lambda dataset: part

        return [generated if corrupted == GENERATE else stored(model) for model in self._models]

    def _folder_of(self, folder: Path, index: int) -> Path:
        """Returns the folder of the report of one model, for reports that hold only one."""
        return folder / f"{index + 1}-{self._models[index].path.name}" if len(self._models) > 1 else folder


def _all(results: Sequence[Any]) -> dict[str, Any]:
    return {"results": to_json(results)}
