"""Configuration of the guidance service."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from slcolm_services.errors import ConfigInvalid, FieldViolation
from slcolm_services.runtime.config import Secret

OPENAI = "openai"
"""Name of the model that is configured without a table of its own."""
REPLAY = "replay"
"""Name of the provider of recorded answers."""

ANSWER_FORMS = ("json_schema", "json_object", "plain")
"""Forms of answers that an endpoint may enforce, the strictest first."""

# It may hold a password.
_LEDGER_URL = Secret("sqlite:///slcolm-home/ledger.sqlite")
_BUILT_IN = ("offline", REPLAY)
_AUTO = "auto"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_URL = re.compile("https?://.", re.IGNORECASE)
_VARIABLE = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_OPENAI_HOST = "api.openai.com"
_OWN_BODY = frozenset({"model", "messages", "stream", "n"})


@dataclass(frozen=True)
class EndpointSettings:
    """Where a model is called, and how much at once.

    Attributes:
        base_url: URL of the endpoint up to `/v1`; empty: OpenAI's own.
        api_key_env: Environment variable that holds the key; empty: the endpoint needs none.
        min_concurrency: Calls in flight however often the endpoint refuses.
        max_concurrency: Calls in flight where it refuses none.
        requests_per_minute: 0: no limit.
        tokens_per_minute: Of prompt and answer, counted at worst case before a call; 0: no limit.
    """

    base_url: str = ""
    api_key_env: str = "OPENAI_API_KEY"
    min_concurrency: int = 1
    max_concurrency: int = 16
    requests_per_minute: int = 0
    tokens_per_minute: int = 0

    def api_key(self, environ: Mapping[str, str] = os.environ) -> Secret:
        """The endpoint's key; empty where none is needed.

        Raises:
            ConfigInvalid: The environment variable is not set.
        """
        if not self.api_key_env:
            return Secret("")
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
        return Secret(key)


@dataclass(frozen=True)
class ModelSettings:
    """What a model is asked for, how long, and what it charges.

    Attributes:
        model: Model name as its endpoints know it.
        answer_form: `json_schema`, `json_object`, `plain`, or `auto`: the strictest of these that
            the endpoint takes.
        temperature: Sampling temperature of first answers.
        sample_temperature: Sampling temperature of the further answers to a prompt.
        top_p: Nucleus sampling; None: the endpoint's own.
        seed: Seed, for endpoints that have one; the further answers count on from it.
        extra_body: Further fields of the request body, for what one provider alone knows. They win
            over ours, and are no place for secrets.
        context_tokens: Context window of the model.
        max_answer_tokens: Longest answer.
        prompt_price: Per million prompt tokens.
        cached_price: Per million prompt tokens that came from the endpoint's cache.
        completion_price: Per million tokens of the answer.
        batches: Whether the first endpoint takes batches (`/v1/files` and `/v1/batches`); None:
            OpenAI's own does, others do not.
        batch_price_factor: What a request in a batch costs, as a part of the prices above.
        max_attempts: Attempts for one request, over all endpoints.
        attempt_timeout_seconds: Longest wait for one attempt.
        backoff_seconds: First wait between attempts, and first time for which an endpoint that
            keeps failing is set aside; both double each time.
        max_backoff_seconds: Longest of these times, where the endpoint did not ask for more.
    """

    model: str = ""
    answer_form: str = _AUTO
    temperature: float = 0.0
    sample_temperature: float = 0.7
    top_p: float | None = None
    seed: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    context_tokens: int = 32_000
    max_answer_tokens: int = 2_048
    prompt_price: float = 0.0
    cached_price: float = 0.0
    completion_price: float = 0.0
    batches: bool | None = None
    batch_price_factor: float = 0.5
    max_attempts: int = 6
    attempt_timeout_seconds: float = 120.0
    backoff_seconds: float = 1.0
    max_backoff_seconds: float = 30.0


@dataclass(frozen=True)
class ModelConfig(ModelSettings):
    """A model by name, behind one endpoint or several.

    Attributes:
        name: Name that requests use.
        endpoints: In order of preference. An answer of any of them is the model's answer: the
            ledger keeps it under the first one.
    """

    name: str = ""
    endpoints: tuple[EndpointSettings, ...] = (EndpointSettings(),)

    @property
    def takes_batches(self) -> bool:
        """Whether the first endpoint takes batches."""
        if self.batches is not None:
            return self.batches
        host = urlsplit(self.endpoints[0].base_url).hostname
        return host in {None, _OPENAI_HOST}

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigInvalid: With every value that cannot be used.
        """
        usable = _NAME.fullmatch(self.name) and self.name not in _BUILT_IN
        _check(
            "the model's configuration cannot be used",
            ("name", usable, f"must be a lower-case name, none of {', '.join(_BUILT_IN)}"),
            ("model", self.model, "must be set"),
            ("endpoints", self.endpoints, "must hold at least one"),
            *_model_checks(self),
            *(
                (f"endpoints[{index}].{name}", right, problem)
                for index, endpoint in enumerate(self.endpoints)
                for name, right, problem in _endpoint_checks(endpoint)
            ),
        )


@dataclass(frozen=True)
class GuidanceConfig(ModelSettings, EndpointSettings):
    """What the guidance service is and what it may spend.

    Providers: `offline` is always there, `replay` where there are recordings, every one of
    `models` under its name, and `openai` where `model` is set here: a single model behind a single
    endpoint needs no table.

    Attributes:
        provider: The default provider.
        recordings: Files of recorded answers; of two answers to a sentence the earlier stands.
        models: Models by name.
        currency: ISO 4217 code of all prices.
        max_cost: Spending limit over everything in the ledger, in that currency; 0: none.
        max_calls: Limit on calls over everything in the ledger; 0: none.
        max_tokens: Limit on prompt and completion tokens over everything in the ledger; 0: none.
        ledger_url: SQLAlchemy URL of the ledger, with its password if it has one; `sqlite://`
            forgets when the process ends, paid answers included.
        max_items: Most items of one request.
        max_text_chars: Longest text, in characters; a longer one is refused with its whole request.
            A shorter one that does not fit the provider's window fails alone.
        min_probability: The offline rules drop SLM triples below it whose type retrieval does not
            propose; chosen on ChisRE dev (`benchmarks/offline.py`).
    """

    provider: str = "offline"
    recordings: tuple[str, ...] = ()
    models: tuple[ModelConfig, ...] = ()
    currency: str = ""
    max_cost: float = 0.0
    max_calls: int = 0
    max_tokens: int = 0
    ledger_url: Secret = _LEDGER_URL
    max_items: int = 256
    max_text_chars: int = 1_000_000
    min_probability: float = 0.7

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigInvalid: With every value that cannot be used.
        """
        names = [model.name for model in self.models]
        known = self.provider_names()
        _check(
            "the guidance configuration cannot be used",
            ("provider", self.provider in known, f"must be one of {', '.join(known)}"),
            ("recordings", self.provider != REPLAY or self.recordings, "replay needs a file"),
            (
                "model",
                self.provider != OPENAI or self.model or OPENAI in names,
                "openai needs a model name",
            ),
            ("models", len(set(names)) == len(names), "must have names of their own"),
            (
                "models",
                not self.model or OPENAI not in names,
                f"must not be called {OPENAI} where model is set",
            ),
            *_model_checks(self),
            *_endpoint_checks(self),
            ("max_items", self.max_items > 0, "must be positive"),
            ("max_text_chars", self.max_text_chars > 0, "must be positive"),
            ("min_probability", 0 <= self.min_probability <= 1, "must be in [0, 1]"),
            *_not_negative(self, "max_cost", "max_calls", "max_tokens"),
        )

    def provider_names(self) -> tuple[str, ...]:
        """Names of providers: the built-in ones, whether they are set up or not, and the models."""
        return tuple(dict.fromkeys((*_BUILT_IN, OPENAI, *(model.name for model in self.models))))

    def all_models(self) -> tuple[ModelConfig, ...]:
        """Every model: those of `models`, and the one that is configured without a table."""
        if not self.model:
            return self.models
        settings = {item.name: getattr(self, item.name) for item in fields(ModelSettings)}
        where = {item.name: getattr(self, item.name) for item in fields(EndpointSettings)}
        single = ModelConfig(name=OPENAI, endpoints=(EndpointSettings(**where),), **settings)
        return (single, *self.models)


_Check = tuple[str, object, str]
"""Field, whether it is right (by its truth), what would be right."""


def _check(message: str, *checks: _Check) -> None:
    violations = [FieldViolation(name, problem) for name, right, problem in checks if not right]
    if violations:
        raise ConfigInvalid(message, violations=violations)


def _model_checks(model: ModelSettings) -> Iterator[_Check]:
    forms = (_AUTO, *ANSWER_FORMS)
    yield "answer_form", model.answer_form in forms, f"must be one of {', '.join(forms)}"
    yield "max_answer_tokens", model.max_answer_tokens > 0, "must be positive"
    yield (
        "context_tokens",
        model.context_tokens > model.max_answer_tokens,
        "must be greater than max_answer_tokens",
    )
    yield "top_p", model.top_p is None or 0 < model.top_p <= 1, "must be in (0, 1]"
    ours = ", ".join(sorted(_OWN_BODY))
    yield "extra_body", _OWN_BODY.isdisjoint(model.extra_body), f"must not hold {ours}"
    yield "max_attempts", model.max_attempts > 0, "must be positive"
    yield "attempt_timeout_seconds", model.attempt_timeout_seconds > 0, "must be positive"
    yield from _not_negative(
        model,
        *("temperature", "sample_temperature", "prompt_price", "cached_price", "completion_price"),
        *("batch_price_factor", "backoff_seconds", "max_backoff_seconds"),
    )


def _endpoint_checks(endpoint: EndpointSettings) -> Iterator[_Check]:
    url = endpoint.base_url
    yield "base_url", not url or _URL.match(url), "must begin with http:// or https://"
    # Both are shown, logged and kept.
    yield (
        "base_url",
        "@" not in urlsplit(url).netloc,
        "must hold no user and no password; api_key_env names the key",
    )
    variable = endpoint.api_key_env
    yield (
        "api_key_env",
        not variable or _VARIABLE.fullmatch(variable),
        "must be the name of an environment variable, never the key itself",
    )
    yield "min_concurrency", endpoint.min_concurrency > 0, "must be positive"
    yield (
        "max_concurrency",
        endpoint.max_concurrency >= endpoint.min_concurrency,
        "must not be less than min_concurrency",
    )
    yield from _not_negative(endpoint, "requests_per_minute", "tokens_per_minute")


def _not_negative(settings: object, *names: str) -> Iterator[_Check]:
    for name in names:
        yield name, getattr(settings, name) >= 0, "must not be negative"
