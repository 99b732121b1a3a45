from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from allweather.runtimes.system.limits import usable_cores

SCRIPT = Path(__file__).with_name("two_processes.py")


RESTARTED = Path(__file__).with_name("restarted_processes.py")
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def losses(command: list[str], out: Path) -> tuple[int, dict[str, list[float]]]:
    quiet = {
        **os.environ,
        "PYTHONWARNINGS": "ignore",
    }  # torch's launcher warns of the threads that it sets
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, env=quiet)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert set(result["rows"].values()) == {3}  # of each log: a header and two epochs, written by one process
    return result["processes"], result["losses"]


@pytest.mark.end_to_end
@pytest.mark.skipif(usable_cores() < 2, reason="one core: training with two processes was not checked")
def test_two_processes_follow_the_loss_curve_of_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "losses.json"
    alone, expected = losses([str(SCRIPT), "1", str(folder), str(out)], out)
    started, ours = losses([str(SCRIPT), "2", str(folder), str(out)], out)
    names = ("plain", "streamed", "synced")  # torchrun starts the processes differently; what they do then is the same
    elastic, theirs = losses([*TORCHRUN, str(SCRIPT), "2", str(folder), str(out), *names], out)
    assert (alone, started, elastic) == (1, 2, 2)
    for name in ("plain", "streamed", "weighted", "balanced"):
        assert np.allclose(ours[name], expected[name], rtol=1e-4), name
    assert np.allclose(ours["accumulated"], expected["plain"], rtol=1e-4)
    assert np.allclose(ours["synced"], expected["normalized"], rtol=1e-4)
    assert not np.allclose(ours["normalized"], expected["normalized"], rtol=1e-3)
    # BatchNorm takes its statistics from each process's half of the batch otherwise, so these are only close
    assert np.allclose(ours["resnet8"], expected["resnet8"], rtol=0.1, atol=0.02)
    for name in names:
        assert np.allclose(theirs[name], ours[name], rtol=1e-4), name


@pytest.mark.end_to_end
@pytest.mark.skipif(usable_cores() < 2, reason="one core: training with two processes was not checked")
def test_two_processes_of_which_one_is_killed_end_like_undisturbed_ones(folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    # the fifth of six steps of the second epoch
    command = [*TORCHRUN, "--max-restarts", "1", str(RESTARTED), str(folder), str(killed), "11"]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    steps = json.loads(killed.with_suffix(".json").read_text())  # of the second life
    assert 7 < steps[0] <= 11, "the run was not resumed in the middle of the epoch"
    assert steps[-1] == 18
    assert killed.read_bytes() == whole.read_bytes()
