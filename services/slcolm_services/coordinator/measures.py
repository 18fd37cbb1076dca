"""What the coordinator measures of its work, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from slcolm_services.runtime.metrics import Measures

_SECONDS = (0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 7200, 14_400, 43_200, 86_400)

CountUnfinished = Callable[[], Mapping[str, int]]
"""Runs that have not ended, by state: queued or running. Raises where they cannot be counted."""


class CoordinatorMeasures(Measures):
    """Runs and their stages.

    Args:
        count_unfinished: Asked whenever the metrics are read, from any thread.
    """

    def __init__(self, count_unfinished: CountUnfinished) -> None:
        self.stages = Counter(
            "slcolm_coordinator_stages",
            "Stages that have ended: done, reused, cancelled or failed",
            ["stage", "outcome"],
            registry=None,
        )
        self.stage_seconds = Histogram(
            "slcolm_coordinator_stage_seconds",
            "Seconds that a stage took, of those that were done",
            ["stage"],
            buckets=_SECONDS,
            registry=None,
        )
        self.runs_ended = Counter(
            "slcolm_coordinator_runs_ended",
            "Runs that have ended: succeeded, failed or cancelled; a resumed one ends again",
            ["state"],
            registry=None,
        )
        self.runs = _Unfinished(count_unfinished)


class _Unfinished(Collector):
    """The database knows: it outlives the process, and several coordinators may share it."""

    def __init__(self, count: CountUnfinished) -> None:
        self._count = count

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """What `collect` yields, without asking."""
        yield GaugeMetricFamily(
            "slcolm_coordinator_runs",
            "Runs that have not ended, of all coordinators of the database: queued or running",
            labels=["state"],
        )

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """Count; nothing where the database cannot be asked, which must not cost the others."""
        (family,) = self.describe()
        try:
            counts = self._count()
        except Exception:  # noqa: BLE001  as said above; calls will tell what is wrong
            return
        for state, count in counts.items():
            family.add_metric([state], count)
        yield family
