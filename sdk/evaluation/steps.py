"""Evaluations as one call each, of a model as a user has it: in a file, in a bundle or in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from allweather.evaluation.augmented import AugmentedEvaluation, augmented_evaluation
from allweather.evaluation.baselines import Baseline, read_baseline
from allweather.evaluation.clean import CleanEvaluation, clean_evaluation
from allweather.evaluation.corrupted import corrupted_evaluation
from allweather.evaluation.policies import PolicyEvaluation, policy_evaluation
from allweather.evaluation.robustness import Robustness
from allweather.evaluation.shifted import ShiftRobustness, shifted_evaluation
from allweather.runtimes.bundle.bundle import Bundle
from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.policy_names import parse_policy
from allweather.trainers.augmentations.photometric import check_strengths
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.corruptions.sets import CorruptedSet, GeneratedSet, open_corrupted_set, part_of_set
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.image_size import warn_of_other_crop
from allweather.trainers.inference.open_model import EvaluatedModel, open_model
from allweather.trainers.steps.arguments import check_fabric, check_seed, check_watch

if TYPE_CHECKING:
    from lightning_fabric import Fabric

GENERATE = "generate"  # in place of the folder of a corrupted set


def evaluate(
    model: Checkpoint | Bundle | Path | str,
    data: Dataset | str,
    *,
    engine: str | None = None,
    precision: str | None = None,
) -> CleanEvaluation:
    """Evaluates a classifier on the clean test images of a data set, with one view of each.

    A model that follows a policy of more views is evaluated with it by `evaluate_policies`.

    Args:
        model: A checkpoint, a bundle, or the path of one of them.
        data: Data of its classes, in any order, and its image size; or the name of a data set, as "folder:images".
        engine: Engine that runs a bundle; the fastest that works on this machine if None.
        precision: Precision that a bundle runs in; the one that it prefers if None.

    Raises:
        UsageError: The data has other classes or another image size, or an engine is given for a checkpoint.
        AllweatherError: The model or the data set cannot be read; see `open_model` and `open_dataset`.
    """
    with _opened(model, data, engine, precision) as (opened, dataset):
        return clean_evaluation(opened, dataset)


def evaluate_corrupted(
    model: Checkpoint | Bundle | Path | str,
    data: Dataset | str,
    corrupted: Path | str = GENERATE,
    *,
    corruptions: Sequence[str] = (),
    baseline: Baseline | Path | str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    seed: int = 0,
    fabric: Fabric | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> Robustness:
    """Evaluates a classifier on corrupted test images, beside the clean ones, with one view of each.

    A model that follows a policy of more views is evaluated with it by `evaluate_policies(..., corrupted="generate")`.
    The confidence is that of the one view, not calibrated.

    Args:
        model: A checkpoint, a bundle, or the path of one of them.
        data: As in `evaluate`.
        corrupted: "generate" corrupts the test images in all 19 ways; or the folder of a corrupted set, in the layout
            of CIFAR-10-C or ImageNet-C.
        corruptions: Names of the corruptions to evaluate on, such as "fog"; all that there are if empty.
        baseline: Baseline of the mean corruption error: "alexnet", a JSON file, or one that was read; see
            `read_baseline`. None for no such error.
        engine: As in `evaluate`.
        precision: As in `evaluate`.
        seed: Random seed of the corruptions that are generated.
        fabric: Launched processes that share the work; None for this process alone.
        watch: Called with (cells done, cells in total); a cell is one corruption at one severity.

    Raises:
        DataError: The folder holds no corrupted set of these classes.
        UsageError: As in `evaluate`; or there is no such baseline, or it lacks a corruption; or the set lacks one that
            is asked for.
        AllweatherError: As in `evaluate`.
    """
    corrupted = as_path(corrupted)
    is_list = isinstance(corruptions, Sequence) and not isinstance(corruptions, str)
    if not is_list or not all(isinstance(name, str) for name in corruptions):
        raise UsageError(f'corruptions are a list of names, such as ["fog"]; got {corruptions!r:.40}')
    if not (baseline is None or isinstance(baseline, Baseline)):
        baseline = read_baseline(str(as_path(baseline)))
    check_seed(seed)
    seed = int(seed)
    check_watch(watch)
    check_fabric(fabric)
    with _opened(model, data, engine, precision) as (opened, dataset):
        corrupted_set = part_of_set(_corrupted_set(corrupted, opened, dataset, seed), corruptions)
        return corrupted_evaluation(opened, dataset, corrupted_set, baseline=baseline, fabric=fabric, watch=watch)[0]


def evaluate_augmented(
    model: Checkpoint | Bundle | Path | str,
    data: Dataset | str,
    strengths: Mapping[str, float] | None = None,
    *,
    engine: str | None = None,
    precision: str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> AugmentedEvaluation:
    """Evaluates a classifier on test images under the seven photometric augmentations of the FMA paper.

    Args:
        model: A checkpoint, a bundle, or the path of one of them.
        data: As in `evaluate`.
        strengths: Strength of each augmentation, by name; those in the checkpoint if None.
        engine: As in `evaluate`.
        precision: As in `evaluate`.
        watch: Called with (rows done, rows in total).

    Raises:
        UsageError: As in `evaluate`; or there are no strengths, or one is missing or no number.
        AllweatherError: As in `evaluate`.
    """
    check_watch(watch)
    if strengths is not None:
        check_strengths(strengths)
    with _opened(model, data, engine, precision) as (opened, dataset):
        if not (strengths or opened.strengths):
            raise UsageError(
                f"{opened.path} has no augmentation strengths; give those of a finetuned checkpoint: "
                "strengths=checkpoint.strengths"
            )
        return augmented_evaluation(opened, dataset, strengths or opened.strengths, watch=watch)


def evaluate_shifted(
    model: Checkpoint | Bundle | Path | str,
    data: Dataset | str,
    *,
    engine: str | None = None,
    precision: str | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> ShiftRobustness:
    """Evaluates how the predictions of a classifier change when test images are shifted, made gray or recolored.

    Args:
        model: A checkpoint, a bundle, or the path of one of them.
        data: As in `evaluate`.
        engine: As in `evaluate`.
        precision: As in `evaluate`.
        watch: Called with (test sets done, test sets in total).

    Raises:
        AllweatherError: As in `evaluate`.
    """
    check_watch(watch)
    with _opened(model, data, engine, precision) as (opened, dataset):
        return shifted_evaluation(opened, dataset, watch=watch)


def evaluate_policies(
    model: Checkpoint | Bundle | Path | str,
    data: Dataset | str,
    policies: Sequence[Policy | str] | str = (),
    *,
    corrupted: Path | str | None = None,
    engine: str | None = None,
    precision: str | None = None,
    seed: int = 0,
    watch: Callable[[int, int], None] = lambda done, total: None,
) -> PolicyEvaluation:
    """Evaluates policies of test-time augmentation, beside one view and the best single view.

    Args:
        model: A checkpoint, a bundle, or the path of one of them.
        data: As in `evaluate`.
        policies: Policies, or their texts such as "hflip" or "top:2"; those that were tuned for the model if empty.
        corrupted: "generate" corrupts the test images in all 19 ways; or the folder of a corrupted set. None for the
            clean images alone.
        engine: As in `evaluate`.
        precision: As in `evaluate`.
        seed: Random seed of the corruptions and of policies that draw views; the same seed gives the same result.
        watch: Called with (cells done, cells in total).

    Raises:
        DataError: The folder holds no corrupted set of these classes.
        UsageError: As in `evaluate`; or a text is no policy, or a policy needs a loss predictor and there is none.
        AllweatherError: As in `evaluate`.
    """
    corrupted = None if corrupted is None else as_path(corrupted)
    check_seed(seed)
    seed = int(seed)
    check_watch(watch)
    if not isinstance(policies, str | Sequence):
        raise UsageError(f"policies are a list of policies or of their texts; got {type(policies).__name__}")
    with _opened(model, data, engine, precision) as (opened, dataset):
        given = [policies] if isinstance(policies, str) else policies or opened.policies
        requested = [
            each if isinstance(each, Policy) else parse_policy(each, opened.policies, opened.predictor_views)
            for each in given
        ]
        corrupted_set = None if corrupted is None else _corrupted_set(corrupted, opened, dataset, seed)
        return policy_evaluation(opened, dataset, corrupted_set, requested, seed=seed, watch=watch)[0]


@contextmanager
def _opened(
    model: Checkpoint | Bundle | Path | str, data: Dataset | str, engine: str | None, precision: str | None
) -> Iterator[tuple[EvaluatedModel, Dataset]]:
    """Opens a model, and the data with its labels in the order of the model's classes."""
    if isinstance(model, nn.Module):
        raise UsageError(
            "a network of torch does not tell its classes and input; give trainers.Checkpoint.of(network, classes, "
            "input)"
        )
    source = model.path if isinstance(model, Bundle) else model
    with open_model(source, engine=engine, precision=precision) as opened:
        if isinstance(data, str):
            yield opened, _readable(opened.open_data(data))
            return
        if not isinstance(data, Dataset):
            raise UsageError(f"data is a Dataset or the name of a data set; got {type(data).__name__}")
        height, width = data.test.size
        if (height, width) != (opened.input.height, opened.input.width):
            raise UsageError(
                f"{opened.path} takes images of {opened.input.width} x {opened.input.height} px, but {data.name} was "
                f"opened at {width} x {height} px"
            )
        warn_of_other_crop(data, opened.input.crop, str(opened.path))
        yield opened, _readable(data.with_classes(opened.classes))


def _readable(data: Dataset) -> Dataset:
    """Returns the data without the test images that cannot be read, so that each pass over them gives the same rows."""
    return dataclasses.replace(data, test=data.test.readable())


def _corrupted_set(corrupted: Path, opened: EvaluatedModel, dataset: Dataset, seed: int) -> CorruptedSet:
    if str(corrupted) == GENERATE:
        return GeneratedSet(dataset.test, seed)
    return open_corrupted_set(corrupted, opened.classes, opened.input)
