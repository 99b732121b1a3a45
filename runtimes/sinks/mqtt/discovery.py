"""MQTT discovery of Home Assistant: messages by which a camera appears there by itself, without configuration.

Written after the format of MQTT discovery that Home Assistant takes; it was not tried with Home Assistant.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any

from allweather.runtimes.sinks.mqtt.topics import availability_topic, event_topic
from allweather.runtimes.text import json_line, shortened, valid_unicode

MAX_NAME_CHARACTERS = 128
HEALTH_STATES = ("clear", "degraded", "blind")
_ATTRIBUTES = "{'confidence': value_json.confidence, 'late': value_json.late, 'reason': value_json.reason, "
_ATTRIBUTES += "'views': value_json.views}"
_OTHER = re.compile(r"[^a-zA-Z0-9_-]+")  # what no id of Home Assistant may hold


@dataclass(frozen=True)
class Discovery:
    """What Home Assistant is told about one camera.

    Attributes:
        prefix: Topic below which Home Assistant looks for such messages.
        base: Topic below which the messages of the camera are.
        source: Name of the camera.
    """

    prefix: str
    base: str
    source: str

    def label(self, topic: str, region_name: str = "") -> tuple[str, bytes]:
        """Returns topic and message of a sensor whose value is the label of the newest decision.

        Its confidence, `late`, `reason` and `views` are attributes.

        Args:
            topic: Topic of the decisions.
            region_name: Name of the region that it is about; empty for the whole frame.
        """
        config = {
            "name": _shown(region_name) if region_name else "Label",
            "state_topic": topic,
            "value_template": "{{ value_json.label[:255] }}",  # a value is not longer there
            "json_attributes_topic": topic,
            "json_attributes_template": f"{{{{ {_ATTRIBUTES} | tojson }}}}",
            "icon": "mdi:eye",
        }
        return self._message("sensor", f"label_{_id(region_name)}" if region_name else "label", config)

    def connection(self) -> tuple[str, bytes]:
        """Returns topic and message of a binary sensor that says whether the frames of the camera come."""
        topic = event_topic(self.base, "connection")
        config = {
            "name": "Camera",
            "state_topic": topic,
            "value_template": "{{ 'ON' if value_json.state == 'live' else 'OFF' }}",
            "json_attributes_topic": topic,
            "device_class": "connectivity",
            "entity_category": "diagnostic",
        }
        return self._message("binary_sensor", "connection", config)

    def health(self) -> tuple[str, bytes]:
        """Returns topic and message of a sensor that says whether the camera sees well."""
        topic = event_topic(self.base, "health")
        config = {
            "name": "Health",
            "state_topic": topic,
            "value_template": "{{ value_json.state }}",
            "json_attributes_topic": topic,
            "device_class": "enum",
            "options": list(HEALTH_STATES),
            "entity_category": "diagnostic",
        }
        return self._message("sensor", "health", config)

    def _message(self, component: str, entity: str, config: dict[str, Any]) -> tuple[str, bytes]:
        device = f"allweather_{_id(self.base)}"
        common = {
            "unique_id": f"{device}_{entity}",
            "availability_topic": availability_topic(self.base),
            "device": {"identifiers": [device], "name": _shown(self.source), "manufacturer": "allweather"},
            "origin": {"name": "allweather"},
        }
        return f"{self.prefix}/{component}/{device}/{entity}/config", json_line({**config, **common}).encode()


def _id(name: str) -> str:
    """Returns a name in letters of an id; with a hash of the name, so that two names never become the same id."""
    digest = hashlib.sha256(name.encode("utf-8", "backslashreplace")).hexdigest()
    return f"{_OTHER.sub('_', name).strip('_')[:48]}_{digest[:8]}"


def _shown(name: str) -> str:
    return shortened(valid_unicode(name), MAX_NAME_CHARACTERS)
