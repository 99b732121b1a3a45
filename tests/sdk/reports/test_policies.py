"""The report of policies, whose names come from checkpoints and bundles of others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from allweather.evaluation.policies import policy_evaluation
from allweather.reports.policies import write_policy_report
from allweather.runtimes.preprocess import InputSpec
from allweather.runtimes.tta.policy import Policy
from allweather.runtimes.tta.views import VIEWS
from allweather.runtimes.types import Floats, Image
from allweather.trainers.data.dataset import Dataset
from allweather.trainers.inference.open_model import EvaluatedModel


@pytest.mark.slow
@pytest.mark.parametrize("name", ["top/../../../outside/x", f"top:{'1' * 400}", "top\\..\\x"])
def test_a_plot_stays_in_the_folder_whatever_its_policy_is_called(tmp_path: Path, dataset: Dataset, name: str) -> None:
    def logits(images: Image) -> Floats:
        return np.asarray(images.reshape(len(images), -1, 3).mean(1) / 10, np.float32)

    def predict_losses(images: Image) -> Floats:
        return np.zeros((len(images), len(VIEWS)), np.float32)

    model = EvaluatedModel(
        Path("colors"), "numpy", dataset.classes, InputSpec(32, 32), logits, "0", predict_losses=predict_losses
    )
    result, changed = policy_evaluation(model, dataset, None, [Policy(name, "top", tuple(VIEWS), 2)], seed=0)
    folder = tmp_path / "above" / "report"
    write_policy_report(result, changed, folder)
    plots = list(tmp_path.rglob("views-*.png"))
    assert len(plots) == len([each for each in result.results if each.policy.startswith(("top", "oracle"))])
    assert {path.parent for path in plots} == {folder}
    assert all(f'src="{path.name}"' in (folder / "report.html").read_text("utf-8") for path in plots)
