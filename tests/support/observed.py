"""A whole system that has worked, with what it shows of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slcolm.coordinator.v1 import coordinator_pb2
from support.annals import Data
from support.metrics import Scraped

PREDICTION = "prediction-of-the-test"
"""Request id of the prediction."""
RUN_TRACE, PREDICTION_TRACE = "a" * 32, "b" * 32
CALLER_SPAN = "c" * 16
"""What the caller's `traceparent` names."""
COLLECTOR_KEY = "a-key-of-the-collector"


@dataclass(frozen=True)
class Observed:
    """A system that has done a run and predicted `predicted` texts with it.

    The collector got its spans; None where OpenTelemetry is not installed.
    """

    home: Path
    data: Data
    run: coordinator_pb2.Run
    predicted: int
    collector: Any = None

    def log(self, role: str) -> list[dict[str, Any]]:
        """The lines of a service's log."""
        text = (self.home / "logs" / f"{role}.log").read_text(encoding="utf-8")
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def metrics(self, role: str) -> Scraped:
        """The metrics of a service."""
        (port,) = (line["metrics_port"] for line in self.log(role) if line["event"] == "listening")
        return Scraped(port)
