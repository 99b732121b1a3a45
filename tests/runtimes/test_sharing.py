"""Perceivers that share engines, each with a budget and a policy of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allweather.runtimes.errors import UsageError
from allweather.runtimes.load import load, load_several

IMAGE = np.full((40, 40, 3), 90, np.uint8)


@pytest.mark.slow
def test_each_use_of_a_bundle_follows_its_own_policy_and_budget(sample_bundle: Path) -> None:
    one, two, three = load_several(sample_bundle, [(None, "center"), (1000.0, "hflip"), (None, "top:2")], engine="onnx")
    with one:
        assert [len(each(IMAGE).views) for each in (one, two, three)] == [1, 2, 2]
        assert [each.budget.seconds for each in (one, two, three)] == [float("inf"), 1.0, float("inf")]
        assert three(IMAGE).predicted_losses
        assert not one(IMAGE).predicted_losses
        assert three.lock() is one.lock()
        assert [len(each.batch([IMAGE, IMAGE])[1].views) for each in (one, two, three)] == [1, 2, 2]
        two.close()  # the engines are those of the first
        alone = load(sample_bundle, policy="top:2", engine="onnx")
        assert (three(IMAGE).probabilities == alone(IMAGE).probabilities).all()
        alone.close()


@pytest.mark.slow
def test_a_perceiver_that_was_made_without_a_loss_predictor_shares_none(sample_bundle: Path) -> None:
    with load(sample_bundle, policy="center", engine="onnx") as perceiver, pytest.raises(UsageError):
        perceiver.sharing(None, load_several(sample_bundle, [(None, "top:2")], engine="onnx")[0].policy)
