"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from allweather.runtimes.errors import UsageError
from allweather.runtimes.preprocess import Region
from allweather.runtimes.system.atomic_files import check_file


class EngineChoice(str, Enum):
    """Engines that a model can be exported for."""

    openvino = "openvino"
    onnx = "onnx"
    tensorrt = "tensorrt"


class RunningChoice(str, Enum):
    """Engines that a bundle can be run on."""

    openvino = "openvino"
    openvino_gpu = "openvino_gpu"
    openvino_npu = "openvino_npu"
    onnx = "onnx"
    tensorrt = "tensorrt"
    tensorrt_rtx = "tensorrt_rtx"


class PrecisionChoice(str, Enum):
    """Arithmetic of an exported model."""

    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class Arithmetic(str, Enum):
    """Arithmetic of training."""

    auto = "auto"
    bf16 = "bf16"
    fp32 = "fp32"


Data = Annotated[str, typer.Option(help="signs, cifar10:ROOT, cifar100:ROOT or folder:ROOT")]
Seed = Annotated[int, typer.Option(min=0, help="of all chance in it: the same seed, the same result")]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on stdout")]
Download = Annotated[bool, typer.Option("--download", help="fetch CIFAR into ROOT if it is not there")]
CheckpointFile = Annotated[Path, typer.Argument(help="a checkpoint (.safetensors)")]
Devices = Annotated[int, typer.Option(help="processes on this machine")]
TrainPrecision = Annotated[Arithmetic, typer.Option("--precision", help="auto: bf16 where the device is fast at it")]
OutCheckpoint = Annotated[Path, typer.Option("--out", help="checkpoint to write (.safetensors)")]
Augment = Annotated[
    str | None, typer.Option(help="augmix, randaugment or trivial of torchvision, or learned:FILE of augmenter")
]
Engine = Annotated[RunningChoice | None, typer.Option(help="the fastest that runs here if not given")]
Precision = Annotated[PrecisionChoice | None, typer.Option(help="the one that the bundle prefers if not given")]


def checkpoint_path(path: Path) -> Path:
    """Refuses a name that is no checkpoint's, or cannot be written, before minutes are spent on it.

    Raises:
        UsageError: the suffix is another.
        OutputError: no file can be made there.
    """
    if path.suffix != ".safetensors":
        raise UsageError(f"a checkpoint is a .safetensors file; got {path}: write --out {path.stem}.safetensors")
    check_file(path)
    return path


def report_folder(path: Path | None) -> Path | None:
    """Refuses a report's folder that is a file, or cannot be written, before minutes are spent on it.

    Raises:
        UsageError: it is a file.
        OutputError: no file can be made there.
    """
    if path is not None and path.exists() and not path.is_dir():
        raise UsageError(f"--out is a folder for the report; {path} is a file: name another")
    if path is not None:
        check_file(path / "report.html")
    return path


def beside(path: Path | None, suffix: str) -> Path | None:
    """The hidden place beside a folder for what is kept until it is there; also of "." and ".."."""
    return path.resolve().with_name(f".{path.resolve().name}{suffix}") if path else None


def check_not_given(context: typer.Context, names: Sequence[str], reason: str) -> None:
    """Refuses options that would be ignored.

    Args:
        context: of the running command.
        names: of the command's parameters.
        why: said first.

    Raises:
        UsageError: one of them is on the command line.
    """
    sources = {name: context.get_parameter_source(name) for name in names}
    given = [name for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(f"{reason}; leave out {options}")


def region(text: str | None) -> Region | None:
    """A region written as x,y,width,height.

    Raises:
        UsageError: it is not written so.
    """
    if text is None:
        return None
    return Region(*numbers(text, 4, int, "--region is x,y,width,height in pixels"))


def numbers(text: str, count: int, kind: type[int] | type[float], wanted: str) -> list[int] | list[float]:
    """`count` numbers with commas between them.

    Raises:
        UsageError: saying what was wanted.
    """
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != count:
        raise UsageError(f"{wanted}; got {text!r}")
    return found
