"""What a server measures of itself, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.registry import Collector

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)


class Metrics:
    """Counters, latencies and load of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.calls = Counter(
            "slcolm_calls",
            "Calls that have ended, by method and gRPC status code",
            ["method", "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "slcolm_call_seconds",
            "Seconds from the arrival of a call to its end",
            ["method"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.refused = Counter(
            "slcolm_calls_refused", "Calls refused for overload", registry=self.registry
        )
        self.calls_in_flight = Gauge(
            "slcolm_calls_in_flight", "Admitted calls that have not ended", registry=self.registry
        )
        self.cost_in_flight = Gauge(
            "slcolm_cost_in_flight",
            "Sum of their costs, in the service's own unit",
            registry=self.registry,
        )
        self.dependency_there = Gauge(
            "slcolm_dependency_there",
            "1 for what the service depends on while it is there, 0 while it is not",
            ["dependency"],
            registry=self.registry,
        )

    def serve(self, host: str, port: int) -> tuple[int, Callable[[], None]]:
        """Serve the metrics over HTTP in a thread.

        Args:
            host: Address to listen on.
            port: Port to listen on; 0 takes a free one.

        Returns:
            The port, and what stops the server.

        Raises:
            OSError: The port is taken.
        """
        server, thread = start_http_server(port, host, self.registry)

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, stop


class Measures:
    """What a service measures of itself: its attributes, in no registry of their own.

    A server takes `collectors` into its registry.
    """

    @property
    def collectors(self) -> Sequence[Collector]:
        """All of them."""
        return tuple(vars(self).values())
