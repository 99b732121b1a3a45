from __future__ import annotations

import csv
import logging
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from lightning_fabric.loggers import CSVLogger, Logger
from tensorboardX.proto.event_pb2 import Event
from torch import nn

from allweather.runtimes.errors import OutputError, UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.data.registry import open_dataset
from allweather.trainers.models.classifier import Classifier
from allweather.trainers.training.experiment_log import ExperimentLog, check_log, flat, open_logger
from allweather.trainers.training.fit import fit
from allweather.trainers.training.launch import launch
from allweather.trainers.training.mlflow_logger import ENVIRONMENT, allowed_name
from allweather.trainers.training.progress import EpochReport, Progress
from allweather.trainers.training.settings import FitSettings

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SETTINGS = FitSettings(epochs=3, batch_size=60, seed=4)


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return open_dataset(f"folder:{folder}", 32)


def train(dataset: Dataset, loggers: list[Logger], **options: Any) -> tuple[EpochReport, ...]:
    torch.manual_seed(0)
    model = Classifier(nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(48, 3)), InputSpec(32, 32))
    settings = options.pop("settings", SETTINGS)
    _, history = fit(model, dataset, settings, 0.05, fabric=launch(), loggers=loggers, **options)
    return history


def csv_rows(folder: Path) -> list[dict[str, float]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


def tensorboard_rows(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """The scalars of an event file: records of a length, its checksum, an event and its checksum."""
    (file,) = folder.glob("events.out.tfevents.*")
    data, rows = file.read_bytes(), {}
    while data:
        (length,) = struct.unpack_from("<Q", data)
        event = Event.FromString(data[12 : 12 + length])
        for value in event.summary.value:
            if value.HasField("simple_value"):
                rows.setdefault(value.tag, []).append((event.step, value.simple_value))
        data = data[16 + length :]
    return rows


def mlflow_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MlflowClient, list[Run]]:
    from mlflow import MlflowClient  # takes more than a second, which other tests need not

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient(tracking_uri=folder.as_uri())
    experiment = client.get_experiment_by_name("allweather")
    assert experiment
    return client, list(client.search_runs([experiment.experiment_id], order_by=["start_time"]))


def stop_in_epoch(number: int, error: type[BaseException]) -> Callable[[Progress], None]:
    def watch(progress: Progress) -> None:
        if progress.report is None and progress.step > 2 * (number - 1):
            raise error

    return watch


def test_each_logger_gets_every_epoch_and_the_settings(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {name: tmp_path / name for name in ("csv", "tensorboard", "mlflow")}
    loggers = [open_logger(f"{name}:{place}", "robust") for name, place in places.items()]
    history = train(dataset, loggers, hyperparameters={"arch": "own"})
    expected = [report.timed_row() for report in history]
    rows = csv_rows(places["csv"] / "robust" / "version_0")
    assert [{**row, "step": row["epoch"]} for row in expected] == rows
    scalars = tensorboard_rows(places["tensorboard"] / "robust" / "version_0")
    client, (run,) = mlflow_runs(places["mlflow"], monkeypatch)
    for name in expected[0]:
        values = [(int(row["epoch"]), row[name]) for row in expected]
        np.testing.assert_allclose(scalars[name], values, rtol=1e-6)  # TensorBoard keeps 32 bits
        logged = [(each.step, each.value) for each in client.get_metric_history(run.info.run_id, name)]
        assert logged == values
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "robust"
    params = run.data.params
    assert (params["arch"], params["epochs"], params["optimizer"], params["lr"]) == ("own", "3", "sgd", "0.05")
    assert (params["data"], params["train_images"]) == (dataset.name, str(len(dataset.train)))


def test_a_resumed_run_has_a_log_of_its_own_with_all_epochs(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def loggers() -> list[Logger]:
        return [open_logger(f"csv:{tmp_path}", "run"), open_logger(f"mlflow:{tmp_path / 'mlflow'}", "run")]

    for epoch, error in ((2, KeyboardInterrupt), (3, ZeroDivisionError)):
        with pytest.raises(error):
            train(dataset, loggers(), resume=tmp_path / "resume", watch=stop_in_epoch(epoch, error))
    train(dataset, loggers(), resume=tmp_path / "resume")
    epochs = [[row["epoch"] for row in csv_rows(tmp_path / "run" / f"version_{number}")] for number in range(3)]
    assert epochs == [[1], [1, 2], [1, 2, 3]]
    client, runs = mlflow_runs(tmp_path / "mlflow", monkeypatch)
    assert [run.info.status for run in runs] == ["KILLED", "FAILED", "FINISHED"]
    assert [len(client.get_metric_history(run.info.run_id, "loss")) for run in runs] == [1, 2, 3]


class FullDisk(CSVLogger):
    """A logger whose disk is full from some epoch on."""

    def __init__(self, folder: Path, epoch: int) -> None:
        super().__init__(folder)
        self.epoch = epoch

    def log_metrics(self, metrics: Any, step: int | None = None) -> None:
        if step == self.epoch:
            raise OSError(28, "No space left on device")
        super().log_metrics(metrics, step)


def test_a_logger_that_fails_later_is_left_out_and_the_training_goes_on(
    dataset: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken, whole = FullDisk(tmp_path / "broken", 2), CSVLogger(tmp_path / "whole")
    assert len(train(dataset, [broken, whole])) == 3
    assert caplog.text.count("FullDisk is written no further: [Errno 28] No space left on device") == 1
    assert [row["epoch"] for row in csv_rows(Path(broken.log_dir))] == [1]
    assert [row["epoch"] for row in csv_rows(Path(whole.log_dir))] == [1, 2, 3]


@pytest.mark.parametrize("name", ["csv", "tensorboard", "mlflow"])
def test_a_log_that_cannot_be_written_is_told_before_anything_is_trained(
    dataset: Dataset, tmp_path: Path, name: str
) -> None:
    (tmp_path / "file").write_text("not a folder")

    def watch(progress: Progress) -> None:
        raise AssertionError("something was trained")

    with pytest.raises(OutputError, match=r"file.*is a file, not a folder"):
        open_logger(f"{name}:{tmp_path / 'file' / 'logs'}", "run")
    logger = open_logger(f"{name}:{tmp_path / 'logs'}", "run")
    (tmp_path / "logs").write_text("a file by now")
    with pytest.raises(OutputError, match="logs"):
        train(dataset, [logger], watch=watch)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runs", "a log is csv:DIR, tensorboard:DIR or mlflow:DIR_OR_URI; got 'runs'"),
        ("csv:", "got 'csv:'"),
        ("wandb:runs", "no logger is called 'wandb'"),
    ],
)
def test_texts_of_another_form_are_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        check_log(text)


def test_a_tracking_server_that_is_not_there_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    logger = open_logger("mlflow:http://me:hunter2@127.0.0.1:1", "run")
    with pytest.raises(
        OutputError, match=r"MLflow cannot log to http://\S*127.0.0.1:1: .*name a folder or a server"
    ) as told:
        logger.log_metrics({"loss": 1.0}, 1)
    assert "hunter2" not in str(told.value)


@pytest.mark.slow
def test_a_server_that_never_responds_is_waited_for_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(ENVIRONMENT) >= {"MLFLOW_HTTP_REQUEST_TIMEOUT", "MLFLOW_HTTP_REQUEST_MAX_RETRIES"}
    for name in ENVIRONMENT:  # what is set is left as it is
        monkeypatch.setenv(name, "1")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        logger = open_logger(f"mlflow:http://127.0.0.1:{silent.getsockname()[1]}", "run")
        with pytest.raises(OutputError, match="MLflow cannot log to"):
            logger.log_metrics({"loss": 1.0}, 1)


@pytest.mark.parametrize("name", ["csv", "tensorboard", "mlflow"])
def test_the_home_folder_may_be_written_as_a_tilde(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    logger = open_logger(f"{name}:~/logs", "run")
    logger.log_metrics({"loss": 1.0}, 1)
    logger.finalize("success")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]
    assert any((tmp_path / "home" / "logs").iterdir())


def test_settings_become_flat_and_names_allowed() -> None:
    assert flat({"a": 1, "b": {"c": None, "d": {"e": [1, 2]}}}) == {"a": 1, "b.c": "None", "b.d.e": "[1, 2]"}
    assert allowed_name("brightness+") == "brightness plus"
    assert allowed_name("a*b/c d") == "a_b/c d"


@pytest.mark.parametrize("name", ["csv", "tensorboard", "mlflow"])
def test_a_name_that_is_no_utf8_can_be_logged(name: str, tmp_path: Path) -> None:
    logger = open_logger(f"{name}:{tmp_path}", "run\udcff")
    with ExperimentLog([logger]).open({"data": "folder:caf\udce9\n$x"}, []):
        pass


@pytest.mark.parametrize("text", ["tensorboard:s3://bucket/runs", "tensorboard:gs://bucket", "csv:http://host/runs"])
def test_logs_in_files_take_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="is an address: name a folder"):
        check_log(text)


@pytest.mark.parametrize("name", ["s3:runs", "gs:runs"])
def test_a_folder_whose_name_begins_as_an_address_is_a_folder(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    logger = open_logger(f"tensorboard:{name}", "run")
    logger.log_metrics({"loss": 1.0}, 1)
    logger.finalize("success")
    assert tensorboard_rows(tmp_path / name / "run" / "version_0") == {"loss": [(1, 1.0)]}


def test_mlflow_prints_nothing_of_other_folders_beside_its_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pictures").mkdir()
    root = logging.getLogger()
    others = list(root.handlers)
    root.handlers.clear()  # as in a program that has set up no logging
    try:
        open_logger(f"mlflow:{tmp_path}", "run").log_metrics({"loss": 1.0}, 1)
        assert root.handlers == []
    finally:
        root.handlers[:] = others
    assert capfd.readouterr().err == ""
