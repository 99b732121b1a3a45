"""What this machine is: processor, cores, and the instructions that decide how fast INT8 and bf16 are."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.errors import printable

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


@dataclass(frozen=True)
class Device:
    """A machine.

    Attributes:
        system: operating system and architecture.
        cpu: name of the processor.
        cores: logical cores this process may use.
        flags: those of `FLAGS` that the processor has; empty where the system does not tell.
    """

    system: str
    cpu: str
    cores: int
    flags: tuple[str, ...]

    @property
    def fast_int8(self) -> bool:
        """Whether there are instructions that make INT8 faster than fp32."""
        return bool(INT8_FLAGS & set(self.flags))

    def line(self) -> str:
        """All of it in one line, for bundles and result pages."""
        return f"{self.cpu}, {self.cores} cores, {' '.join(self.flags) or 'flags unknown'}, {self.system}"


def this_device() -> Device:
    """The machine this runs on."""
    words = _cpuinfo()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    have = set(words.get("flags", words.get("Features", "")).split())
    return Device(
        system=f"{platform.system()} {platform.machine()}",
        cpu=words.get("model name") or _board() or platform.processor() or platform.machine(),
        cores=cores,
        flags=tuple(flag for flag in FLAGS if flag in have),
    )


def power_mode() -> str:
    """How the processor's clock is governed, and a Jetson's power mode; "unknown" where the system does not tell."""
    places = {
        "governor": Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "nvpmodel": Path("/var/lib/nvpmodel/status"),
    }
    found = []
    for name, path in places.items():
        try:
            found.append(f"{name} {path.read_text(errors='replace').strip()}")
        except OSError:
            continue
    return ", ".join(found) or "unknown"


def _board() -> str:
    """What an ARM board calls itself, such as a Jetson; empty on others."""
    try:
        return printable(Path("/proc/device-tree/model").read_text(errors="replace").strip("\0\n"))
    except OSError:
        return ""


def _cpuinfo() -> dict[str, str]:
    """The first processor's entries of /proc/cpuinfo; empty on systems without it."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
