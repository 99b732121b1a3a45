"""Monitoring of running loops: live preview, health check and systemd; `server` adds the web page and the metrics.

`MonitorServer` is in the module `server` and is not imported here, as only the page needs prometheus_client.
"""

from allweather.runtimes.monitor.health import Health, check_health
from allweather.runtimes.monitor.preview import LivePreview
from allweather.runtimes.monitor.systemd import SystemdNotifier

__all__ = ["Health", "LivePreview", "SystemdNotifier", "check_health"]
