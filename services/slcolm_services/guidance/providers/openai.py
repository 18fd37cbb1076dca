"""A model behind endpoints that speak OpenAI's chat completions.

The client library's own retries know nothing of the caller's deadline and are switched off. One
loop here asks the endpoint that can be asked soonest, of equal ones the preferred one: what may
pass is tried again, as late as the endpoint asks and never later than the caller waits; an endpoint
that fails is left for the next one.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import structlog
from prometheus_client import Counter

from slcolm_services.errors import DeadlineTooShort, ProviderUnavailable
from slcolm_services.guidance.config import ModelConfig
from slcolm_services.guidance.measures import GuidanceMeasures
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.providers.base import (
    ChargedInVain,
    Completion,
    ProviderInfo,
    Request,
)
from slcolm_services.guidance.providers.dialect import PLAIN
from slcolm_services.guidance.providers.endpoint import (
    AttemptFailed,
    Endpoint,
    Scope,
)
from slcolm_services.guidance.usage import Prices, Usage

_log = structlog.get_logger(__name__)


class OpenAIProvider:
    """Asks a model.

    Args:
        config: The model and how it is asked.
        endpoints: Where, in order of preference.
        prices: What it charges.
        measures: Where retries are counted.
    """

    def __init__(
        self,
        config: ModelConfig,
        endpoints: Sequence[Endpoint],
        prices: Prices,
        measures: GuidanceMeasures | None = None,
    ) -> None:
        self.endpoints = tuple(endpoints)
        self._config = config
        self._retries = (measures or GuidanceMeasures()).retries.labels(config.name)
        self._info = ProviderInfo(
            name=config.name,
            kind="openai",
            model=config.model,
            digest=_digest(config),
            sampling=f"temperature {config.sample_temperature}",
            window=Window(config.context_tokens, config.max_answer_tokens),
            prices=prices,
            metered=True,
            concurrency=sum(where.max_concurrency for where in config.endpoints),
        )

    @property
    def info(self) -> ProviderInfo:
        """What is told about it, and what was found out about the preferred endpoint so far."""
        forms = (endpoint.answer_form for endpoint in self.endpoints)
        return replace(self._info, answer_form=next(filter(None, forms), ""))

    async def open(self) -> None:
        """Make the clients. Nothing is sent."""
        for endpoint in self.endpoints:
            await endpoint.open()

    async def close(self) -> None:
        """Close the connections."""
        for endpoint in self.endpoints:
            _log.info(
                "llm_endpoint_closed",
                provider=self._info.name,
                endpoint=endpoint.name,
                outcomes=dict(endpoint.outcomes),
            )
            await endpoint.close()

    async def check(self) -> None:
        """See `Provider.check`: it answers unless all endpoints have kept failing."""
        if not any(endpoint.breaker.healthy for endpoint in self.endpoints):
            raise ProviderUnavailable("all endpoints have kept failing")

    async def complete(self, request: Request, *, deadline: float) -> Completion:
        """Ask the endpoints; see `Provider.complete`."""
        attempts = _Attempts(self._config, self.endpoints, deadline, self._retries)
        try:
            async with asyncio.timeout_at(deadline):
                completion = await attempts.run(request)
        except TimeoutError:
            late = "no endpoint answered before the caller's deadline"
            if attempts.usage.calls:
                raise ChargedInVain(late, usage=attempts.usage) from None
            raise DeadlineTooShort(late, metadata={"provider": self._info.name}) from None
        return Completion(completion.answer, attempts.usage)


class _Attempts:
    """The attempts to have one request answered.

    Attributes:
        usage: What was paid for them, the failed ones among them.
    """

    def __init__(
        self,
        config: ModelConfig,
        endpoints: Iterable[Endpoint],
        deadline: float,
        retries: Counter,
    ) -> None:
        self.usage = Usage()
        self._retries = retries
        self._config = config
        self._deadline = deadline
        self._clock = asyncio.get_running_loop().time
        self._not_before = dict.fromkeys(endpoints, self._clock())
        self._failures = dict.fromkeys(self._not_before, 0)

    async def run(self, request: Request) -> Completion:
        """Ask until there is an answer.

        Raises:
            ProviderUnavailable: There is none.
        """
        for attempt in range(1, self._config.max_attempts + 1):
            now = self._clock()
            endpoint, ready_at = self._soonest(now)
            standing = endpoint.refusal(now)
            if standing is not None or ready_at >= self._deadline:
                problem = standing.problem if standing is not None else endpoint.set_aside
                raise self._unavailable(endpoint, problem, attempt, ready_at - now)
            await asyncio.sleep(ready_at - now)
            try:
                completion = await endpoint.ask(request)
            except AttemptFailed as failure:
                self.usage += failure.usage
                self._failed(endpoint, failure, attempt)
            else:
                self.usage += completion.usage
                return completion
        raise AssertionError  # the last attempt's failure was raised

    def _soonest(self, now: float) -> tuple[Endpoint, float]:
        """The endpoint that may be asked soonest, of equal ones the preferred one, and when.

        One that answers nobody comes after all others.
        """
        ready = [
            (endpoint, max(now, at, endpoint.breaker.opens_at))
            for endpoint, at in self._not_before.items()
        ]
        return min(ready, key=lambda pair: (pair[0].refusal(now) is not None, pair[1]))

    def _failed(self, endpoint: Endpoint, failure: AttemptFailed, attempt: int) -> None:
        """Plan the next attempt.

        Raises:
            ProviderUnavailable: There can be none.
        """
        now = self._clock()
        if failure.scope is Scope.ENDPOINT:
            del self._not_before[endpoint]
        elif failure.scope is Scope.PASSING:
            self._not_before[endpoint] = now + self._pause(endpoint, failure)
        last = failure.scope is Scope.REQUEST or not self._not_before
        pause = None
        if not last:
            pause = self._soonest(now)[1] - now
            last = attempt >= self._config.max_attempts or now + pause >= self._deadline
        _log.info(
            "llm_attempt_failed",
            provider=self._config.name,
            endpoint=endpoint.name,
            attempt=attempt,
            problem=failure.problem,
            gives_up=last,
            pause_seconds=None if pause is None else round(pause, 2),
        )
        if last:
            raise self._unavailable(endpoint, failure.problem, attempt, pause)
        self._retries.inc()

    def _pause(self, endpoint: Endpoint, failure: AttemptFailed) -> float:
        """How long an endpoint is left alone: exponential backoff with jitter, or as it asks."""
        if failure.retry_after_seconds is not None:
            return failure.retry_after_seconds
        doubled: float = self._config.backoff_seconds * 2 ** self._failures[endpoint]
        self._failures[endpoint] += 1
        return min(doubled, self._config.max_backoff_seconds) * random.uniform(0.5, 1)

    def _unavailable(
        self, endpoint: Endpoint, problem: str, attempts: int, retry_after_seconds: float | None
    ) -> ProviderUnavailable:
        message = f"{endpoint.name}: {problem} (attempt {attempts})"
        metadata = {
            "provider": self._config.name,
            "problem": problem,
            "attempts": str(attempts),
        }
        if self.usage.calls:
            return ChargedInVain(
                message,
                usage=self.usage,
                metadata=metadata,
                retry_after_seconds=retry_after_seconds,
            )
        return ProviderUnavailable(
            message, metadata=metadata, retry_after_seconds=retry_after_seconds
        )


def _digest(config: ModelConfig) -> str:
    """SHA-256 over what shapes first answers. Further endpoints serve the same model."""
    shaping: dict[str, Any] = {
        "kind": "openai",
        "base_url": config.endpoints[0].base_url,
        "model": config.model,
        "temperature": config.temperature,
        "json_mode": config.answer_form != PLAIN,
        "answer_tokens": config.max_answer_tokens,
    }
    for name in ("top_p", "seed", "extra_body"):
        value = getattr(config, name)
        if value is not None and value != {}:
            shaping[name] = value
    content = json.dumps(shaping, sort_keys=True, default=str)
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
