"""Arguments of another type are told by the call that gets them, before anything is opened or trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from allweather import InputSpec, trainers
from allweather.runtimes.errors import UsageError
from allweather.trainers import Checkpoint, Dataset, FitSettings, Split


@pytest.fixture(scope="module")
def data() -> Dataset:
    split = Split(torch.zeros(4, 16, 16, 3, dtype=torch.uint8), torch.tensor([0, 1, 0, 1]))
    return Dataset("made", ("a", "b"), split, split, split, hflip=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "folder:x"}, r"data is a Dataset; got str 'folder:x': load_dataset\(name\) or Dataset.from_torch"),
        ({"data": None}, "data is a Dataset; got NoneType"),
        ({"settings": {"epochs": 1}}, r"settings is a FitSettings; got dict .*: FitSettings\(...\) makes one"),
        ({"config": "plain"}, "config is a TrainConfig; got str 'plain'"),
        ({"loggers": "csv"}, "loggers are a list of loggers of Lightning Fabric; got 'csv'"),
        ({"loggers": [object()]}, "loggers are a list"),
        ({"watch": None}, "watch is a function; got NoneType"),
        ({"fabric": 2}, r"fabric is a Fabric; got int 2: launch\(\) makes one"),
    ],
)
def test_arguments_of_train(data: Dataset, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        trainers.train("resnet20", **({"data": data} | arguments))


def test_arguments_of_the_other_steps(data: Dataset) -> None:
    start = Checkpoint("resnet20", ("a", "b"), InputSpec(16, 16), {}, "made", 0)
    settings: Any = FitSettings()
    with pytest.raises(UsageError, match="settings is a FinetuneSettings; got FitSettings"):
        trainers.finetune(start, data, settings=settings)
    with pytest.raises(UsageError, match="data is a Dataset; got str"):
        trainers.train_predictor("x.aw", "folder:x")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match="data is a Dataset; got str"):
        trainers.tune_policy("x.aw", "folder:x")  # type: ignore[call-overload]
    with pytest.raises(UsageError, match=r"policies are a list of texts; got 'center': write \['center'\]"):
        trainers.tune_policy("x.aw", data, "center")
    with pytest.raises(UsageError, match="compared is a function; got str: leave it out"):
        trainers.tune_policy("x.aw", data, compared="x")  # type: ignore[call-overload]
