"""The file that a step writes: the one that is named, or none that stays."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from allweather.runtimes.errors import UsageError
from allweather.runtimes.system.leftovers import temporary_folder
from allweather.runtimes.system.path_argument import as_path


@contextmanager
def output_file(out: Path | str | None) -> Iterator[Path]:
    """Yields the file to write, or one that is deleted at the end."""
    if out is not None:
        path = as_path(out)
        if path.suffix != ".safetensors":
            raise UsageError(f"a checkpoint is a .safetensors file; got {path}: write out='{path.stem}.safetensors'")
        yield path
        return
    with temporary_folder() as folder:
        yield Path(folder, "checkpoint.safetensors")
