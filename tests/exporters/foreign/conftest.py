"""The head of the small network, fitted to the colors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from onnx_graphs import fitted_head

from allweather.trainers.data.dataset import Dataset


@pytest.fixture(scope="session")
def head(dataset: Dataset) -> npt.NDArray[np.float32]:
    return fitted_head(dataset.train.images.numpy(), dataset.train.labels.numpy())
