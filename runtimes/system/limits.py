"""How much of the machine this process may use: cores and memory, as containers and supervisors limit them."""

from __future__ import annotations

import math
import os
import resource
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")  # names the control groups of this process
UNLIMITED_BYTES = 1 << 60  # version 1 says "no limit" with a number near 2**63


def usable_cores(root: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Returns how many cores this process may keep busy, at least one.

    That is the smaller one of its affinity (`taskset`, `docker --cpuset-cpus`) and the processor time that its control
    group may use (`docker --cpus`, rounded up), instead of the cores that the machine has.

    Args:
        root: Where the control groups are mounted.
        membership: File that names the control groups of this process.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [_quota(folder) for folder in _folders("cpu", root, membership)]
    return max(1, min(cores, *(math.ceil(quota) for quota in quotas if quota), cores))


def usable_memory(root: Path = CGROUPS, membership: Path = MEMBERSHIP) -> int:
    """Returns how many bytes of memory this process may use, instead of the memory that the machine has.

    That is the smallest one of the memory of the machine, the limits of its control group and those above it
    (`docker --memory`, systemd's `MemoryMax` and `MemoryHigh`; versions 1 and 2), and `ulimit -v` and `-d`.

    Args:
        root: Where the control groups are mounted.
        membership: File that names the control groups of this process.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _folders("memory", root, membership):
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            limit = _number(folder / name)
            if limit is not None and 0 < limit < UNLIMITED_BYTES:
                limits.append(int(limit))
    limits += [soft for soft in map(_soft_limit, ("RLIMIT_AS", "RLIMIT_DATA")) if soft]
    return min(limits)


def processes_here() -> int:
    """Returns how many processes of this run are on this machine and share its cores and memory.

    torchrun says so; where a command has started its own processes, all of them are here.
    """
    started = os.environ.get("WORLD_SIZE", "1") if "LOCAL_RANK" in os.environ else "1"
    count = os.environ.get("LOCAL_WORLD_SIZE", started)
    return max(1, int(count)) if count.isdecimal() else 1


def _soft_limit(name: str) -> int | None:
    """Returns a limit of this process in bytes; None where it has none."""
    soft, _ = resource.getrlimit(getattr(resource, name))
    return None if soft in (resource.RLIM_INFINITY, -1) else soft


def _folders(controller: str, root: Path, membership: Path) -> list[Path]:
    """Returns the folders that describe this process's control group and those above it, as far as they can be seen.

    Inside a container the paths in /proc/self/cgroup are often those of the host; then the mount itself is the group.
    """
    folders = [root, root / controller, root / "cpu,cpuacct"] if controller == "cpu" else [root, root / controller]
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return folders
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        mount = root / controllers if controllers else root
        if not controllers or controller in controllers.split(","):
            group = Path(path.lstrip("/"))
            folders += [mount / above for above in (group, *group.parents) if ".." not in above.parts]
    return list(dict.fromkeys(folders))


def _quota(folder: Path) -> float | None:
    """Returns how many cores' time a control group may use; None where it is not limited."""
    try:
        quota, period = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        limit, length = _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")
        return limit / length if limit and length and limit > 0 else None
    return float(quota) / float(period) if quota.isdecimal() and float(period) else None


def _number(path: Path) -> float | None:
    """Returns the number in a file; None where there is no such file or it holds a word, such as "max"."""
    try:
        return float(path.read_text())
    except (OSError, ValueError):
        return None
