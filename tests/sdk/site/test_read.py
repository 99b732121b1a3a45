"""Reading the configuration of `allweather run`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from key_tables import key_table

from allweather.runtimes.errors import UsageError
from allweather.runtimes.region import Region
from allweather.settings_file.yaml_file import parse_yaml
from allweather.site.config import SiteConfig
from allweather.site.read import read_site, site_from

GUIDE = Path(__file__).parents[3] / "docs" / "how-to" / "configuration-file.md"

FULL = """
bundle: my.aw
engine: onnx
precision: int8
threads: 1
policy: top:2
budget_ms: 33
serve: 0.0.0.0:8080
token: env:SITE_TOKEN
cameras:
  - name: front
    source: rtsp://me:hunter2@front/1
    budget_ms: 20.5
    regions:
      gate: [0, 10, 200, 100]
      door: [300, 10, 100, 100]
    jsonl: {path: front.jsonl, megabytes: 100, fsync: true}
  - name: yard
    source: "0"
    policy: hflip
    wait: 30
    live: true
    video: yard.mp4
    table: yard.csv
    hard_frames: hard
    mqtt: {address: "mqtts://me:hunter2@broker/cams/yard", qos: 2, ca_file: ca.pem, discovery: ""}
    webhook: {url: "https://host/hook", secret: env:SITE_TOKEN}
"""


def test_a_camera_has_the_settings_of_the_site_unless_it_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SITE_TOKEN", "s3cret")
    monkeypatch.setattr("allweather.runtimes.sinks.mqtt.address.tls_context", lambda *_: None)  # there is no ca.pem
    path = tmp_path / "site.yaml"
    path.write_text(FULL)
    site = read_site(path)
    front, yard = site.cameras
    assert (site.models.bundle, site.models.engine, site.models.precision, site.models.threads) == (
        "my.aw", "onnx", "int8", 1,
    )  # fmt: skip
    assert (site.address, site.token) == (("0.0.0.0", 8080), "s3cret")  # noqa: S104 -- an address to listen on
    assert (front.policy, front.budget_ms) == ("top:2", 20.5)
    assert front.region == {"gate": Region(0, 10, 200, 100), "door": Region(300, 10, 100, 100)}
    assert (front.outputs.jsonl, front.outputs.jsonl_mb, front.outputs.jsonl_fsync) == (Path("front.jsonl"), 100, True)
    assert (yard.source, yard.policy, yard.budget_ms, yard.region, yard.wait, yard.live) == (
        "0", "hflip", 33, None, 30, True,
    )  # fmt: skip
    outputs = yard.outputs
    assert (outputs.video, outputs.table, outputs.hard_frames) == (Path("yard.mp4"), Path("yard.csv"), Path("hard"))
    assert outputs.mqtt is not None
    assert (outputs.mqtt.qos, outputs.mqtt.ca_file, outputs.mqtt.discovery) == (2, Path("ca.pem"), "")
    assert (outputs.webhook, outputs.webhook_secret) == ("https://host/hook", "s3cret")
    assert "hunter2" not in repr(site)
    assert "s3cret" not in repr(outputs)


SMALL: dict[str, Any] = {"bundle": "my.aw", "cameras": [{"name": "front", "source": "0"}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"budget": 3}, "no key is called 'budget'; did you mean budget_ms"),
        ({"budget_ms": "33"}, "budget_ms must be a number; got the text '33'"),
        ({"budget_ms": 0}, "budget_ms must be above 0"),
        ({"threads": 0}, "threads must be at least 1; got 0"),
        ({"threads": 10**12}, "threads must be at most 2147483647"),
        ({"realtime": True, "cores": []}, "cores must be a list of at least 1"),
        ({"realtime": True, "cores": [0, -1]}, "cores.1 must be at least 0; got -1"),
        ({"cameras": []}, "cameras must be a list of at least 1; got a list"),
        ({"cameras": None}, "cameras must be a list"),
        ({"cameras": [{"name": "a"}]}, "cameras.0.source is missing; add it: Device number"),
        ({"cameras": [{"name": "a", "source": 0}]}, 'cameras.0.source must be text; got 0: write it in quotes, as "0"'),
        ({"serve": 8080}, 'serve must be text; got 8080: write it in quotes, as "8080"'),
        ({"cameras": [{"name": "a", "source": "0", "wiat": 3}]}, "no key of cameras.0 is called 'wiat'; did you mean"),
        ({"cameras": [{"name": "", "source": "0"}]}, "cameras.0.name must be text that is not empty"),
        (
            {"cameras": [{"name": "a", "source": "0", "regions": {"g": [1, 2, 3]}}]},
            "cameras.0.regions.g must be four whole numbers",
        ),
        (
            {"cameras": [{"name": "a", "source": "0", "regions": {"g": [1, 2, 0, 3]}}]},
            "camera a: a region is x,y,width,height",
        ),
        ({"cameras": [{"name": "a", "source": "0"}, {"name": "a", "source": "1"}]}, "two cameras are called a"),
        (
            {
                "cameras": [
                    {"name": "a", "source": "0", "jsonl": {"path": "x.jsonl"}},
                    {"name": "b", "source": "1", "jsonl": {"path": "./x.jsonl"}},
                ]
            },
            "x.jsonl is written twice",
        ),
        ({"cameras": [{"name": "a", "source": "0", "video": "my.aw/x.mp4"}]}, "is in the bundle"),
        ({"serve": "99999"}, "serve is .HOST:.PORT"),
        (
            {"cameras": [{"name": "a", "source": "0", "webhook": {"url": "ftp://me:hunter2@host"}}]},
            "http",
        ),
        (
            {"cameras": [{"name": "a", "source": "0", "webhook": {"url": "http://host", "secret": "hunter2"}}]},
            "secret of the webhook is env:NAME or file:PATH",
        ),
        ({"cameras": [{"name": "a", "source": "0", "mqtt": {"address": "http://host"}}]}, "mqtt://"),
        (
            {"cameras": [{"name": "a", "source": "0", "mqtt": {"address": "mqtt://h", "qos": 3}}]},
            "qos must be 0, 1 or 2",
        ),
        (
            {"cameras": [{"name": "a", "source": "0", "mqtt": {"address": "mqtt://h", "qos": True}}]},
            "qos must be a whole number",
        ),
        (
            {
                "cameras": [
                    {"name": "a", "source": "0", "mqtt": {"address": "mqtt://broker/cams"}},
                    {"name": "b", "source": "1", "mqtt": {"address": "mqtt://broker:1883/cams"}},
                ]
            },
            "two cameras publish to mqtt://broker:1883/cams; give each another topic",
        ),
        (
            {"cameras": [{"name": "a", "source": "0", "mqtt": {"address": "mqtt://h", "discovery": "a/#"}}]},
            "no . or # and no",
        ),
        (
            {"cameras": [{"name": "a", "source": "0", "mqtt": {"address": "mqtt://h", "ca_file": "x.pem"}}]},
            "ca_file, certificate and key are for an encrypted connection",
        ),
        (
            {
                "cameras": [
                    {
                        "name": "a",
                        "source": "0",
                        "regions": {"+": [0, 0, 9, 9], "#": [0, 0, 9, 9]},
                        "mqtt": {"address": "mqtt://h"},
                    }
                ]
            },
            "the regions '.' and '.' would be published to one topic",
        ),
        (
            {
                "cameras": [
                    {"name": "a", "source": "0", "jsonl": {"path": "x.jsonl", "megabytes": 1}},
                    {"name": "b", "source": "1", "jsonl": {"path": "x.jsonl.1"}},
                ]
            },
            "x.jsonl.1 is written twice",
        ),
        (
            {"cameras": [{"name": "a", "source": "0", "jsonl": {"path": "x.jsonl", "megabytes": 1e-9}}]},
            "megabytes must be at least 0.01",
        ),
        ({"cameras": [{"name": " ", "source": "0"}]}, "its name is blank"),
        ({"cameras": [{"name": "a\a", "source": "0"}, {"name": "a\b", "source": "1"}]}, "two cameras are called a"),
        ({"cameras": [{"name": "a", "source": "env:NOT_SET"}]}, "camera a: the environment variable NOT_SET"),
        ({"cameras": [{"name": "a", "source": "0", "regions": {"7": [1, 2, 3]}}]}, "regions.7 must be four whole"),
        (
            {"cameras": [{"name": "a", "source": "0", "regions": [0, 0, 9, 9]}]},
            r"regions must be a section of names, such as gate: \[x, y, width, height\]; got a list",
        ),
        ({"cameras": [{"name": "a", "source": "0", "video": "x.txt"}]}, "a video is written as"),
        ({"cameras": [{"name": "a", "source": "0", "table": "x.txt"}]}, "csv"),
        ({"token": "hunter2"}, "token is env:NAME or file:PATH, where the secret itself is"),
        ({"token": "env:NOT_SET"}, "NOT_SET"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"site.yaml.*{message}") as caught:
        site_from({**SMALL, **change}, "site.yaml")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_is_written_is_not_the_configuration_itself(tmp_path: Path) -> None:
    path, link = tmp_path / "site.yaml", tmp_path / "log.jsonl"
    link.symlink_to(path)
    path.write_text(json.dumps({**SMALL, "cameras": [{"name": "a", "source": "0", "jsonl": {"path": str(link)}}]}))
    with pytest.raises(UsageError, match="is the configuration itself"):
        read_site(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
KEYS = st.sampled_from(["bundle", "engine", "precision", "threads", "policy", "budget_ms", "serve", "token", "cameras"])
CAMERA_KEYS = st.sampled_from(["name", "source", "policy", "budget_ms", "regions", "live", "wait", "jsonl", "video"])
CAMERAS = st.lists(st.dictionaries(CAMERA_KEYS | st.text(max_size=5), VALUES, max_size=6), max_size=3)


@given(st.dictionaries(KEYS | st.text(max_size=8), VALUES | CAMERAS, max_size=9))
@settings(max_examples=300)
@pytest.mark.slow
def test_any_content_is_a_site_or_a_line(raw: dict[str, Any]) -> None:
    told = ""
    try:
        site_from({**SMALL, **raw}, "site.yaml")
    except UsageError as error:
        told = str(error)
    assert "\n" not in told
    assert len(told) < 1000


def test_secrets_of_the_command_line_count_where_the_file_has_none(tmp_path: Path) -> None:
    file, secret = tmp_path / "site.yaml", tmp_path / "secret"
    secret.write_text("of the file")
    hook = "source: '0', webhook: {url: 'http://hook.example'"
    file.write_text(
        f"bundle: my.aw\ncameras:\n  - {{name: a, {hook}}}}}\n  - {{name: b, {hook}, secret: 'file:{secret}'}}}}\n"
        "  - {name: c, source: '1'}\n"
    )
    line, written = "of the line", "of the file"
    site = read_site(file, token=line, webhook_secret=line)
    assert site.token == line
    assert [camera.outputs.webhook_secret for camera in site.cameras] == [line, written, ""]
    file.write_text(f"bundle: my.aw\ntoken: 'file:{secret}'\ncameras: [{{name: a, source: '0'}}]")
    assert read_site(file, token=line).token == written


def test_a_pipe_is_not_read_again(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "site.yaml")  # with nobody who writes, for whom the program would wait for ever
    with pytest.raises(UsageError, match=r"site.yaml is no regular file, which alone is read again; name a YAML file"):
        read_site(tmp_path / "site.yaml", again=True)
    with pytest.raises(UsageError, match="No such file"):
        read_site(tmp_path / "gone.yaml", again=True)


def test_the_guide_lists_every_key_as_it_is() -> None:
    expected = key_table(SiteConfig)
    assert expected in GUIDE.read_text(), f"docs/how-to/configuration-file.md should have:\n\n{expected}\n"


def test_the_sample_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLWEATHER_TOKEN", "s3cret")
    monkeypatch.setenv("FRONT_CAMERA", "rtsp://front/1")
    sample = GUIDE.parents[2] / "samples" / "deploy" / "site.yaml"
    site = site_from(parse_yaml(sample.read_bytes(), "site.yaml"), "site.yaml")
    assert [camera.name for camera in site.cameras] == ["front", "yard"]
