"""Configuration of the coordinator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret

# It may hold a password.
_DATABASE_URL = Secret("sqlite:///slcolm-home/runs.sqlite")


@dataclass(frozen=True)
class CoordinatorConfig:
    """Where the other services are, where state lives, and how much is done at once.

    Attributes:
        extraction_address: `host:port` or any gRPC target of the extraction service.
        retrieval_address: Likewise, retrieval.
        guidance_address: Likewise, guidance.
        evaluation_address: Likewise, evaluation.
        training_address: Likewise, training.
        peer_tls: Call them with TLS; used too where one of the next three is given.
        peer_ca: PEM file of the authorities that their certificates must come from.
        peer_certificate: PEM file of the coordinator's own certificate, where they ask for one.
        peer_key: PEM file of its private key.
        peer_token: Bearer token that they know the coordinator by.
        peer_token_file: File that holds it; read for every call, so it may be replaced.
        peer_token_over_plaintext: Send the token to other machines without TLS too.
        store: Artifact store: a folder or any fsspec URL. Shared with training and extraction.
        database_url: SQLAlchemy URL of the run database (SQLite or PostgreSQL).
        max_concurrent_runs: Runs that this process works on at once; more wait in the queue.
        call_timeout_seconds: Deadline of a call to another service.
        train_timeout_seconds: Deadline of a whole training.
        batch_documents: Documents per extraction, retrieval or evaluation call.
        guide_batch_documents: Documents per guidance call.
        guide_calls_in_flight: Guidance calls at once; one where a budget is to be spent in order.
        submit_documents: Documents per batch of a provider.
        batch_poll_seconds: How often a provider's batch is asked about.
        max_dataset_bytes: Largest data set that is accepted.
        max_predict_documents: Most texts in one `Predict`.
        watch_poll_seconds: How often a watched run is looked at.
    """

    extraction_address: str = "127.0.0.1:50051"
    retrieval_address: str = "127.0.0.1:50052"
    guidance_address: str = "127.0.0.1:50053"
    evaluation_address: str = "127.0.0.1:50054"
    training_address: str = "127.0.0.1:50055"
    peer_tls: bool = False
    peer_ca: Path | None = None
    peer_certificate: Path | None = None
    peer_key: Path | None = None
    peer_token: Secret | None = None
    peer_token_file: Path | None = None
    peer_token_over_plaintext: bool = False
    store: str = "slcolm-home/store"
    database_url: Secret = _DATABASE_URL
    max_concurrent_runs: int = 1
    call_timeout_seconds: float = 300.0
    train_timeout_seconds: float = 86_400.0
    batch_documents: int = 32
    guide_batch_documents: int = 8
    guide_calls_in_flight: int = 4
    submit_documents: int = 2000
    batch_poll_seconds: float = 30.0
    max_dataset_bytes: int = 512 * 1024 * 1024
    max_predict_documents: int = 64
    watch_poll_seconds: float = 0.3

    def __post_init__(self) -> None:
        if self.peer_token is not None and self.peer_token_file is not None:
            problem = "goes without peer_token: which of them is meant?"
            raise ConfigInvalid(
                f"peer_token_file {problem}",
                violations=[FieldViolation("peer_token_file", problem)],
            )
