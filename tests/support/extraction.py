"""Extraction in this process, as the service does it."""

from __future__ import annotations

from collections.abc import Sequence

from slcolm_services.corpus.documents import Document
from slcolm_services.extraction.engine import Engine
from slcolm_services.extraction.reading import Reading
from slcolm_services.extraction.scheduler import Output, Scheduler


def extract(
    engine: Engine, documents: Sequence[Document], *, batch_tokens: int = 512, workers: int = 1
) -> list[Output]:
    """What is found in each text, or its error."""
    reading = Reading.of(engine, documents)
    with Scheduler(workers=workers, batch_tokens=batch_tokens) as scheduler:
        return reading.joined(scheduler.submit(engine, reading.sentences).result())
