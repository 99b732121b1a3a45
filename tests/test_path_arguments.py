"""Every public function that takes a path takes text, too, and tells anything else in one line."""

from __future__ import annotations

import errno
import importlib
import inspect
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from allweather import trainers
from allweather.runtimes.errors import AllweatherError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.system.path_argument import out_of_reach
from allweather.trainers.corruptions.sets import open_corrupted_set

ROOT = Path(__file__).parent.parent
OTHER_MEANING = {"check_private"}  # takes any number of folders
FIELDS = {"ArrayFileSet.__init__", "ImageFileSet.__init__"}  # take text, and their field is a Path
MADE_BY = {  # nobody else makes one
    "Bundle.__init__": "Bundle.open",
    "EvaluatedModel.__init__": "open_model",
    "LabeledFiles.__init__": "find_files",
    "SplitFiles.__init__": "find_split_files",
}


def public_functions() -> Iterator[tuple[str, Callable[..., object]]]:
    """Yields the functions and methods that a package lists as public, with their names."""
    for folder in ("runtimes", "trainers", "exporters", "sdk"):
        for init in sorted(ROOT.glob(f"{folder}/**/__init__.py")):
            parts = init.parent.relative_to(ROOT).parts
            module = importlib.import_module(".".join(("allweather", *parts[folder == "sdk" :])))
            for name in getattr(module, "__all__", ()):
                yield from functions_of(name, getattr(module, name))


def functions_of(name: str, public: object) -> Iterator[tuple[str, Callable[..., object]]]:
    """Yields a function, or a class as what makes an instance, and its static and class methods."""
    if inspect.isfunction(public):
        yield name, public
    elif inspect.isclass(public):
        for method, value in vars(public).items():
            if method == "__init__" and inspect.isfunction(value):
                yield f"{name}.{method}", public
            elif isinstance(value, staticmethod | classmethod) and not method.startswith("_"):
                yield f"{name}.{method}", getattr(public, method)


def path_parameters() -> dict[str, tuple[Callable[..., object], str]]:
    """Returns each parameter that is annotated as a path: the function that takes it, and its name."""
    found = {}
    for name, function in public_functions():
        for parameter in inspect.signature(function).parameters.values():
            annotation = str(parameter.annotation)
            words = annotation.replace("|", " ").split()
            if "Path" in words and "int" not in words and name not in OTHER_MEANING | set(MADE_BY):
                found[f"{name}({parameter.name}: {annotation})"] = function, parameter.name
    return found


PARAMETERS = path_parameters()


def filler(parameter: inspect.Parameter) -> str | None:
    """Returns what stands for an argument that is looked at before the path: another path, or a URL."""
    if "Path" in str(parameter.annotation):
        return "x.safetensors"
    return "http://127.0.0.1:9" if parameter.name == "address" else None


def call(function: Callable[..., object], parameter: str, value: object) -> None:
    """Calls a function with a path and no other argument that means anything."""
    needed = [each for each in inspect.signature(function).parameters.values() if each.default is each.empty]
    arguments: dict[str, Any] = {each.name: filler(each) for each in needed} | {parameter: value}
    result = function(**arguments)
    if isinstance(result, AbstractContextManager):
        with result:
            pass


def test_there_are_such_functions() -> None:
    assert len(PARAMETERS) >= 45
    assert {"load(path: Path | str)", "save_checkpoint(path: Path | str)"} <= set(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize(
    ("value", "said"), [(5, "got int"), (b"x.aw", "got bytes"), ("", "an empty text"), ("a\0b", "null")]
)
def test_a_path_is_checked_where_it_comes_in(name: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=f"is named by its path.*{said}"):
        call(*PARAMETERS[name], value)


@pytest.mark.parametrize("name", [name for name in PARAMETERS if name.split("(")[0] not in FIELDS])
def test_its_type_says_that_text_is_taken(name: str) -> None:
    assert "str" in name.rstrip(")").split(": ", 1)[1].split(" | ")


def checkpoint_from_weights(path: str) -> object:
    return trainers.checkpoint_from_state_dict(path, "resnet20", ("a", "b"), InputSpec(32, 32))


@pytest.mark.parametrize("read", [trainers.load_checkpoint, trainers.load_predictor, checkpoint_from_weights])
def test_a_path_that_cannot_be_looked_at_is_told_when_a_checkpoint_is_read(read: Callable[[str], object]) -> None:
    with pytest.raises(AllweatherError, match=r"x\.pth cannot be read: File name too long; check the path"):
        read(f"{'x' * 300}.pth")


@pytest.mark.parametrize("kind", ["folder", "list", "hf", "cifar10", "webdataset"])
def test_a_path_that_cannot_be_looked_at_is_told_when_data_is_opened(kind: str) -> None:
    with pytest.raises(AllweatherError, match=r"x\.csv cannot be read: File name too long; check the path"):
        trainers.load_dataset(f"{kind}:{'x' * 300}.csv")


def test_a_path_that_cannot_be_looked_at_is_told_when_a_corrupted_set_is_opened() -> None:
    with pytest.raises(AllweatherError, match="x cannot be read: File name too long; check the path"):
        open_corrupted_set("x" * 300, ("a", "b"), InputSpec(32, 32))


def test_a_folder_that_may_not_be_entered_is_out_of_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert out_of_reach(tmp_path) == out_of_reach(tmp_path / "missing") == ""
    monkeypatch.setattr(os, "lstat", partial(refuse, os.lstat, f"{tmp_path}/."))  # root may enter any folder
    assert out_of_reach(tmp_path) == "Permission denied; check the path, and the permissions of its folders"


def refuse(function: Callable[[str], object], refused: str, path: str) -> object:
    if path == refused:
        raise PermissionError(errno.EACCES, "Permission denied", path)
    return function(path)
