from __future__ import annotations

import pytest

from allweather.runtimes.errors import UsageError
from allweather.trainers.training.launch import launch


def test_variables_of_a_cluster_that_cannot_be_used_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    slurm = {"NTASKS": "4", "JOB_ID": "1", "JOB_NAME": "x", "LOCALID": "0", "NODEID": "0", "PROCID": "0"}
    for name, value in slurm.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    with pytest.raises(UsageError, match=r"cannot be started: .*--ntasks") as caught:
        launch()
    assert "\n" not in str(caught.value)
