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
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=150, env=quiet)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert set(result["rows"].values()) == {4}  # of each log: a header and three epochs, written by one process
    return result["processes"], result["losses"]


@pytest.mark.end_to_end
@pytest.mark.skipif(usable_cores() < 2, reason="one core: training with two processes was not checked")
def test_two_processes_follow_the_loss_curve_of_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "losses.json"
    alone, expected = losses([str(SCRIPT), "1", str(folder), str(out)], out)
    started, ours = losses([str(SCRIPT), "2", str(folder), str(out)], out)
    elastic, theirs = losses([*TORCHRUN, str(SCRIPT), "2", str(folder), str(out)], out)
    assert (alone, started, elastic) == (1, 2, 2)
    for losses_of_two in (ours, theirs):
        for name in ("plain", "streamed", "weighted", "balanced"):
            assert np.allclose(losses_of_two[name], expected[name], rtol=1e-4), name
        assert np.allclose(losses_of_two["accumulated"], expected["plain"], rtol=1e-4)
        assert np.allclose(losses_of_two["synced"], expected["normalized"], rtol=1e-4)
        assert not np.allclose(losses_of_two["normalized"], expected["normalized"], rtol=1e-3)
        # BatchNorm takes its statistics from each process's half of the batch otherwise, so these are only close
        assert np.allclose(losses_of_two["resnet20"], expected["resnet20"], rtol=0.1, atol=0.02)


@pytest.mark.end_to_end
@pytest.mark.skipif(usable_cores() < 2, reason="one core: training with two processes was not checked")
def test_two_processes_of_which_one_is_killed_end_like_undisturbed_ones(folder: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    for out, options in ((whole, []), (killed, ["17"])):  # the seventh of ten steps of the second epoch
        command = [*TORCHRUN, "--max-restarts", "1", str(RESTARTED), str(folder), str(out), *options]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=150)
        assert done.returncode == 0, done.stderr
    assert json.loads(whole.with_suffix(".json").read_text()) == {"first_step": 1, "steps": 30}
    first_step = json.loads(killed.with_suffix(".json").read_text())["first_step"]
    assert 11 < first_step <= 17, "the run was not resumed in the middle of the epoch"
    assert killed.read_bytes() == whole.read_bytes()
