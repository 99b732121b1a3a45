from __future__ import annotations

import pytest
import torch

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.launch import launch


def test_variables_of_a_cluster_that_cannot_be_used_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = {"NTASKS": "4", "JOB_ID": "1", "JOB_NAME": "x", "LOCALID": "0", "NODEID": "0", "PROCID": "0"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(UsageError, match=r"cannot be started: .*--ntasks") as caught:
        launch()
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU computes in fp16")
def test_fp16_is_refused_on_a_cpu() -> None:
    with pytest.raises(UsageError, match=r"^precision fp16 needs a GPU, and there is none here; choose bf16 or fp32$"):
        launch(precision="fp16")
