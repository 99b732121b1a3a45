"""Addresses, topics and the announcement to Home Assistant: names of any kind become what brokers take."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allweather.runtimes.errors import UsageError
from allweather.runtimes.redaction import redacted_addresses
from allweather.runtimes.sinks.mqtt import MqttSink
from allweather.runtimes.sinks.mqtt.address import FORM, MqttAddress, parse_address
from allweather.runtimes.sinks.mqtt.discovery import Discovery
from allweather.runtimes.sinks.mqtt.topics import (
    MAX_LEVEL_CHARACTERS,
    MAX_REGIONS,
    DecisionTopics,
    camera_topic,
    topic_level,
)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://broker", MqttAddress("broker", 1883, False)),
        ("mqtts://broker/a/b/", MqttAddress("broker", 8883, True, "a/b")),
        ("mqtt://me:p%40ss@10.0.0.2:99/CAMERA", MqttAddress("10.0.0.2", 99, False, "CAMERA", "me", "p@ss")),
        ("mqtt://[::1]:99", MqttAddress("::1", 99, False)),
    ],
)
def test_addresses(text: str, address: MqttAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "", "broker", "http://broker", "mqtt://", "mqtt://:1883", "mqtt://a b", "mqtt://host:0", "mqtt://host:x",
        "mqtt://host:99999", "mqtt://host?qos=1", "mqtt://host/a/#", "mqtt://me:s3cret@ho st/", "mqtt://me:s3cret@[::1",
    ],
)  # fmt: skip
def test_what_is_no_address_is_told_without_its_password(text: str) -> None:
    with pytest.raises(UsageError, match=r"^the address of an MQTT broker is mqtt://HOST") as told:
        parse_address(text)
    assert "s3cret" not in str(told.value)
    assert redacted_addresses(FORM) == FORM  # it is no address with a password, and is shown


def test_secrets_come_from_the_environment_or_a_file_and_are_in_no_text(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("s3cret\n")
    environment = {"BROKER": "mqtts://me@broker/site"}
    address = parse_address("env:BROKER", password=f"file:{tmp_path / 'password'}", environment=environment)
    assert (address.user, address.password, address.topic) == ("me", "s3cret", "site")
    assert str(address) == "mqtts://broker:8883"
    assert "s3cret" not in repr(address)
    with pytest.raises(
        UsageError, match=r"^the environment variable GONE of the address of the broker env:GONE is not"
    ):
        parse_address("env:GONE", environment={})
    with pytest.raises(UsageError, match="MQTT has no password without the name of a user"):
        parse_address("mqtt://broker", password="s3cret")  # noqa: S106 -- no secret


@given(st.text(st.characters()))
def test_any_name_is_one_level_of_a_topic(name: str) -> None:
    level = topic_level(name)
    assert re.fullmatch(r"[\w.-]+", level)
    assert len(level.encode()) <= 4 * MAX_LEVEL_CHARACTERS
    assert topic_level(level) == level
    assert camera_topic("a/CAMERA/b", name) == f"a/{level}/b"


def test_two_regions_never_share_a_topic(caplog: pytest.LogCaptureFixture) -> None:
    topics = DecisionTopics("allweather/front")
    names = ["", "lane +", "lane -", "lane", "\N{AUTOMOBILE}", "\N{BUS}", "region"]
    found = [topics.of(name) for name in names]
    assert len(set(found)) == len(names)
    assert found[:2] == ["allweather/front/decision", "allweather/front/decision/lane"]
    assert [topics.of(name) for name in reversed(names)] == found[::-1]
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 4
    assert told[0].startswith("the regions 'lane +' and 'lane -' have the same name in topics of MQTT")
    for number in range(2 * MAX_REGIONS):
        topics.of(f"object {number}")
    assert topics.of("object.") == topics.of("object/") == "allweather/front/decision/object"  # no more are kept


@given(st.text(st.characters(exclude_characters="+#/")), st.text(st.characters()))
@pytest.mark.slow
def test_any_name_can_be_announced(source: str, region: str) -> None:
    found = Discovery("homeassistant", camera_topic("allweather/CAMERA", source), source)
    labels = [found.label(DecisionTopics(found.base).of(name), name) for name in ("", region)]
    messages = [*labels, found.connection(), found.health()]
    for topic, payload in messages:
        assert re.fullmatch(r"homeassistant/(sensor|binary_sensor)/[\w-]+/[\w-]+/config", topic, re.ASCII)
        config = json.loads(payload)
        assert re.fullmatch(r"[\w-]+", config["unique_id"], re.ASCII)
        assert config["availability_topic"].endswith("/availability")
    ids = {json.loads(payload)["unique_id"] for _, payload in messages}
    assert len(ids) == 4 if region else 3


@pytest.mark.parametrize("topic", ["", "/", "a/+/b", "#", "$SYS/a", "a//b", "a\0b", "a\nb", "a" * 2000])
def test_what_is_no_topic_is_told(topic: str) -> None:
    told = "an MQTT topic has levels with / between them, such as allweather/CAMERA"
    with pytest.raises(UsageError, match=told):
        camera_topic(topic, "front")
    if topic:  # "" announces nothing
        with pytest.raises(UsageError, match=told):
            MqttSink("mqtt://host", discovery=topic)


@pytest.mark.parametrize("setting", ["user", "password"])
def test_a_login_that_no_message_can_hold_is_told(setting: str) -> None:
    with pytest.raises(UsageError, match=f"^the {setting} of the broker is not text in UTF-8"):
        MqttSink("mqtt://host", **{"user": "me", setting: "s\udcff"})


@pytest.mark.parametrize(("setting", "value"), [("qos", 3), ("qos", "1"), ("max_waiting", 0)])
def test_settings_out_of_range_are_told(setting: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"{'qos' if setting == 'qos' else setting}.*got {value!r}"):
        MqttSink("mqtt://host", **{setting: value})  # type: ignore[arg-type]


def test_percent_signs_that_are_no_text_are_told_without_the_password() -> None:
    with pytest.raises(UsageError, match=r"^the percent signs in the password of the broker .* as %25$"):
        parse_address("mqtt://user:s3cret%ff@broker")
    with pytest.raises(UsageError, match="the percent signs in the topic"):
        parse_address("mqtt://broker/a%ff")
