"""Decisions and events as POSTs of JSON to a URL."""

from allweather.runtimes.sinks.webhook.delivery import signature
from allweather.runtimes.sinks.webhook.sink import WebhookSink, check_url

__all__ = ["WebhookSink", "check_url", "signature"]
