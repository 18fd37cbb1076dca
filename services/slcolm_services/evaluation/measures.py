"""What the evaluation service measures of its work, for Prometheus."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from prometheus_client import Counter

from slcolm_services.corpus.documents import Triple
from slcolm_services.runtime.metrics import Measures


class EvaluationMeasures(Measures):
    """What merging does, and which policies are fitted."""

    def __init__(self) -> None:
        self.sentences = Counter(
            "slcolm_evaluation_merged_sentences",
            "Sentences merged, by outcome: OK or the reason of the error",
            ["outcome"],
            registry=None,
        )
        self.triples = Counter(
            "slcolm_evaluation_merged_triples",
            "Triples of the SLM that were kept or removed, and those that LLMs added",
            ["outcome"],
            registry=None,
        )
        self.policies = Counter(
            "slcolm_evaluation_policies_fitted",
            "Policies fitted, by the mode that was chosen",
            ["mode"],
            registry=None,
        )

    def merged(self, slm: AbstractSet[Triple], final: AbstractSet[Triple]) -> None:
        """Count a sentence: the SLM's triples, and those that it ended with."""
        self.sentences.labels("OK").inc()
        self.triples.labels("kept").inc(len(slm & final))
        self.triples.labels("removed").inc(len(slm - final))
        self.triples.labels("added").inc(len(final - slm))
