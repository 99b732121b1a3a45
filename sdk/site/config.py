"""The configuration of `allweather run`: every key with its type, its default and what it means.

The table of keys in docs/how-to/configuration-file.md is made of the descriptions here, as is the schema of
`allweather config`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from allweather.runtimes.choices import MAX_THREADS, Precision
from allweather.settings_file.section import Section, Text
from allweather.site.outputs import MIN_LOG_MB

Core = Annotated[int, Field(ge=0)]
Milliseconds = Annotated[float, Field(gt=0)]
Edges = Annotated[tuple[int, int, int, int], Field(strict=False)]


def _whole(value: Any) -> Any:
    """Refuses what Python takes for a whole number that is equal: True and 1.0."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise PydanticCustomError("int_type", "a whole number is wanted")
    return value


class JsonlConfig(Section):
    """A log of decisions as lines of JSON."""

    path: Text = Field(description="The file, which is continued; a pipe; or - for stdout.")
    megabytes: float | None = Field(
        default=None,
        ge=MIN_LOG_MB,
        description="Size after which a new file is begun; the one before is kept as FILE.1.",
    )
    fsync: bool = Field(default=False, description="Whether each line is on the disk before the next frame is taken.")


class MqttConfig(Section):
    """An MQTT broker that decisions and events are sent to."""

    address: Text = Field(
        description="mqtt://HOST, with USER:PASSWORD@ before HOST, and :PORT and /TOPIC after it, if needed; mqtts:// "
        "for TLS; or env:NAME or file:PATH of it."
    )
    qos: Annotated[Literal[0, 1, 2], BeforeValidator(_whole)] = Field(
        default=1, description="0: a message may be lost with the connection; 1: it may come twice; 2: it comes once."
    )
    ca_file: Text | None = Field(
        default=None, description="PEM file of the authorities that check the broker; the system's if empty."
    )
    certificate: Text | None = Field(default=None, description="PEM file of the client's own certificate.")
    key: Text | None = Field(default=None, description="PEM file of its key; in the file of the certificate if empty.")
    discovery: str = Field(
        default="homeassistant", description='Topic in which Home Assistant finds new devices; "" announces none.'
    )


class WebhookConfig(Section):
    """A URL that decisions and events are posted to."""

    url: Text = Field(description="http:// or https:// URL; or env:NAME or file:PATH of it.")
    secret: Text | None = Field(
        default=None, description="What the posts are signed with: env:NAME or file:PATH of it; unsigned if empty."
    )


class CameraConfig(Section):
    """One camera."""

    name: Text = Field(description="Name of the camera in logs, metrics and on the page; each has its own.")
    source: Text = Field(
        description="Device number, video, folder, URL or GStreamer pipeline; or env:NAME or file:PATH of one."
    )
    policy: Text | None = Field(default=None, description="Policy of this camera; that of the site if empty.")
    budget_ms: Milliseconds | None = Field(
        default=None, description="Milliseconds from capture to decision; those of the site if empty."
    )
    regions: dict[Text, Edges] = Field(
        default={}, description="Parts of the frame to decide on, NAME: [x, y, width, height]; all of it if empty."
    )
    smooth: float | None = Field(
        default=None,
        ge=2,
        description="About how many frames an object stays, over which its decisions are combined; each frame is taken "
        "by itself if empty.",
    )
    live: bool = Field(default=False, description="Whether a file is played at its own speed, as a camera would.")
    wait: float | None = Field(
        default=None, gt=0, description="Seconds without a frame after which the program fails; it waits if empty."
    )
    jsonl: JsonlConfig | None = Field(default=None, description="Log of decisions as lines of JSON.")
    table: Text | None = Field(default=None, description="Table of decisions to write: .csv or .parquet.")
    video: Text | None = Field(default=None, description="Annotated video to write: .mp4, .avi or .webm.")
    hard_frames: Text | None = Field(
        default=None, description="Folder for frames that were hard to decide on, for labelling; cameras may share it."
    )
    mqtt: MqttConfig | None = Field(default=None, description="MQTT broker that decisions and events are sent to.")
    webhook: WebhookConfig | None = Field(default=None, description="URL that decisions and events are posted to.")
    accepted_only: bool = Field(
        default=False,
        description="Whether broker and URL get accepted decisions alone, for which the policy needs a threshold "
        "(tune-policy --risk).",
    )


class SiteConfig(Section):
    """The configuration of `allweather run`."""

    bundle: Text = Field(description="The bundle: a folder or a .zip file.")
    engine: Text | None = Field(default=None, description="Engine, such as openvino; the fastest here if empty.")
    precision: Precision | None = Field(
        default=None, description="Precision of the classifier; the one that the bundle prefers if empty."
    )
    threads: int | None = Field(
        default=None, ge=1, le=MAX_THREADS, description="Threads of the engine; all cores if empty."
    )
    policy: Text | None = Field(default=None, description="Policy of all cameras; the bundle's own if empty.")
    budget_ms: Milliseconds | None = Field(
        default=None, description="Milliseconds from capture to decision on all cameras; no deadline if empty."
    )
    realtime: bool = Field(default=False, description="Whether memory is locked and the loops have real-time priority.")
    cores: Annotated[tuple[Core, ...], Field(strict=False, min_length=1)] | None = Field(
        default=None, description="Cores of capture, loops and engine in real time; all of them if empty."
    )
    serve: Text | None = Field(default=None, description="[HOST:]PORT of the page; there is none if empty.")
    token: Text | None = Field(
        default=None, description="Token that viewers of the page must send: env:NAME or file:PATH of it."
    )
    cameras: Annotated[tuple[CameraConfig, ...], Field(strict=False, min_length=1)] = Field(
        description="The cameras; all of them share the bundle."
    )
