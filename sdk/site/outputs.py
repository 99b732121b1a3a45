"""`RunOutputs`: what is written and shown of the decisions on cameras, checked before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from allweather.runtimes.choices import ROTATED, STDOUT
from allweather.runtimes.errors import UsageError, map_write_errors

if TYPE_CHECKING:
    from allweather.runtimes.cameras.base import Camera
    from allweather.runtimes.sinks.base import Sink

DEFAULT_FPS = 25.0  # of the written video, where the source does not tell its frame rate
MEGABYTE = 10**6


@dataclass(frozen=True)
class RunOutputs:
    """What is written and shown of the decisions on a source.

    Attributes:
        jsonl: Log of decisions; "-" for stdout, None for no log.
        jsonl_mb: Megabytes after which a new log is begun; None for a single one.
        jsonl_fsync: Whether each line is on the disk before the next frame is processed.
        video: Annotated video; None for none.
        show: Whether the frames are shown in a window.
    """

    jsonl: Path | None = None
    jsonl_mb: float | None = None
    jsonl_fsync: bool = False
    video: Path | None = None
    show: bool = False

    def check(self, bundle: Path, sources: Sequence[str]) -> None:
        """Checks that the options agree, and that nothing that is read would be overwritten.

        Args:
            bundle: Path of the bundle.
            sources: Texts that name the sources.

        Raises:
            UsageError: They do not agree, or a file that is written is a source or a part of the bundle.
        """
        for path in self._written():
            _check_not_read(path, bundle, sources)
        if self.jsonl and self.video and os.path.realpath(self.jsonl) == os.path.realpath(self.video):
            raise UsageError(f"--jsonl and --video both write {self.video}; name another file for one of them")
        if self.jsonl is None and (self.jsonl_mb is not None or self.jsonl_fsync):
            raise UsageError(
                "--jsonl-mb and --jsonl-fsync are about the file of --jsonl; name one, such as --jsonl log.jsonl"
            )
        if self.jsonl_mb is not None and not 0 < self.jsonl_mb < float("inf"):
            raise UsageError(f"--jsonl-mb is a number of megabytes above 0; got {self.jsonl_mb:g}")

    def for_source(self, index: int, num_sources: int) -> RunOutputs:
        """Returns the outputs of one of several sources: each has files of its own, log-0.jsonl for log.jsonl."""
        log, film = (path and _indexed(path, index, num_sources) for path in (self.jsonl, self.video))
        return replace(self, jsonl=log, video=film)

    def sinks(self, camera: Camera) -> list[Sink]:
        """Makes the sinks. They are opened by the loop of the source.

        Args:
            camera: The source.
        """
        from allweather.runtimes.sinks.jsonl import JsonlSink
        from allweather.runtimes.sinks.video import VideoSink
        from allweather.runtimes.sinks.window import WindowSink

        sinks: list[Sink] = []
        if self.jsonl:
            rotate_bytes = max(1, round(self.jsonl_mb * MEGABYTE)) if self.jsonl_mb else None
            sinks.append(JsonlSink(self.jsonl, source=camera.name, rotate_bytes=rotate_bytes, fsync=self.jsonl_fsync))
        if self.video:
            sinks.append(VideoSink(self.video, lambda: camera.fps or DEFAULT_FPS))
        if self.show:
            sinks.append(WindowSink())
        return sinks

    def _written(self) -> Iterator[Path]:
        """Yields the files that are written."""
        for path in (self.jsonl, self.video):
            if path is None or path == Path(STDOUT):
                continue
            yield path
            if path is self.jsonl and self.jsonl_mb is not None:
                yield path.with_name(path.name + ROTATED)


def _check_not_read(written: Path, bundle: Path, sources: Sequence[str]) -> None:
    """Checks that a file that is written is neither a source nor a part of the bundle."""
    from allweather.runtimes.cameras.image_files.names import is_image_name

    with map_write_errors(written):
        target = Path(os.path.realpath(written))  # Path.resolve() fails for a link to itself
        if target.is_relative_to(os.path.realpath(bundle)):
            raise UsageError(f"{written} is in the bundle, which would be damaged; name another file to write")
        for source in sources:
            # Path.exists() fails for a name that is too long, as a pipeline may be
            if not target.exists() or not os.path.exists(source):  # noqa: PTH110
                continue
            if target.samefile(source) or (is_image_name(target.name) and target.parent.samefile(source)):
                raise UsageError(f"{written} is a source itself; name another file to write")


def _indexed(path: Path, index: int, num_sources: int) -> Path:
    """Returns the file of one of several sources: log.jsonl becomes log-0.jsonl. Stdout and pipes stay one."""
    with map_write_errors(path):  # such as a name that is too long
        if num_sources == 1 or path == Path(STDOUT) or (path.exists() and not path.is_file()):
            return path
    return path.with_name(f"{path.stem}-{index}{path.suffix}")
