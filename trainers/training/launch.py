"""Processes, devices and precision of a training run, chosen by Lightning Fabric."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import torch
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from allweather.runtimes.errors import UsageError, check_choice
from allweather.runtimes.system.isolated_imports import isolated_imports
from allweather.runtimes.system.limits import usable_cores
from allweather.trainers.choices import Precision as Precision
from allweather.trainers.quiet_loggers import silence_loggers

if TYPE_CHECKING:
    from lightning_fabric import Fabric

FABRIC_PRECISIONS: Mapping[Precision, Literal["bf16-mixed", "16-mixed", "32-true"]] = MappingProxyType(
    {"bf16": "bf16-mixed", "fp16": "16-mixed", "fp32": "32-true"}
)


def fast_bf16() -> bool:
    """Returns whether the device multiplies bf16 faster than fp32.

    A CPU needs AVX512-BF16 or AMX for that: without them torch emulates bf16, at a quarter of fp32's speed (48 against
    187 GFLOPS in a 2048 x 2048 product on 2 cores of a Xeon with AVX-512 only).
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def launch(devices: int = 1, precision: Precision = "auto") -> Fabric:
    """Starts the processes of a run; each of them returns from here with its own Fabric.

    With more than one device the program is started again for each further process, with the same arguments. Under
    `torchrun` the processes are those that it started, on any number of machines.

    Args:
        devices: Number of processes on this machine: one for each GPU if there are GPUs, otherwise each takes a share
            of the CPU cores (gloo).
        precision: "auto" means bf16 if the device computes it faster than fp32, otherwise fp32. "fp16" scales the
            loss, so that small gradients are not lost, and leaves out steps whose gradients overflow; it is for GPUs.

    Raises:
        UsageError: The precision is fp16 and there is no GPU; `devices` is below 1 or above the number of GPUs, or
            without GPUs of the cores that this process may use; or a cluster's variables describe a run that cannot be
            started.
    """
    gpus = torch.cuda.device_count()
    cores = usable_cores()
    max_devices = gpus or cores
    if isinstance(devices, bool) or not isinstance(devices, int) or not 1 <= devices <= max_devices:
        kind = "GPUs" if gpus else "CPU cores"
        raise UsageError(f"--devices must be 1 to {max_devices} on this machine ({kind}); got {devices!r:.40}")
    check_choice("precision", precision, Precision)
    if precision == "fp16" and not gpus:
        raise UsageError("precision fp16 needs a GPU, and there is none here; choose bf16 or fp32")
    if precision == "auto":
        precision = "bf16" if fast_bf16() else "fp32"
    elastic = "TORCHELASTIC_RUN_ID" in os.environ  # torchrun started this process
    if not gpus and (devices > 1 or elastic):
        # otherwise every process starts one thread for each core, and the processes compete for the cores
        torch.set_num_threads(max(1, cores // int(os.environ.get("LOCAL_WORLD_SIZE", devices))))
    elif not gpus:
        limit_threads()
    with isolated_imports():  # here, as it takes over a second, which commands that train and evaluate nothing save
        from lightning_fabric import Fabric
    try:
        with _without_worker_warning(), silence_loggers("lightning_fabric"):
            if elastic and _num_machines() == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] != "0":
                _join_restarted_processes("nccl" if gpus else "gloo")
            fabric = Fabric(
                accelerator="gpu" if gpus else "cpu",
                devices=int(os.environ["LOCAL_WORLD_SIZE"]) if elastic else devices,
                num_nodes=_num_machines() if elastic else 1,
                strategy="ddp" if devices > 1 or elastic else "auto",
                precision=FABRIC_PRECISIONS[precision],
            )
            fabric.launch()
    except RuntimeError as error:  # of Fabric, about the variables of a cluster such as SLURM
        raise UsageError(f"the processes of the run cannot be started: {' '.join(str(error).split())}") from error
    return fabric


def limit_threads() -> None:
    """Lets torch use one thread at most for each core that this process may use, instead of each core of the machine.

    In a container with a share of the cores, more threads would wait for one another.
    """
    torch.set_num_threads(min(torch.get_num_threads(), usable_cores()))


def _num_machines() -> int:
    """Returns the number of machines on which torchrun started the run."""
    return int(os.environ["WORLD_SIZE"]) // int(os.environ["LOCAL_WORLD_SIZE"])


def _join_restarted_processes(backend: str) -> None:
    """Connects the processes that torchrun has started again after one of them ended.

    torchrun keeps the addresses of the processes before, and torch would try to reach those that have ended. Under a
    prefix of this start there are only new ones. (Several machines do not count their starts alike; there torchrun
    needs the variable TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1.)
    """
    environment = os.environ
    store = TCPStore(environment["MASTER_ADDR"], int(environment["MASTER_PORT"]), is_master=False)
    torch.distributed.init_process_group(
        backend, store=PrefixStore(f"start {environment['TORCHELASTIC_RESTART_COUNT']}", store),
        rank=int(environment["RANK"]), world_size=int(environment["WORLD_SIZE"]),
    )  # fmt: skip


@contextmanager
def _without_worker_warning() -> Iterator[None]:
    """Silences a warning about the number of worker processes of data loaders, which are not used here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        yield
