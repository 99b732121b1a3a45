"""Cores and memory are those that a container, a supervisor or an affinity leaves to the process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from allweather.runtimes.system.limits import processes_here, usable_cores, usable_memory

MB = 1 << 20
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1


def tree(root: Path, files: dict[str, str], membership: str) -> tuple[Path, Path]:
    """Writes control groups, and what /proc/self/cgroup says about them."""
    for name, text in files.items():
        (root / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "cgroup" / name).write_text(text + "\n")
    (root / "cgroup").mkdir(exist_ok=True)
    (root / "membership").write_text(membership)
    return root / "cgroup", root / "membership"


V1_MEMORY = "memory/app/memory.limit_in_bytes"
IN_APP_V1 = "5:memory:/app\n4:cpu,cpuacct:/app\n1:name=systemd:/app\n"


@pytest.mark.parametrize(
    ("files", "membership"),
    [
        ({"memory.max": str(64 * MB)}, "0::/\n"),  # in a container that sees its own group as the root
        ({"app/memory.max": str(64 * MB)}, "0::/app\n"),
        ({"app/memory.max": str(64 * MB), "app/worker/memory.max": "max"}, "0::/app/worker\n"),
        ({"app/memory.high": str(64 * MB), "app/memory.max": str(128 * MB)}, "0::/app\n"),
        ({"memory.max": str(64 * MB)}, "0::/../../host/group\n"),  # the path of the host
        ({V1_MEMORY: str(64 * MB)}, IN_APP_V1),
        ({"memory/memory.limit_in_bytes": str(64 * MB), V1_MEMORY: str(1 << 63)}, IN_APP_V1),
        ({"memory/memory.limit_in_bytes": str(64 * MB)}, "5:memory:/docker/0123456789\n"),
    ],
)
def test_the_memory_limit_of_a_control_group(tmp_path: Path, files: dict[str, str], membership: str) -> None:
    assert usable_memory(*tree(tmp_path, files, membership)) == 64 * MB


@pytest.mark.parametrize("membership", ["", "0::/\n", "damaged\n", IN_APP_V1])
@pytest.mark.parametrize("files", [{}, {"memory.max": "max", "cpu.max": "max 100000"}, {"memory.max": "words"}])
def test_without_a_limit_it_is_the_machine(tmp_path: Path, files: dict[str, str], membership: str) -> None:
    root, groups = tree(tmp_path, files, membership)
    assert 0 < usable_memory(root, groups) <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert usable_cores(root, groups) == CORES


@pytest.mark.parametrize(
    ("files", "membership"),
    [
        ({"cpu.max": "50000 100000"}, "0::/\n"),  # half a core is one
        ({"app/cpu.max": "100000 100000", "app/worker/cpu.max": "max 100000"}, "0::/app/worker\n"),
        ({"cpu,cpuacct/app/cpu.cfs_quota_us": "100000", "cpu,cpuacct/app/cpu.cfs_period_us": "100000"}, IN_APP_V1),
    ],
)
def test_the_processor_time_of_a_control_group(tmp_path: Path, files: dict[str, str], membership: str) -> None:
    assert usable_cores(*tree(tmp_path, files, membership)) == 1


def test_a_quota_above_the_affinity_changes_nothing(tmp_path: Path) -> None:
    assert usable_cores(*tree(tmp_path, {"cpu.max": "6400000 100000"}, "0::/\n")) == CORES
    unlimited = {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}
    assert usable_cores(*tree(tmp_path, unlimited, "4:cpu:/\n")) == CORES


PRINT_CORES = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from allweather.runtimes.system.device import this_device
from allweather.runtimes.system.limits import usable_cores
print(usable_cores(), this_device().cores)
"""
PRINT_MEMORY = """
import resource
from allweather.runtimes.system.limits import usable_memory
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (600 << 20, hard))
print(usable_memory() >> 20)
"""


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity here: it was not checked")
def test_the_affinity_of_the_process_counts() -> None:
    assert run(PRINT_CORES) == "1 1"


def test_a_limit_of_the_shell_counts() -> None:
    assert int(run(PRINT_MEMORY)) <= 600


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("variables", "count"),
    [
        ({}, 1), ({"WORLD_SIZE": "4"}, 1), ({"WORLD_SIZE": "4", "LOCAL_RANK": "1"}, 4),
        ({"WORLD_SIZE": "16", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "8"}, 8), ({"LOCAL_WORLD_SIZE": "many"}, 1),
    ],
)  # fmt: skip
def test_the_processes_of_a_run_on_this_machine_are_counted(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], count: int
) -> None:
    for name in ("WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert processes_here() == count
