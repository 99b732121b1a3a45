"""Weights that an ONNX file keeps in files beside it: read once, into the graph, and only from its own folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto

from allweather.exporters.onnx.convert import MAX_FILE_BYTES
from allweather.exporters.onnx.walk import all_tensors
from allweather.runtimes.errors import EngineError, first_line
from allweather.runtimes.system.path_argument import real_path
from allweather.runtimes.text import printable


def fold_external_data(model: onnx.ModelProto, path: Path, where: str) -> None:
    """Reads external data into the model, in place.

    Args:
        model: The model.
        path: Its file; external data must lie in the same folder.
        where: Name of the file, for messages.

    Raises:
        EngineError: A file of weights is missing, too short, or lies outside of the model's folder, or the weights do
            not fit into one ONNX file.
    """
    total = model.ByteSize()
    for tensor in all_tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        file = _file_of(entries.get("location", ""), path, where)
        offset, length = _number(entries.get("offset", "0"), where), _number(entries.get("length", "-1"), where)
        size = file.stat().st_size
        length = size - offset if length < 0 else length
        if offset + length > size or length < 0:
            raise EngineError(
                f"{where}: its weights are cut off: {printable(file.name)} has {size} bytes, and "
                f"{printable(tensor.name[:80])} ends at {offset + length}; copy both files again"
            )
        total += length
        if total > MAX_FILE_BYTES:
            raise EngineError(f"{where}: its weights take more than 2 GB, and one ONNX file holds at most that")
        with file.open("rb") as stream:
            stream.seek(offset)
            tensor.raw_data = stream.read(length)
        del tensor.external_data[:]
        tensor.data_location = TensorProto.DEFAULT


def external_data_files(path: Path) -> tuple[Path, ...]:
    """Returns the files in which an ONNX file keeps weights, sorted, each once.

    Raises:
        EngineError: It is no ONNX file, or a file of weights is missing or lies outside of its folder.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError) as error:
        raise EngineError(f"{printable(str(path))} cannot be read as ONNX: {first_line(error)}") from error
    entries = [entry for tensor in all_tensors(model) for entry in tensor.external_data]
    locations = {entry.value for entry in entries if entry.key == "location"}
    return tuple(sorted({_file_of(location, path, printable(str(path))) for location in locations}))


def _file_of(location: str, path: Path, where: str) -> Path:
    """Returns the file of external data, which lies in the folder of the model, also behind symbolic links."""
    folder = real_path(path.parent)
    parts = PurePosixPath(location.replace("\\", "/"))
    shown = printable(location[:80])
    if not location or parts.is_absolute() or ".." in parts.parts or ":" in location:
        raise EngineError(
            f"{where}: its weights are to be read from {shown!r}, outside of its folder, which is refused; "
            "export it again with the weights beside it"
        )
    file = folder / parts
    try:
        resolved = real_path(file)
        if not resolved.is_relative_to(folder):
            raise EngineError(
                f"{where}: its weights {shown!r} are a link to outside of its folder, which is refused; "
                "copy the weights beside it"
            )
        if not resolved.is_file():
            raise EngineError(
                f"{where}: its weights {shown!r} are missing; copy that file into the folder of the model"
            )
    except (OSError, ValueError) as error:
        raise EngineError(f"{where}: its weights {shown!r} cannot be read; copy that file beside it") from error
    return resolved


def _number(text: str, where: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise EngineError(
            f"{where}: the place of its weights is {printable(text[:40])!r}, no number; export it again"
        ) from error
