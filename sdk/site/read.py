"""Reads the configuration of `allweather run`, and makes a `Site` of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from allweather.runtimes.cameras.source_text import ENVIRONMENT, FILE, read_indirect, read_source
from allweather.runtimes.errors import UsageError
from allweather.runtimes.region import Region
from allweather.runtimes.system.path_argument import as_path
from allweather.runtimes.text import printable
from allweather.settings_file import read_yaml, validation_error
from allweather.site.config import CameraConfig, MqttConfig, SiteConfig, WebhookConfig
from allweather.site.outputs import MqttOutput, RunOutputs
from allweather.site.site import ModelChoice, Site, SiteCamera, parse_address

WANTED = {  # where the type does not say it
    "cameras.*.regions": "a section of names, such as gate: [x, y, width, height]",
    "cameras.*.regions.*": "four whole numbers: [x, y, width, height]",
}


def read_site(path: Path | str, *, token: str = "", webhook_secret: str = "", again: bool = False) -> Site:
    """Reads a configuration, and checks all of it that can be checked without opening a camera or a bundle.

    Paths in it are relative to the folder in which the program was started.

    Args:
        path: The YAML file.
        token: Token of the page, where the file names none.
        webhook_secret: What posts to webhooks are signed with, where the file names nothing.
        again: Whether it was read before. Then it is a regular file, as a pipe would wait for its writer.

    Raises:
        UsageError: It cannot be read, or something in it is wrong; the message names the key.
    """
    path = as_path(path)
    if again and path.exists() and not path.is_file():
        raise UsageError(
            f"{printable(str(path)[:200])} is no regular file, which alone is read again; name a YAML file"
        )
    site = site_from(read_yaml(path), printable(path.name[:100]))
    for camera in site.cameras:
        for file in camera.outputs.files():
            if file.exists() and path.exists() and file.samefile(path):
                raise UsageError(f"{printable(str(file))} is the configuration itself; name another file to write")
    return replace(
        site,
        token=site.token or token,
        cameras=tuple(
            replace(camera, outputs=camera.outputs.signed_with(webhook_secret)) for camera in site.cameras
        ),
    )  # fmt: skip


def site_from(raw: Mapping[str, Any], name: str) -> Site:
    """Checks the content of a configuration; see `read_site`.

    Args:
        raw: Content of the file.
        name: Name of the file, for messages.

    Raises:
        UsageError: As `read_site`.
    """
    try:
        config = SiteConfig.model_validate(raw)
    except ValidationError as error:
        raise validation_error(error, name, SiteConfig, WANTED) from error
    try:
        return _site(config)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error


def _site(config: SiteConfig) -> Site:
    cameras = tuple(_camera(camera, config) for camera in config.cameras)
    _check_distinct([camera.name for camera in cameras], "two cameras are called {}; each has a name of its own")
    written = [os.path.realpath(each) for camera in cameras for each in camera.outputs.files()]
    _check_distinct(written, "{} is written twice; name a file for each camera")
    topics = [_topic(camera) for camera in cameras if camera.outputs.mqtt]
    _check_distinct(topics, "two cameras publish to {}; give each another topic, or name them apart")
    if config.cores is not None and not config.realtime:
        raise UsageError("cores is about realtime, which is not true")
    for camera in cameras:
        camera.outputs.check(Path(config.bundle), [each.source for each in cameras])
    return Site(
        ModelChoice(config.bundle, config.engine, config.precision, config.threads),
        cameras,
        None if config.serve is None else parse_address(config.serve, "serve"),
        "" if config.token is None else _secret(config.token, "token"),
        config.realtime,
        config.cores,
    )


def _camera(camera: CameraConfig, config: SiteConfig) -> SiteCamera:
    jsonl = camera.jsonl
    outputs = RunOutputs(
        jsonl=None if jsonl is None else Path(jsonl.path),
        jsonl_mb=jsonl.megabytes if jsonl else None,
        jsonl_fsync=bool(jsonl and jsonl.fsync),
        video=_path(camera.video),
        table=_path(camera.table),
        hard_frames=_path(camera.hard_frames),
        mqtt=None if camera.mqtt is None else _mqtt(camera.mqtt),
        webhook=camera.webhook.url if camera.webhook else None,
        webhook_secret=_secret_of(camera.webhook),
        accepted_only=camera.accepted_only,
    )
    try:
        if not camera.name.strip():
            raise UsageError("its name is blank; give it one that can be seen")
        read_source(camera.source)  # a variable or file that is missing is told before the engine is loaded
        return SiteCamera(
            source=camera.source,
            name=printable(camera.name),
            policy=camera.policy or config.policy,
            budget_ms=camera.budget_ms or config.budget_ms,
            region={name: Region(*edges) for name, edges in camera.regions.items()} or None,
            live=camera.live,
            wait=camera.wait,
            outputs=outputs,
            smooth_frames=camera.smooth,
        )
    except UsageError as error:
        raise UsageError(f"camera {printable(camera.name[:64])}: {error}") from error


def _mqtt(config: MqttConfig) -> MqttOutput:
    return MqttOutput(
        config.address,
        config.qos,
        _path(config.ca_file),
        _path(config.certificate),
        _path(config.key),
        config.discovery,
    )


def _topic(camera: SiteCamera) -> str:
    """Returns where a camera publishes: the broker and the topic."""
    from allweather.runtimes.sinks.mqtt.address import parse_address
    from allweather.runtimes.sinks.mqtt.topics import DEFAULT_TOPIC, camera_topic

    assert camera.outputs.mqtt is not None, "there is a broker"
    broker = parse_address(camera.outputs.mqtt.address)
    return f"{broker}/{camera_topic(broker.topic or DEFAULT_TOPIC, camera.name)}"


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _secret_of(webhook: WebhookConfig | None) -> str:
    return _secret(webhook.secret, "secret of the webhook") if webhook and webhook.secret else ""


def _secret(text: str, key: str) -> str:
    """Returns a secret of an environment variable or of a file."""
    if not text.startswith((ENVIRONMENT, FILE)):
        raise UsageError(f"{key} is env:NAME or file:PATH, where the secret itself is; others may read this file")
    return read_indirect(text, key, "it holds one line with the secret")


def _check_distinct(texts: list[str], message: str) -> None:
    for index, text in enumerate(texts):
        if text in texts[:index]:
            raise UsageError(message.format(printable(text[:100])))
