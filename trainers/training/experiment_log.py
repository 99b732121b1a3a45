"""Experiment tracking: what loggers of Lightning Fabric get from a run, and the loggers that a text names."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

from allweather.runtimes.errors import OutputError, UsageError, map_write_errors, unknown_name
from allweather.runtimes.redaction import redacted, redacted_addresses
from allweather.runtimes.system.atomic_files import check_file
from allweather.runtimes.system.home_path import home_path
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.text import valid_unicode
from allweather.trainers.choices import LOG_FORMS, LoggerName
from allweather.trainers.training.progress import EpochReport

if TYPE_CHECKING:
    from lightning_fabric.loggers.logger import Logger

log = logging.getLogger(__name__)

LIBRARIES: Mapping[LoggerName, str] = {"tensorboard": "tensorboardX", "mlflow": "mlflow"}


class ExperimentLog:
    """Hands the settings and the epochs of one run to its loggers.

    A logger that cannot be written when the run starts is an error. One that fails later, such as a server that has
    gone, is left out with a warning, because a long training is worth more than its log.

    Args:
        loggers: Loggers of the run; none in processes other than the main one.
    """

    def __init__(self, loggers: Sequence[Logger]) -> None:
        self._loggers = list(loggers)

    @contextmanager
    def open(self, hyperparameters: Mapping[str, Any], history: Sequence[EpochReport]) -> Iterator[None]:
        """Logs the settings, and in the end how the run ended: "success", "failed", or "aborted" by Ctrl-C.

        Args:
            hyperparameters: Settings of the run; they may be nested.
            history: Epochs of the run before it was interrupted. They are logged again, as a resumed run has a log of
                its own, which is then complete.

        Raises:
            OutputError: A log cannot be written.
        """
        status = "failed"
        try:
            for logger in self._loggers:
                with map_write_errors(Path(logger.log_dir or logger.root_dir or "the log")), _system_errors():
                    with suppress(NotImplementedError):  # the CSV logger has no place for them
                        logger.log_hyperparams(flat(hyperparameters))
                    for report in history:
                        logger.log_metrics(report.timed_row(), report.epoch)
                    logger.save()
            yield
            status = "success"
        except KeyboardInterrupt:
            status = "aborted"
            raise
        finally:
            for logger in list(self._loggers):
                with self._left_out_if_it_fails(logger):
                    logger.finalize(status)

    def epoch(self, report: EpochReport) -> None:
        """Logs the metrics of an epoch; the step is its number, from 1."""
        for logger in list(self._loggers):
            with self._left_out_if_it_fails(logger):
                logger.log_metrics(report.timed_row(), report.epoch)
                logger.save()

    @contextmanager
    def _left_out_if_it_fails(self, logger: Logger) -> Iterator[None]:
        try:
            with _system_errors():
                yield
        except (OSError, OutputError) as error:
            self._loggers.remove(logger)
            log.warning("%s is written no further: %s", type(logger).__name__, redacted_addresses(str(error)))


@contextmanager
def _system_errors() -> Iterator[None]:
    """Takes the system's errors out of the ValueError into which the TensorBoard logger turns every error."""
    try:
        yield
    except ValueError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from error
        raise


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns nested values as one level, with dots between the names; what is no number becomes valid text."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            result |= flat(value, f"{prefix}{name}.")
        else:
            result[f"{prefix}{name}"] = value if isinstance(value, bool | int | float) else valid_unicode(str(value))
    return result


def check_log(text: str) -> None:
    """Checks a text such as "csv:runs" before anything is trained.

    Raises:
        UsageError: It is of another form, or names an address where only a folder can be named.
        ModuleNotFoundError: The library of the logger is not installed.
        OutputError: No file can be written into the folder.
    """
    name, _ = _parse_log(text)
    library = LIBRARIES.get(name)
    if library and importlib.util.find_spec(library) is None:
        raise ModuleNotFoundError(f"No module named {library!r}", name=library)
    if (folder := log_folder(text)) is not None:
        check_file(folder / "log")


def log_folder(text: str) -> Path | None:
    """Returns the folder that a text such as "csv:runs" names, as a whole path; None for an address.

    tensorboardX would take the beginning of a path that is not whole, such as "s3:" or "gs:", for that of an address.

    Raises:
        UsageError: The text is of another form, or names an address where only a folder can be named.
    """
    name, place = _parse_log(text)
    if "://" not in place:
        return home_path(place).absolute()
    if name != "mlflow":
        raise UsageError(
            f"a log of {name} is written into a folder; got {redacted(place)}, which is an address: name a folder"
        )
    return None


def open_logger(text: str, run: str) -> Logger:
    """Opens the logger that a text names.

    Logs of CSV and TensorBoard are written to DIR/`run`/version_0, the next run of that name to version_1, and so on.
    In MLflow `run` is the name of the run in the experiment "allweather".

    Args:
        text: "csv:DIR", "tensorboard:DIR", "mlflow:DIR", or "mlflow:" and the URI of a tracking server.
        run: Name of the run.

    Raises:
        UsageError: The text is of another form, or names an address where only a folder can be named.
        ModuleNotFoundError: The library of the logger is not installed.
        OutputError: No file can be written into the folder.
    """
    check_log(text)
    name, place = _parse_log(text)
    folder = log_folder(text)
    if folder is None or name == "mlflow":
        from allweather.trainers.training.mlflow_logger import MlflowLogger

        return MlflowLogger(place, run=valid_unicode(run))
    if name == "tensorboard":
        with isolated_imports():
            importlib.import_module(LIBRARIES[name])  # the logger would import it later
            from lightning_fabric.loggers.tensorboard import TensorBoardLogger
        return TensorBoardLogger(folder, name=run)
    with isolated_imports():
        from lightning_fabric.loggers.csv_logs import CSVLogger
    return CSVLogger(folder, name=run)


def _parse_log(text: str) -> tuple[LoggerName, str]:
    name, _, place = text.partition(":")
    if not place:
        raise UsageError(f"a log is {LOG_FORMS}; got {text!r}")
    if name not in get_args(LoggerName):
        raise unknown_name("logger", name, get_args(LoggerName))
    return cast(LoggerName, name), place
