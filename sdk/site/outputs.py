"""`RunOutputs`: what is written and shown of the decisions on cameras, checked before anything is opened."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from allweather.runtimes.choices import ROTATED, STDOUT
from allweather.runtimes.errors import UsageError, map_write_errors

if TYPE_CHECKING:
    from allweather.runtimes.cameras.base import Camera
    from allweather.runtimes.sinks.base import Sink

DEFAULT_FPS = 25.0  # of the written video, where the source does not tell its frame rate
MEGABYTE = 10**6
MIN_LOG_MB = 0.01  # of a log: below about 10 decisions, all but the last are lost


@dataclass(frozen=True)
class MqttOutput:
    """An MQTT broker that decisions are sent to; see `MqttSink`.

    Attributes:
        address: Where it is; it may hold a password.
        qos: Quality of service, 0 to 2.
        ca_file: PEM file of the authorities that its certificate is checked by; None for the system's.
        certificate: PEM file of the client's own certificate; None for none.
        key: PEM file of its private key; None if it is in the file of the certificate.
        discovery: Topic below which Home Assistant finds new devices; "" to announce none.
    """

    address: str = field(repr=False)
    qos: int = 1
    ca_file: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    discovery: str = "homeassistant"


@dataclass(frozen=True)
class RunOutputs:
    """What is written and shown of the decisions on a source.

    Attributes:
        jsonl: Log of decisions; "-" for stdout, None for no log.
        jsonl_mb: Megabytes after which a new log is begun; None for a single one.
        jsonl_fsync: Whether each line is on the disk before the next frame is processed.
        video: Annotated video; None for none.
        show: Whether the frames are shown in a window.
        mqtt: MQTT broker; None for none.
        webhook: URL that decisions are posted to; None for none.
        webhook_secret: What the posts are signed with; empty for no signature.
        table: Table of decisions, .csv or .parquet; None for none.
        hard_frames: Folder of frames that were hard to decide on; None for none.
        number: Index of the source among several that are named alike; None for one alone or with a name of its own.
        accepted_only: Whether broker and webhook get accepted decisions alone.
    """

    jsonl: Path | None = None
    jsonl_mb: float | None = None
    jsonl_fsync: bool = False
    video: Path | None = None
    show: bool = False
    mqtt: MqttOutput | None = None
    webhook: str | None = field(default=None, repr=False)  # it may hold a password, as may the next one
    webhook_secret: str = field(default="", repr=False)
    table: Path | None = None
    hard_frames: Path | None = None
    number: int | None = None
    accepted_only: bool = False

    def signed_with(self, secret: str) -> RunOutputs:
        """Returns the same outputs; posts to a webhook that has no secret yet are signed with this one."""
        return replace(self, webhook_secret=self.webhook_secret or secret) if self.webhook else self

    def check(self, bundle: Path, sources: Sequence[str]) -> None:
        """Checks that the options agree, and that nothing that is read would be overwritten.

        Args:
            bundle: Path of the bundle.
            sources: Texts that name the sources.

        Raises:
            UsageError: They do not agree, or a file that is written is a source or a part of the bundle.
            OutputError: A file of an encrypted connection is missing or damaged.
        """
        for path in (*self.files(), *((self.hard_frames,) if self.hard_frames else ())):
            _check_not_read(path, bundle, sources)
        self._check_apart()
        if self.jsonl is None and (self.jsonl_mb is not None or self.jsonl_fsync):
            raise UsageError(
                "--jsonl-mb and --jsonl-fsync are about the file of --jsonl; name one, such as --jsonl log.jsonl"
            )
        if self.jsonl_mb is not None and not MIN_LOG_MB <= self.jsonl_mb < float("inf"):
            raise UsageError(
                f"--jsonl-mb is a number of megabytes, at least {MIN_LOG_MB:g}, as two files are kept; "
                f"got {self.jsonl_mb:g}"
            )
        if self.accepted_only and self.mqtt is None and self.webhook is None:
            raise UsageError("accepted_only is about what is sent; name a broker (mqtt) or a URL (webhook)")
        self._check_receivers()

    def files(self) -> Iterator[Path]:
        """Yields the files that are written, with the one that a full log is renamed to."""
        for path in (self.jsonl, self.video, self.table):
            if path is None or path == Path(STDOUT):
                continue
            yield path
            if path is self.jsonl and self.jsonl_mb is not None:
                yield path.with_name(path.name + ROTATED)

    def for_source(self, index: int, num_sources: int) -> RunOutputs:
        """Returns the outputs of one of several sources: each has files of its own, log-0.jsonl for log.jsonl."""
        if num_sources == 1:
            return self
        jsonl, video, table = (path and _indexed(path, index) for path in (self.jsonl, self.video, self.table))
        return replace(self, jsonl=jsonl, video=video, table=table, number=index)

    def sinks(self, camera: Camera) -> list[Sink]:
        """Makes the sinks. They are opened by the loop of the source.

        Args:
            camera: The source.
        """
        from allweather.runtimes.sinks.accepted_only import AcceptedOnly
        from allweather.runtimes.sinks.jsonl import JsonlSink
        from allweather.runtimes.sinks.table import TableSink
        from allweather.runtimes.sinks.video import VideoSink
        from allweather.runtimes.sinks.window import WindowSink

        sinks: list[Sink] = []
        if self.jsonl:
            rotate_bytes = round(self.jsonl_mb * MEGABYTE) if self.jsonl_mb else None
            sinks.append(JsonlSink(self.jsonl, source=camera.name, rotate_bytes=rotate_bytes, fsync=self.jsonl_fsync))
        if self.video:
            sinks.append(VideoSink(self.video, lambda: camera.fps or DEFAULT_FPS))
        if self.table:
            sinks.append(TableSink(self.table, source=camera.name))
        if self.show:
            sinks.append(WindowSink())
        if self.hard_frames:
            from allweather.runtimes.sinks.hard_frames import HardFramesSink

            sinks.append(HardFramesSink(self.hard_frames, source=camera.name))
        if self.mqtt is not None:
            from allweather.runtimes.sinks.mqtt import MqttSink

            # an index, as two cameras of one topic could not be told apart; their names may differ in a password alone
            name = camera.name if self.number is None else f"{camera.name}-{self.number}"
            to = self.mqtt
            sent = MqttSink(
                to.address, source=name, qos=to.qos, ca_file=to.ca_file, certificate=to.certificate, key=to.key,
                discovery=to.discovery,
            )  # fmt: skip
            sinks.append(AcceptedOnly(sent) if self.accepted_only else sent)
        if self.webhook is not None:
            from allweather.runtimes.sinks.webhook import WebhookSink

            posted = WebhookSink(self.webhook, source=camera.name, secret=self.webhook_secret)
            sinks.append(AcceptedOnly(posted) if self.accepted_only else posted)
        return sinks

    def _check_apart(self) -> None:
        """Checks that no two options write the same file.

        Raises:
            UsageError: Two do.
        """
        written = [("--jsonl", self.jsonl), ("--video", self.video), ("--table", self.table)]
        real: dict[str, str] = {}
        for option, path in written:
            if path is None or path == Path(STDOUT):
                continue
            other = real.setdefault(os.path.realpath(path), option)
            if other != option:
                raise UsageError(f"{other} and {option} both write {path}; name another file for one of them")

    def _check_receivers(self) -> None:
        """Checks where decisions are sent and written to, before minutes are spent on the engine.

        Raises:
            UsageError: One is no address, a file has a wrong suffix, or several sources would publish under one topic.
            OutputError: A file of an encrypted connection is missing or damaged.
        """
        from allweather.runtimes.sinks.mqtt.address import parse_address, tls_context
        from allweather.runtimes.sinks.mqtt.topics import CAMERA, DEFAULT_TOPIC, checked_topic
        from allweather.runtimes.sinks.table.sink import check_suffix

        if self.table is not None:
            check_suffix(self.table)
        if self.video is not None:
            from allweather.runtimes.sinks.video import check_video_suffix

            check_video_suffix(self.video)
        if self.mqtt is not None:
            broker = parse_address(self.mqtt.address)
            tls_context(broker, self.mqtt.ca_file, self.mqtt.certificate, self.mqtt.key)
            topic = checked_topic(broker.topic or DEFAULT_TOPIC)
            if self.mqtt.discovery:
                checked_topic(self.mqtt.discovery)
            if self.number is not None and CAMERA not in topic.split("/"):
                raise UsageError(
                    f"with several sources the topic of --mqtt has a level {CAMERA}, which stands for the camera, such "
                    f"as {topic}/{CAMERA}; got {topic}"
                )
        if self.webhook is not None:
            from allweather.runtimes.sinks.webhook import check_url

            check_url(self.webhook)


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


def _indexed(path: Path, index: int) -> Path:
    """Returns the file of one of several sources: log.jsonl becomes log-0.jsonl. Stdout and pipes stay one."""
    with map_write_errors(path):  # such as a name that is too long
        if path == Path(STDOUT) or (path.exists() and not path.is_file()):
            return path
    return path.with_name(f"{path.stem}-{index}{path.suffix}")
