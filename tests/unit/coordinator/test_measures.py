"""Runs that have not ended, as they are counted when the metrics are read."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest

from slcolm_services.coordinator.measures import CoordinatorMeasures, CountUnfinished


def page(count: CountUnfinished) -> str:
    registry = CollectorRegistry()
    for collector in CoordinatorMeasures(count).collectors:
        registry.register(collector)
    return generate_latest(registry).decode()


def test_they_are_counted_anew_each_time() -> None:
    counts = [{"queued": 2, "running": 1}, {"queued": 0, "running": 3}]
    shown = [page(lambda counts=each: counts) for each in counts]  # type: ignore[misc]

    assert 'slcolm_coordinator_runs{state="queued"} 2.0' in shown[0]
    assert 'slcolm_coordinator_runs{state="running"} 3.0' in shown[1]


def test_a_database_that_cannot_be_asked_costs_no_other_metric() -> None:
    def unreachable() -> Mapping[str, int]:
        raise ConnectionError

    text = page(unreachable)

    assert "slcolm_coordinator_runs{" not in text
    assert "slcolm_coordinator_stage_seconds" in text
