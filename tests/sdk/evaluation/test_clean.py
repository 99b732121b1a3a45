from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.evaluation import confusion_matrix, evaluate
from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import InputSpec
from allweather.trainers.checkpoint.checkpoint import Checkpoint
from allweather.trainers.checkpoint.checkpoint_file import save_checkpoint
from allweather.trainers.checkpoint.state_dict import checkpoint_from_state_dict

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60))
@pytest.mark.slow
def test_a_confusion_matrix_counts_every_image_once(pairs: list[tuple[int, int]]) -> None:
    labels, predicted = (np.array(values) for values in zip(*pairs, strict=True))
    matrix = confusion_matrix(predicted, labels, 4)
    assert matrix.sum() == len(pairs)
    assert np.trace(matrix) == (labels == predicted).sum()
    assert all(matrix[pair] == pairs.count(pair) for pair in product(range(4), repeat=2))


@pytest.mark.slow
def test_the_published_resnet20_is_as_accurate_as_published(cifar10: Path, published: Path, tmp_path: Path) -> None:
    path = tmp_path / "imported.safetensors"
    weights = published / "cifar10_resnet20.safetensors"
    save_checkpoint(path, checkpoint_from_state_dict(weights, "resnet20", CIFAR10, InputSpec(32, 32)))
    evaluation = evaluate(path, f"cifar10:{cifar10}")
    assert evaluation.accuracy == 0.9173
    assert evaluation.provenance.images == 10_000
    assert sum(map(sum, evaluation.confusion)) == 10_000
    assert 0.02 < evaluation.calibration_error < 0.06


def test_data_of_other_classes_is_refused(folder: Path, tmp_path: Path) -> None:
    from allweather.trainers.models.registry import build_model

    model = build_model("resnet20", 2, InputSpec(32, 32))
    path = tmp_path / "x.safetensors"
    weights = model.network.state_dict()
    save_checkpoint(path, Checkpoint("resnet20", ("a", "b"), InputSpec(32, 32), weights, "x", 0))
    with pytest.raises(UsageError, match=r"knows 2 classes \(a, b, ...\) and folder:.* has 3"):
        evaluate(path, f"folder:{folder}")
    with pytest.raises(UsageError, match="--engine and --precision are for bundles"):
        evaluate(path, f"folder:{folder}", engine="onnx")
