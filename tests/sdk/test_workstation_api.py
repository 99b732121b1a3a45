"""The public API of the workstation: the tested lists of names of trainers, exporters and evaluation."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from allweather.trainers.checkpoint.checkpoint import Checkpoint
    from allweather.trainers.data.dataset import Dataset

PUBLIC = {
    "trainers": [
        "AugmentationStrengths",
        "COMBINATIONS",
        "COMMON",
        "CORRUPTIONS",
        "Checkpoint",
        "CorruptionTransform",
        "Dataset",
        "FinetuneSettings",
        "FitSettings",
        "LossPredictor",
        "PairOutputs",
        "PolicyComparison",
        "PredictorSettings",
        "Progress",
        "RANK_LOSSES",
        "Split",
        "Strength",
        "TTAWrapper",
        "TrainConfig",
        "TrainedPredictor",
        "ai_loss",
        "apply_view",
        "augment",
        "augmentation_strengths",
        "build_predictor",
        "capture_activations",
        "checkpoint_from_state_dict",
        "corrupt",
        "feature_map_loss",
        "finetune",
        "fit_loss_predictor",
        "launch",
        "load_checkpoint",
        "load_dataset",
        "load_predictor",
        "predictor_input_spec",
        "recipe",
        "render_signs",
        "run_pair",
        "save_checkpoint",
        "stability_loss",
        "train",
        "train_predictor",
        "tune_policy",
        "view_losses",
    ],
    "exporters": [
        "CalibrationSet",
        "ExportJob",
        "ExportOptions",
        "ModelOutputs",
        "ParityResult",
        "add_to_bundle",
        "calibration_set",
        "check_parity",
        "export",
        "export_jobs",
        "export_onnx",
    ],
    "evaluation": [
        "AugmentedEvaluation",
        "Baseline",
        "Cell",
        "ClassScores",
        "CleanEvaluation",
        "ErrorChange",
        "ErrorRate",
        "GroupMean",
        "Metrics",
        "PairedDifference",
        "PolicyEvaluation",
        "PolicyResult",
        "Provenance",
        "Robustness",
        "ShiftRobustness",
        "bootstrap_intervals",
        "calibration_error",
        "class_scores",
        "compute_metrics",
        "confusion_matrix",
        "evaluate",
        "evaluate_augmented",
        "evaluate_corrupted",
        "evaluate_policies",
        "evaluate_shifted",
        "mean_corruption_error",
        "mean_error",
        "paired_difference",
        "read_baseline",
        "reliability_bins",
    ],
}
NAMES = [(package, name) for package, names in PUBLIC.items() for name in names]


def public(package: str, name: str) -> object:
    return getattr(importlib.import_module(f"allweather.{package}"), name)


@pytest.mark.parametrize("package", PUBLIC)
def test_the_list_of_public_names(package: str) -> None:
    module = importlib.import_module(f"allweather.{package}")
    assert module.__all__ == PUBLIC[package]
    assert dir(module) == PUBLIC[package]
    with pytest.raises(AttributeError, match=rf"no attribute 'nothing'; it has {PUBLIC[package][0]}, "):
        module.nothing  # noqa: B018 -- the access is what is tested


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_has_a_docstring_of_its_own(package: str, name: str) -> None:
    found = public(package, name)
    if name.isupper():  # a table of names
        assert found
        return
    text = inspect.getdoc(found)
    assert text
    assert text.splitlines()[0].endswith("."), text
    assert not text.startswith(f"{name}("), "a generated docstring says nothing"


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_every_public_name_is_annotated(package: str, name: str) -> None:
    found = public(package, name)
    if name.isupper():
        return
    functions = [found] if inspect.isfunction(found) else [
        getattr(found, method) for method, value in vars(found).items()
        if not method.startswith("_") and (inspect.isfunction(value) or isinstance(value, staticmethod | classmethod))
    ]  # fmt: skip
    for function in functions:
        signature = inspect.signature(function)
        assert signature.return_annotation is not signature.empty, function
        for parameter in signature.parameters.values():
            assert parameter.annotation is not parameter.empty or parameter.name == "self", (function, parameter)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_the_arguments_of_a_function_are_described(package: str, name: str) -> None:
    function = public(package, name)
    parameters = inspect.signature(function).parameters if inspect.isfunction(function) else ()
    if len(parameters) > 2:  # fewer may be in the sentence
        text = inspect.getdoc(function) or ""
        assert [each for each in parameters if f"\n    {each}: " not in text] == []


@pytest.mark.parametrize("package", PUBLIC)
def test_the_front_door_loads_nothing_before_a_name_is_used(package: str) -> None:
    code = f"from allweather import {package}; import sys; print({{'torch', 'cv2', 'onnx'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_a_notebook_shows_what_steps_return_in_a_few_lines(dataset: Dataset, checkpoint: Checkpoint) -> None:
    assert len(repr(dataset)) < 2_000
    assert "Split(" in repr(dataset)
    assert len(repr(checkpoint)) < 3_000
    assert "tensor(" not in repr(checkpoint)
