"""This machine: its processor and cores, and the instructions that decide how fast INT8 and bf16 are."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

from allweather.runtimes.system.limits import usable_cores
from allweather.runtimes.text import printable

FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimddp", "i8mm", "bf16")
INT8_FLAGS = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm"})


@dataclass(frozen=True)
class Device:
    """A machine.

    Attributes:
        system: Operating system and architecture.
        cpu: Name of the processor.
        cores: Number of logical cores that this process may keep busy; see `usable_cores`.
        flags: Those of `FLAGS` that the processor has; empty if the system does not say.
    """

    system: str
    cpu: str
    cores: int
    flags: tuple[str, ...]

    @property
    def fast_int8(self) -> bool:
        """Whether the processor has instructions that make INT8 faster than fp32."""
        return bool(INT8_FLAGS & set(self.flags))

    def line(self) -> str:
        """Returns a description in one line, for bundles and result pages."""
        return f"{self.cpu}, {self.cores} cores, {' '.join(self.flags) or 'flags unknown'}, {self.system}"


def this_device() -> Device:
    """Returns the machine that this process runs on."""
    info = _cpuinfo()
    cpu_flags = set(info.get("flags", info.get("Features", "")).split())
    return Device(
        system=f"{platform.system()} {platform.machine()}",
        cpu=info.get("model name") or _board() or platform.processor() or platform.machine(),
        cores=usable_cores(),
        flags=tuple(flag for flag in FLAGS if flag in cpu_flags),
    )


def power_mode() -> str:
    """Returns the frequency governor of the CPU, and a Jetson's power mode; "unknown" if the system does not say."""
    files = {
        "governor": Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "nvpmodel": Path("/var/lib/nvpmodel/status"),
    }
    modes = []
    for name, path in files.items():
        try:
            modes.append(f"{name} {path.read_text(errors='replace').strip()}")
        except OSError:
            continue
    return ", ".join(modes) or "unknown"


def _board() -> str:
    """Returns the name of an ARM board, such as a Jetson; "" on other machines."""
    try:
        return printable(Path("/proc/device-tree/model").read_text(errors="replace").strip("\0\n"))
    except OSError:
        return ""


def _cpuinfo() -> dict[str, str]:
    """Returns the entries of the first processor in /proc/cpuinfo; empty on systems without that file."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
