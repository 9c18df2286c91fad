"""The cases, by protocol. Each says by name what is checked; see `harness.bench` for what all have in common."""

from . import browser, datadog, golang, influxdb, otlp, outage, pyroscope, skywalking  # noqa: F401
