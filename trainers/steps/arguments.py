"""Checks the arguments of calls that make a model, so that one of another type is told where it comes in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from allweather.runtimes.errors import UsageError
from allweather.runtimes.setting_types import check_instance, is_whole
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.path_argument import as_path
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.data.dataset import Dataset

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

CURES: dict[type, str] = {
    Checkpoint: "load_checkpoint(path) reads one from its file",
    Dataset: "load_dataset(name) or Dataset.from_torch(...) makes one",
}


def check_argument(name: str, value: object, kind: type) -> None:
    """Checks that an argument is an object of a class.

    Args:
        name: Name of the argument, for the message.
        value: The argument.
        kind: The class.

    Raises:
        UsageError: It is of another class.
    """
    check_instance(name, value, kind, CURES.get(kind, f"{kind.__name__}(...) makes one"))


def check_run(
    out: object,
    data: object,
    settings: object,
    settings_kind: type,
    fabric: object,
    loggers: Sequence[Logger],
    watch: Callable[..., Any],
) -> None:
    """Checks the arguments that all calls have which train something.

    Args:
        out: Path of the file to write, or None.
        data: A `Dataset`.
        settings: Settings of the class `settings_kind`, or None.
        settings_kind: That class.
        fabric: A `Fabric`, or None.
        loggers: Loggers of Lightning Fabric.
        watch: A function.

    Raises:
        UsageError: One of them is of another class.
    """
    if out is not None:
        as_path(out)  # type: ignore[arg-type] # it is what is checked
    check_argument("data", data, Dataset)
    if settings is not None:
        check_argument("settings", settings, settings_kind)
    check_fabric(fabric)
    with isolated_imports():
        from lightning_fabric.loggers.logger import Logger
    if not isinstance(loggers, Sequence) or not all(isinstance(each, Logger) for each in loggers):
        raise UsageError(f"loggers are a list of loggers of Lightning Fabric; got {loggers!r:.40}")
    check_watch(watch)


def check_fabric(fabric: object) -> None:
    """Checks what a run is distributed by: a `Fabric`, or None for this process alone.

    Raises:
        UsageError: It is something else.
    """
    if fabric is None:
        return
    with isolated_imports():  # where it has been used, it has been imported already
        from lightning_fabric import Fabric
    check_instance("fabric", fabric, Fabric, "launch() makes one; leave it out for this process alone")


def check_watch(watch: object) -> None:
    """Checks that what is called with the progress is a function.

    Raises:
        UsageError: It is something else.
    """
    check_function("watch", watch)


def check_function(name: str, value: object) -> None:
    """Checks that an argument that will be called is a function.

    Args:
        name: Name of the argument, for the message.
        value: The argument.

    Raises:
        UsageError: It is something else.
    """
    if not callable(value):
        raise UsageError(
            f"{name} is a function; got {type(value).__name__}: leave it out where nothing is to be called"
        )


def check_seed(seed: int) -> None:
    """Checks a random seed.

    Raises:
        UsageError: It is no whole number from 0 on.
    """
    if not is_whole(seed) or seed < 0:
        raise UsageError(f"a seed is a whole number, at least 0; got {seed!r:.40}")
