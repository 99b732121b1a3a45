"""The description of the machine, on several kinds of machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from allweather.runtimes.system.device import FLAGS, INT8_FLAGS, Device, this_device

XEON = "processor\t: 0\nmodel name\t: Xeon: Gold\nflags\t: fpu avx2 avx512_vnni\n\nprocessor\t: 1\nflags\t: amx_int8\n"
OLD = "processor\t: 0\nmodel name\t: Atom\nflags\t\t: fpu sse2\n"
JETSON = "processor\t: 0\nBogoMIPS\t: 62.50\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd42\n"


def with_cpuinfo(monkeypatch: pytest.MonkeyPatch, text: str | OSError) -> Device:
    def read(path: Path, **named: Any) -> str:
        if isinstance(text, OSError):
            raise text
        return text

    monkeypatch.setattr(Path, "read_text", read)
    return this_device()


def test_this_machine_is_described_in_one_line() -> None:
    device = this_device()
    assert device.line().isprintable()
    assert device.cpu
    assert 1 <= device.cores <= (os.cpu_count() or 1)
    assert set(device.flags) <= set(FLAGS)
    assert f"{device.cores} cores" in device.line()


def test_a_xeon_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    device = with_cpuinfo(monkeypatch, XEON)
    assert (device.cpu, device.flags, device.fast_int8) == ("Xeon: Gold", ("avx2", "avx512_vnni"), True)


def test_an_old_processor_has_no_fast_int8(monkeypatch: pytest.MonkeyPatch) -> None:
    device = with_cpuinfo(monkeypatch, OLD)
    assert (device.cpu, device.flags, device.fast_int8) == ("Atom", (), False)


def test_a_jetson_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    device = with_cpuinfo(monkeypatch, JETSON)
    assert (device.flags, device.fast_int8) == (("asimddp",), True)
    assert device.cpu


@pytest.mark.parametrize("text", [FileNotFoundError(), PermissionError(), "", "\n\n", "no colon here\n", ": :\n"])
def test_a_system_without_cpuinfo_is_not_an_error(monkeypatch: pytest.MonkeyPatch, text: str | OSError) -> None:
    device = with_cpuinfo(monkeypatch, text)
    assert (device.flags, device.fast_int8) == ((), False)
    assert "flags unknown" in device.line()


def test_every_instruction_for_int8_is_among_the_flags() -> None:
    assert set(FLAGS) >= INT8_FLAGS
