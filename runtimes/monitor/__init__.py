"""Monitoring: the web page, Prometheus metrics, the health check and systemd."""
