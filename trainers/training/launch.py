"""Processes, devices and precision, chosen by Lightning Fabric."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from lightning_fabric import Fabric

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.memory import keep_freed_memory
from allweather.trainers.quiet_loggers import silenced

Precision = Literal["auto", "bf16", "fp32"]


def fast_bf16() -> bool:
    """Whether the device multiplies bf16 faster than fp32.

    A CPU must have AVX512-BF16 or AMX: without them torch emulates it, at a quarter of fp32's speed (48 against
    187 GFLOPS in a 2048 x 2048 product on 2 cores of a Xeon with AVX-512 only).
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def launch(devices: int = 1, precision: Precision = "auto") -> Fabric:
    """Starts the processes of a run; each of them returns from here with its own Fabric.

    With more than one device the program is started again for each further process, with the same arguments; under
    `torchrun` the processes are those it started, on any number of machines. On a CPU the process keeps the memory
    that it frees from here on.

    Args:
        devices: processes on this machine: GPUs where there are any, else shares of the CPU (gloo).
        precision: "auto" is bf16 where the device is fast at it.

    Raises:
        UsageError: more devices than there are.
    """
    gpus = torch.cuda.device_count()
    most = gpus or os.cpu_count() or 1
    if not 1 <= devices <= most:
        raise UsageError(f"--devices is 1 to {most} here ({'GPUs' if gpus else 'CPU cores'}); got {devices}")
    bf16 = precision == "bf16" or (precision == "auto" and fast_bf16())
    elastic = "TORCHELASTIC_RUN_ID" in os.environ
    if not gpus:
        keep_freed_memory()
    if (devices > 1 or elastic) and not gpus:
        # else every process starts a thread for each core and they fight for them
        local = int(os.environ.get("LOCAL_WORLD_SIZE", devices))
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    with _quiet(), silenced("lightning_fabric"):
        fabric = Fabric(
            accelerator="gpu" if gpus else "cpu",
            devices=int(os.environ["LOCAL_WORLD_SIZE"]) if elastic else devices,
            num_nodes=_machines() if elastic else 1,
            strategy="ddp" if devices > 1 or elastic else "auto",
            precision="bf16-mixed" if bf16 else "32-true",
        )
        fabric.launch()
    return fabric


def _machines() -> int:
    """Number of machines that torchrun started the run on."""
    return int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # a warning about the number of worker processes of loaders, which are not used here
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        yield
