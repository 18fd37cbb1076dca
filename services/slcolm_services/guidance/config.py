"""Configuration of the guidance service."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret

_IN_MEMORY = Secret("sqlite://")
_KINDS = ("offline", "replay", "openai")
_TOKEN_LIMIT_FIELDS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class GuidanceConfig:
    """What the guidance service is and what it may spend.

    Providers are named by their kind: `offline` is always there, `replay` where there are
    recordings, `openai` where there is a model.

    Attributes:
        provider: The default provider.
        recordings: Files of recorded answers; of two answers to a sentence the earlier stands.
        model: Model name as the endpoint knows it.
        base_url: URL of the endpoint up to `/v1`; empty: OpenAI's own.
        api_key_env: Environment variable that holds the key; empty: the endpoint needs none.
        temperature: Sampling temperature.
        json_mode: Ask the endpoint for a JSON object.
        token_limit_field: Request field that limits the answer: `max_tokens` or
            `max_completion_tokens`.
        context_tokens: Context window of the model.
        max_answer_tokens: Longest answer.
        prompt_price: Per million prompt tokens.
        cached_price: Per million prompt tokens that came from the endpoint's cache.
        completion_price: Per million tokens of the answer.
        currency: ISO 4217 code of the prices.
        max_cost: Spending limit over everything in the ledger, in that currency; 0: none.
        max_calls: Limit on calls over everything in the ledger; 0: none.
        max_tokens: Limit on prompt and completion tokens over everything in the ledger; 0: none.
        max_concurrency: Calls to the endpoint in flight.
        max_attempts: Attempts for one request.
        attempt_timeout_seconds: Longest wait for one attempt.
        backoff_seconds: First wait between attempts; it doubles each time.
        max_backoff_seconds: Longest wait that the endpoint did not ask for.
        ledger_url: SQLAlchemy URL of the ledger, with its password if it has one; the default
            forgets when the process ends.
        max_items: Most items of one request.
        max_text_chars: Longest text, in characters.
        min_probability: The offline rules drop SLM triples below it. On ChisRE dev a higher one
            costs rare types more than it gains elsewhere.
    """

    provider: str = "offline"
    recordings: tuple[str, ...] = ()
    model: str = ""
    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    temperature: float = 0.0
    json_mode: bool = True
    token_limit_field: str = "max_tokens"  # noqa: S105  tokens of text
    context_tokens: int = 32_000
    max_answer_tokens: int = 2_048
    prompt_price: float = 0.0
    cached_price: float = 0.0
    completion_price: float = 0.0
    currency: str = ""
    max_cost: float = 0.0
    max_calls: int = 0
    max_tokens: int = 0
    max_concurrency: int = 16
    max_attempts: int = 6
    attempt_timeout_seconds: float = 120.0
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 30.0
    ledger_url: Secret = _IN_MEMORY
    max_items: int = 256
    max_text_chars: int = 20_000
    min_probability: float = 0.4

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigInvalid: With every value that cannot be used.
        """
        checks = (
            ("provider", self.provider in _KINDS, f"must be one of {', '.join(_KINDS)}"),
            ("recordings", self.provider != "replay" or self.recordings, "replay needs a file"),
            ("model", self.provider != "openai" or self.model, "openai needs a model name"),
            (
                "token_limit_field",
                self.token_limit_field in _TOKEN_LIMIT_FIELDS,
                f"must be one of {', '.join(_TOKEN_LIMIT_FIELDS)}",
            ),
            ("max_answer_tokens", self.max_answer_tokens > 0, "must be positive"),
            (
                "context_tokens",
                self.context_tokens > self.max_answer_tokens,
                "must be greater than max_answer_tokens",
            ),
            ("max_concurrency", self.max_concurrency > 0, "must be positive"),
            ("max_attempts", self.max_attempts > 0, "must be positive"),
            ("attempt_timeout_seconds", self.attempt_timeout_seconds > 0, "must be positive"),
            ("max_items", self.max_items > 0, "must be positive"),
            ("max_text_chars", self.max_text_chars > 0, "must be positive"),
            ("min_probability", 0 <= self.min_probability <= 1, "must be in [0, 1]"),
            *(
                (name, getattr(self, name) >= 0, "must not be negative")
                for name in (
                    "prompt_price",
                    "cached_price",
                    "completion_price",
                    "max_cost",
                    "max_calls",
                    "max_tokens",
                    "backoff_seconds",
                    "max_backoff_seconds",
                    "temperature",
                )
            ),
        )
        violations = [FieldViolation(name, problem) for name, right, problem in checks if not right]
        if violations:
            raise ConfigInvalid("the guidance configuration cannot be used", violations=violations)

    def api_key(self, environ: Mapping[str, str] = os.environ) -> str:
        """The endpoint's key; empty where none is needed.

        Raises:
            ConfigInvalid: The environment variable is not set.
        """
        if not self.api_key_env:
            return ""
        key = environ.get(self.api_key_env, "")
        if not key:
            raise ConfigInvalid(
                f"the environment variable {self.api_key_env} is not set",
                violations=[
                    FieldViolation(
                        "api_key_env", f"{self.api_key_env} must hold the endpoint's key"
                    )
                ],
            )
        return key
