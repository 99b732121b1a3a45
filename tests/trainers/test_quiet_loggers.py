from __future__ import annotations

import logging
import os

import pytest

from allweather.exporters.openvino.quantize import _nncf
from allweather.trainers.quiet_loggers import silence_loggers
from allweather.trainers.training.launch import launch


@pytest.fixture
def handler() -> logging.Handler:
    return logging.StreamHandler()


def test_named_loggers_are_silent_inside_and_restored_afterwards(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("noisy")
    logger.setLevel(logging.INFO)
    with silence_loggers("noisy", "other"):
        logger.error("inside")
    logger.info("afterwards")
    assert [record.getMessage() for record in caplog.records] == ["afterwards"]
    assert logging.getLogger("other").level == logging.NOTSET


def test_quantization_changes_no_handlers_and_no_environment_variables(handler: logging.Handler) -> None:
    logger = logging.getLogger("nncf")
    logger.addHandler(handler)
    before = dict(os.environ)
    try:
        with _nncf():
            assert not logger.isEnabledFor(logging.ERROR)
    finally:
        logger.removeHandler(handler)
    assert handler.level == logging.NOTSET
    assert dict(os.environ) == before


def test_the_launcher_logs_nothing_about_the_precision(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="lightning_fabric"):
        launch(precision="bf16")
    assert caplog.text == ""
