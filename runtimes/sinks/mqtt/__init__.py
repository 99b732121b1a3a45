"""Decisions and events as messages to an MQTT broker, such as that of Home Assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from allweather.runtimes.system.lazy_names import lazy_names

if TYPE_CHECKING:
    from allweather.runtimes.sinks.mqtt.sink import MqttSink as MqttSink

_MODULES = {"MqttSink": "sink"}

__all__ = [*sorted(_MODULES)]
__getattr__, __dir__ = lazy_names(__name__, _MODULES)
