"""What the extraction service measures of its work, for Prometheus."""

from __future__ import annotations

from prometheus_client import Gauge, Histogram

from slcolm_services.runtime.metrics import Measures

_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class ExtractionMeasures(Measures):
    """Queue, batches and times."""

    def __init__(self) -> None:
        self.queued_tokens = Gauge(
            "slcolm_extraction_queued_tokens",
            "Tokens, padding included, that wait for a model",
            registry=None,
        )
        self.batch_texts = Histogram(
            "slcolm_extraction_batch_texts",
            "Texts and windows of texts that passed a model together",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256),
            registry=None,
        )
        self.read_seconds = Histogram(
            "slcolm_extraction_read_seconds",
            "Seconds to tokenize the texts of a call",
            buckets=_SECONDS,
            registry=None,
        )
        self.queue_seconds = Histogram(
            "slcolm_extraction_queue_seconds",
            "Seconds from the arrival of a call until its first batch began",
            buckets=_SECONDS,
            registry=None,
        )
        self.run_seconds = Histogram(
            "slcolm_extraction_run_seconds",
            "Seconds that a batch took to pass the model, decoding included",
            buckets=_SECONDS,
            registry=None,
        )
