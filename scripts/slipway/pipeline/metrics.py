"""What Prometheus is told of the local pipeline's builds, in its text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from slipway.pipeline.builds import FINISHED, Build

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(builds: Iterable[Build]) -> bytes:
    """The metrics of these builds, newest first, as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Builds(list(builds)))
    return generate_latest(registry)


class _Builds(Collector):
    """Gauges that are read off the builds' own records, so that they survive a restart."""

    def __init__(self, builds: list[Build]):
        self.builds = builds

    def collect(self) -> Iterator[GaugeMetricFamily]:
        finished = GaugeMetricFamily(
            "slipway_build_finished_timestamp_seconds",
            "When the newest build with this outcome ended",
            labels=("status",),
        )
        for status in FINISHED:
            newest = next((b for b in self.builds if b.status == status and b.finished), None)
            if newest:
                finished.add_metric([status], _seconds(newest.finished))
        yield finished
        started = GaugeMetricFamily(
            "slipway_build_started_timestamp_seconds", "When the build that runs began; absent if none runs"
        )
        for build in (b for b in self.builds if b.status == "running"):
            started.add_metric([], _seconds(build.started))
        yield started
        queued = sum(b.status == "queued" for b in self.builds)
        yield GaugeMetricFamily("slipway_builds_queued", "Builds that wait", value=queued)


def _seconds(moment: str | None) -> float:
    return datetime.fromisoformat(moment or "").timestamp()
