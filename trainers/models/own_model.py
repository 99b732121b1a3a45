"""A network of the user's own: imported because the user names it, and checked before anything is trained."""

from __future__ import annotations

import copy
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from allweather.runtimes.errors import UsageError, first_line
from allweather.trainers.models.architectures import ARCHITECTURES
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.models.libraries import LIBRARIES

OWN = "own:"  # before the name of a network in a checkpoint; it tells a reader what to name, and is never imported
CLASS_ARGUMENTS = ("num_classes", "classes", "n_classes")  # names for the number of classes, as libraries have them
BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
FORM = "a network of your own is named as package.module:function"


def import_own_model(name: str, classes: int) -> nn.Module:
    """Imports a function or class that the user has named, and calls it for a new network.

    It is called with the number of classes if it has an argument `num_classes`, `classes` or `n_classes`, or a single
    one without a default, and without arguments if not. The current folder is searched first, as by `python -m`.

    Args:
        name: package.module:function.
        classes: Number of classes.

    Raises:
        UsageError: There is no such module or function, it fails, or it does not return an nn.Module.
    """
    function = find_own_model(name)
    network = _call(name, function, _arguments(name, function, classes))
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name} returned a {type(network).__name__}; it has to return an nn.Module")
    return network


def find_own_model(name: str) -> Callable[..., Any]:
    """Imports the function or class of that name, package.module:function, without calling it.

    Raises:
        UsageError: There is no such module or function, or it is a network that has been made already.
    """
    module_name, _, function_name = name.partition(":")
    if name in ARCHITECTURES or module_name in LIBRARIES:
        raise UsageError(f"{FORM}; got {name!r}, which is an architecture: write --arch {name}")
    if not function_name or not all(part.isidentifier() for part in (*module_name.split("."), function_name)):
        raise UsageError(f"{FORM}; got {name!r}")
    with _current_folder_first():
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise UsageError(
                f"there is no module {error.name} in {Path.cwd()} or among the installed packages; {FORM}"
            ) from error
        except (ImportError, SyntaxError) as error:
            raise UsageError(f"{module_name} cannot be imported: {first_line(error)}") from error
    function: Callable[..., Any] | None = getattr(module, function_name, None)
    if function is None or not callable(function):
        names = [each for each, value in vars(module).items() if callable(value) and not each.startswith("_")]
        raise UsageError(f"{module_name} has no function {function_name}; it has {', '.join(names[:20]) or 'none'}")
    if isinstance(function, nn.Module):
        raise UsageError(
            f"{name} is a network, and not a function or class that makes a new one: "
            f"write def build(num_classes): return {type(function).__name__}(...), and name {module_name}:build"
        )
    return function


def check_network(model: Classifier, classes: int, size: tuple[int, int], name: str) -> None:
    """Runs two gray images, as in training and as in use, to see that the network is a classifier.

    Args:
        model: The classifier around the network; a copy of it is run.
        classes: Number of classes.
        size: Height and width of its images in pixels.
        name: What to call the network in a message.

    Raises:
        UsageError: The network takes more than one input or another number of channels, cannot take images of this
            size, or does not return logits, float [n, classes].
    """
    model = copy.deepcopy(model)
    for training in (False, True):
        images = torch.full((2, 3, *size), 0.5, device=next(model.parameters(), torch.zeros(1)).device)
        try:
            with torch.no_grad():
                output = model.train(training)(images)
        except (
            RuntimeError,
            TypeError,
            ValueError,
            IndexError,
            AttributeError,
            NotImplementedError,
            AssertionError,
        ) as error:
            raise UsageError(_cannot_run(model.network, error, size, name)) from error
        if not isinstance(output, Tensor):
            mode = "in train mode " if training else ""
            raise UsageError(
                f"a classifier returns one tensor of logits [n, {classes}]; {name} returns {_kind(output)} {mode}"
                "- wrap it in a module that returns the logits alone"
            )
        if output.shape != (2, classes):
            raise UsageError(
                f"for 2 images and {classes} classes a classifier returns logits [2, {classes}]; {name} returns "
                f"{list(output.shape)}{_shape_cure(output, classes)}"
            )
        if not training and _is_probabilities(output):
            raise UsageError(
                f"{name} returns probabilities: each row is 0 or more and adds up to 1; leave out its Softmax, because "
                "a classifier returns logits"
            )
        if not output.is_floating_point():
            raise UsageError(f"logits are floating-point numbers; {name} returns {str(output.dtype)[6:]}")


def _is_probabilities(output: Tensor) -> bool:
    """Returns whether each row could be probabilities; two rows of logits are that only by a very rare chance."""
    values = output.double()
    return bool((values >= 0).all() and ((values.sum(1) - 1).abs() < 1e-3).all())


def check_trainable(model: nn.Module) -> None:
    """Checks that a network has something to train.

    Raises:
        UsageError: It is TorchScript, or all of its weights are frozen, or it has none.
    """
    if any(isinstance(each, torch.jit.ScriptModule) for each in model.modules()):
        raise UsageError("TorchScript cannot be trained here; give the nn.Module that it was made from")
    if not any(weight.requires_grad and weight.numel() for weight in model.parameters()):
        frozen = sum(weight.numel() for weight in model.parameters())
        cure = f"all of its {frozen} weights are frozen: call requires_grad_(True) on it" if frozen else "it has none"
        raise UsageError(f"the network has no weights to train; {cure}")


def _shape_cure(output: Tensor, classes: int) -> str:
    if output.dim() == 2 and len(output) == 2:
        return f": name {output.shape[1]} classes, or give it a last layer of {classes} outputs"
    return ": it has to end in one row of logits for each image"


def _cannot_run(network: nn.Module, error: Exception, size: tuple[int, int], name: str) -> str:
    required = [
        each.name
        for each in inspect.signature(network.forward).parameters.values()
        if each.default is each.empty and each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    if len(required) != 1:
        return (
            f"a classifier takes one input, the images; {name} takes {len(required)} ({', '.join(required)}): wrap it "
            "in a module that takes images alone"
        )
    return (
        f"{name} cannot classify images of float [n, 3, {size[0]}, {size[1]}]: {first_line(error)}; it has to take RGB "
        "images of this size"
    )


def _kind(output: Any) -> str:
    if isinstance(output, Mapping):
        return f"a {type(output).__name__} of {', '.join(map(str, list(output)[:4]))}"
    if isinstance(output, tuple | list):
        return f"a {type(output).__name__} of {len(output)}"
    return f"a {type(output).__name__}"


def _call(name: str, function: Any, arguments: Mapping[str, int]) -> object:
    """Calls the user's function; says where in the user's code it fails."""
    try:
        return function(**arguments)
    except UsageError:
        raise
    except Exception as error:  # the code of the user may raise anything
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = type(error).__name__
        raise UsageError(
            f"{name} fails: {kind}: {first_line(error)} ({Path(place.filename).name}, line {place.lineno}); mend it "
            "or name another function"
        ) from error


def _arguments(name: str, function: Any, classes: int) -> dict[str, int]:
    """Returns the arguments that a function is called with: the number of classes, or none."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in callables have none
        return {}
    parameters = signature.parameters
    required = [each.name for each in parameters.values() if each.default is each.empty and each.kind in BY_NAME]
    arguments = next(({each: classes} for each in CLASS_ARGUMENTS if each in parameters), {})
    if not arguments and len(required) == 1:  # under any name, as a network needs nothing else
        arguments = {required[0]: classes}
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"{name} cannot be called: {first_line(error)}; it is called with the number of classes, as its argument "
            f"{' or '.join(CLASS_ARGUMENTS)} or as the only one without a default"
        ) from error
    return arguments


@contextmanager
def _current_folder_first() -> Iterator[None]:
    """Lets modules of the current folder be found, as the installed command is not run from a script in it."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
