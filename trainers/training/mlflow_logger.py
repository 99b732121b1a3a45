"""MLflow as a logger of Lightning Fabric, which has none of its own; its client's telemetry is turned off."""

from __future__ import annotations

import logging
import os
import re
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from lightning_fabric.loggers.logger import Logger

from allweather.runtimes.errors import OutputError, first_line
from allweather.runtimes.redaction import redacted_addresses
from allweather.runtimes.system.home_path import home_path
from allweather.runtimes.system.isolated_imports import isolated_imports

with isolated_imports():  # its import decides once for the process that it reports nothing
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param
    from mlflow.exceptions import MlflowException

STATUSES = {"success": "FINISHED", "failed": "FAILED", "aborted": "KILLED"}
MAX_VALUE_LENGTH = 500  # characters of a parameter that servers of any version take
# MLflow 3 writes to a folder only with the first. With its own 7 retries of 120 seconds, a server that is not there, or
# that never responds, would hold up a training for minutes, at each epoch.
ENVIRONMENT = {
    "MLFLOW_ALLOW_FILE_STORE": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class MlflowLogger(Logger):
    """Logs a run to MLflow: settings as parameters, the metrics of each epoch, and how the run ended.

    The run is created when something is logged first.

    Args:
        place: A folder, or the URI of a tracking server or store, such as "http://host:5000".
        experiment: Name of the experiment, which is created if there is none.
        run: Name of the run; MLflow makes one up if None.
    """

    def __init__(self, place: str, experiment: str = "allweather", run: str | None = None) -> None:
        self._place, self._experiment, self._run_name = place, experiment, run
        self._client: MlflowClient | None = None
        self._run: str | None = None

    @property
    def name(self) -> str:
        """Name of the experiment."""
        return self._experiment

    @property
    def version(self) -> str | None:
        """MLflow's id of the run; None before something has been logged."""
        return self._run

    @property
    def root_dir(self) -> str:
        """The folder or URI."""
        return self._place

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs metrics of one step.

        Raises:
            OutputError: The folder cannot be written, or the server does not answer.
        """
        now = int(1000 * time.time())
        rows = [Metric(allowed_name(name), float(value), now, step or 0) for name, value in metrics.items()]
        with self._open_run() as (client, run):
            client.log_batch(run, metrics=rows)

    def log_hyperparams(self, params: Mapping[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Logs settings, which MLflow calls parameters and keeps as text.

        Raises:
            OutputError: As `log_metrics`.
        """
        values = vars(params) if isinstance(params, Namespace) else params
        rows = [Param(allowed_name(name), str(value)[:MAX_VALUE_LENGTH]) for name, value in values.items()]
        with self._open_run() as (client, run):
            client.log_batch(run, params=rows)

    def finalize(self, status: str) -> None:
        """Ends the run as finished, failed or killed.

        Raises:
            OutputError: As `log_metrics`.
        """
        if self._run is not None:
            with self._open_run() as (client, run):
                client.set_terminated(run, STATUSES.get(status, "FAILED"))

    @contextmanager
    def _open_run(self) -> Iterator[tuple[MlflowClient, str]]:
        """Yields the client and the run, which is created the first time, and maps MLflow's errors."""
        given = {name: value for name, value in ENVIRONMENT.items() if name not in os.environ}
        os.environ.update(given)
        try:
            if self._client is None or self._run is None:
                uri = self._place if "://" in self._place else home_path(self._place).absolute().as_uri()
                self._client = MlflowClient(tracking_uri=uri)
                with _no_root_handler():
                    known = self._client.get_experiment_by_name(self._experiment)
                    number = known.experiment_id if known else self._client.create_experiment(self._experiment)
                self._run = self._client.create_run(number, run_name=self._run_name).info.run_id
            yield self._client, self._run
        except (MlflowException, OSError) as error:
            reason = redacted_addresses(f"{self._place}: {first_line(error)}")
            raise OutputError(
                f"MLflow cannot log to {reason}; name a folder or a server (a database needs the package mlflow in "
                "place of mlflow-skinny)"
            ) from error
        finally:
            for name in given:
                del os.environ[name]


@contextmanager
def _no_root_handler() -> Iterator[None]:
    """Keeps MLflow from adding a root handler, which prints a traceback for each folder that is not its own.

    A root handler of the caller is left as it is.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def allowed_name(name: str) -> str:
    """Returns a name with the characters that MLflow takes: "brightness+" becomes "brightness plus"."""
    return re.sub(r"[^\w\-. :/]", "_", name.replace("+", " plus"))
