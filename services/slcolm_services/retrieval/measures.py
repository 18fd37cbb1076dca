"""What the retrieval service measures of its work, for Prometheus."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Counter, Gauge

from slcolm_services.retrieval.records import Manifest
from slcolm_services.runtime.metrics import Measures


class RetrievalMeasures(Measures):
    """Selections, and what there is to select from."""

    def __init__(self) -> None:
        self.queries = Counter(
            "slcolm_retrieval_queries",
            "Texts selected for, by outcome: OK or the reason of the error",
            ["outcome"],
            registry=None,
        )
        self.selected = Counter(
            "slcolm_retrieval_selected",
            "Demonstrations and candidate relations selected",
            ["kind"],
            registry=None,
        )
        self.indexes = Gauge(
            "slcolm_retrieval_indexes",
            "Finished indexes, as this process last saw them: it looks when it starts, and when "
            "it has finished or deleted one",
            registry=None,
        )
        self.sentences = Gauge(
            "slcolm_retrieval_index_sentences",
            "Sentences of these indexes by role: demonstration or training",
            ["role"],
            registry=None,
        )

    def surveyed(self, manifests: Iterable[Manifest]) -> None:
        """Note which indexes there are; those that are not finished are left out."""
        finished = [manifest for manifest in manifests if manifest.finished]
        self.indexes.set(len(finished))
        for role, count in (
            ("demonstration", sum(manifest.demonstration_count for manifest in finished)),
            ("training", sum(manifest.training_count for manifest in finished)),
        ):
            self.sentences.labels(role).set(count)
