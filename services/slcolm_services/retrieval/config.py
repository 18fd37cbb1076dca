"""Settings of the retrieval service."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret

# A URL may hold a password.
_EMBEDDED = Secret("")


@dataclass(frozen=True, slots=True)
class TriggerConfig:
    """How trigger words are mined; chosen on ChisRE dev (`benchmarks/retrieval.py`).

    Attributes:
        max_length: Longest n-gram, in tokens.
        window_tokens: Tokens before the first and after the last mention of a relation that count
            as near it.
        min_support: Sentences in which a trigger must stand near its type, rare types included: a
            word seen once raises no recall.
        min_log_likelihood_ratio: Least association; 10.83 is p < 0.001 with one degree of freedom.
        prior_weight: Pseudo-sentences that smooth a trigger's probability.
    """

    max_length: int = 4
    window_tokens: int = 10
    min_support: int = 2
    min_log_likelihood_ratio: float = 10.83
    prior_weight: float = 2.0


@dataclass(frozen=True)
class RetrievalConfig:
    """Settings of the retrieval service.

    Attributes:
        folder: Folder of the embedded Qdrant, used where `qdrant_url` is empty. It belongs to one
            process at a time, and holds pickles: open no folder that others can write to.
        qdrant_url: URL of a Qdrant server, 1.16 or later; empty means the embedded one.
        qdrant_api_key_env: Environment variable with the server's API key; may be unset.
        qdrant_timeout_seconds: Limit of one request to the server.
        qdrant_connections: Requests to the server at the same time. The embedded Qdrant is used by
            one thread only.
        rrf_k: Constant of reciprocal rank fusion: the sentence at rank r of a search, counted from
            0, gets 1 / (rrf_k + r) from it. Qdrant's own default is 2.
        prefetch_limit: Sentences that the dense and the sparse search each bring to the fusion.
        max_sentences: Most sentences of one `IndexDemonstrations`.
        max_queries: Most queries of one `Select`.
        max_demonstrations: Most demonstrations of one query.
        max_neighbours: Most similar training sentences of one query.
        max_text_characters: Longest text of a query or a sentence.
    """

    folder: Path = Path("slcolm-home/index")
    qdrant_url: Secret = _EMBEDDED
    qdrant_api_key_env: str = "QDRANT_API_KEY"
    qdrant_timeout_seconds: int = 30
    qdrant_connections: int = 8
    rrf_k: int = 60
    prefetch_limit: int = 100
    max_sentences: int = 512
    max_queries: int = 128
    max_demonstrations: int = 64
    max_neighbours: int = 100
    max_text_characters: int = 1_000_000

    def __post_init__(self) -> None:
        violations = [
            FieldViolation(name, f"must be at least 1, got {getattr(self, name)}")
            for name in (
                "qdrant_timeout_seconds",
                "qdrant_connections",
                "rrf_k",
                "prefetch_limit",
                "max_sentences",
                "max_queries",
                "max_demonstrations",
                "max_neighbours",
                "max_text_characters",
            )
            if getattr(self, name) < 1
        ]
        if violations:
            raise ConfigInvalid("the retrieval settings cannot be used", violations=violations)
