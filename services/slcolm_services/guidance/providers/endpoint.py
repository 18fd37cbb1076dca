"""One endpoint: its connections, its limits, what it was found to take and how it fares."""

from __future__ import annotations

import asyncio
import email.utils
import math
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, asynccontextmanager
from enum import Enum
from typing import Any
from urllib.parse import urlsplit

import httpx2
import openai

from slcolm_services.guidance.config import EndpointSettings, ModelSettings
from slcolm_services.guidance.measures import GuidanceMeasures
from slcolm_services.guidance.providers.base import Completion, Request
from slcolm_services.guidance.providers.breaker import Breaker
from slcolm_services.guidance.providers.concurrency import ConcurrencyLimit
from slcolm_services.guidance.providers.dialect import Dialect, form_of
from slcolm_services.guidance.providers.http import BodyTooLong, BoundedClient
from slcolm_services.guidance.providers.rate import RateLimit
from slcolm_services.guidance.providers.reading import Unreadable, read_completion
from slcolm_services.guidance.usage import Prices, Usage
from slcolm_services.runtime.tracing import CLIENT, Span, span

SET_ASIDE = "the endpoint is set aside"
"""What is told of an endpoint that was not asked, since it kept failing."""

_MAX_BODY_BYTES = 8 * 1024 * 1024
_OPENAI_HOST = "api.openai.com"
_CODE = re.compile(r"[a-z][a-z_]{0,63}")

_BAD_REQUEST, _UNPROCESSABLE = 400, 422
_REQUEST_REFUSED = frozenset({_BAD_REQUEST, 413, _UNPROCESSABLE})
_PASSING = frozenset({408, 409, 425, 429})
_OVERLOADED = frozenset({429, 503, 529})
_SERVER_ERROR = 500
_QUOTA_SPENT = "insufficient_quota"


class Scope(Enum):
    """How far a failure reaches."""

    PASSING = "passing"
    """The same request may succeed later."""
    ENDPOINT = "endpoint"
    """The endpoint answers nobody: a wrong key, an unknown model, a spent quota."""
    REQUEST = "request"
    """The endpoint will not answer this request, others yes."""


class AttemptFailed(Exception):
    """An attempt without an answer.

    Args:
        problem: What happened, without the endpoint's own words: these may quote texts or keys.
        scope: How far it reaches.
        retry_after_seconds: How long the endpoint asks to wait; None where it does not say.
        usage: What was paid all the same.
    """

    def __init__(
        self,
        problem: str,
        scope: Scope,
        *,
        retry_after_seconds: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.scope = scope
        self.retry_after_seconds = retry_after_seconds
        self.usage = usage or Usage()


class Endpoint:
    """Calls one endpoint, never more or faster than it takes.

    Args:
        where: Where it is and its limits.
        model: What is asked for.
        api_key: Its key; empty where it needs none. Never logged, told or repeated.
        prices: What it charges.
        measures: Where requests are counted.
    """

    def __init__(
        self,
        where: EndpointSettings,
        model: ModelSettings,
        api_key: str,
        prices: Prices,
        measures: GuidanceMeasures | None = None,
    ) -> None:
        self.name = urlsplit(where.base_url).netloc.rpartition("@")[2] or _OPENAI_HOST
        self.breaker = Breaker(model.backoff_seconds, model.max_backoff_seconds)
        self.concurrency = ConcurrencyLimit(where.min_concurrency, where.max_concurrency)
        self.dialect = Dialect(model)
        self.answer_form = ""
        self.outcomes: Counter[str] = Counter()
        self._where = where
        self._model = model
        self._api_key = api_key
        self._prices = prices
        self._measures = measures or GuidanceMeasures()
        self._requests = _limit(where.requests_per_minute)
        self._tokens = _limit(where.tokens_per_minute)
        self._refusal: AttemptFailed | None = None
        self._kept_failing = ""
        self._client: openai.AsyncOpenAI | None = None

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r})"

    def refusal(self, now: float) -> AttemptFailed | None:
        """Why the endpoint answers nobody for now; None where it may be asked sooner or later."""
        return self._refusal if now < self.breaker.opens_at else None

    @property
    def set_aside(self) -> str:
        """What is told of it while it is not asked since it kept failing."""
        return f"{SET_ASIDE}: {self._kept_failing}" if self._kept_failing else SET_ASIDE

    def open_client(self, max_body_bytes: int = _MAX_BODY_BYTES) -> openai.AsyncOpenAI:
        """Make a client of the endpoint; nothing is sent. Its maker closes it."""
        return openai.AsyncOpenAI(
            api_key=self._api_key or "none",
            base_url=self._where.base_url or None,
            max_retries=0,
            timeout=self._model.attempt_timeout_seconds,
            http_client=BoundedClient(max_body_bytes),
        )

    async def open(self) -> None:
        """Make the client that requests go through. Nothing is sent."""
        self._client = self.open_client()

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def ask(self, request: Request) -> Completion:
        """Make one attempt, as soon as the endpoint's limits allow it.

        Raises:
            AttemptFailed: There is no answer.
        """
        async with self.concurrency.slot(), self._rated(request) as settle:
            now = asyncio.get_running_loop().time
            started = now()
            if not self.breaker.allow(started):
                settle(Usage())
                raise self.refusal(started) or AttemptFailed(self.set_aside, Scope.PASSING)
            try:
                completion = await self._negotiate(request)
            except AttemptFailed as failure:
                self._note(failure, started, now())
                settle(failure.usage)
                raise
            self.breaker.succeeded()
            self._refusal = None
            self.concurrency.served()
            self._count("answered")
            settle(completion.usage)
            return completion

    @asynccontextmanager
    async def _rated(self, request: Request) -> AsyncIterator[Callable[[Usage], None]]:
        """Keep to the rates, at worst case before the call; `settle` corrects it afterwards."""
        worst_case = request.prompt.tokens + self._model.max_answer_tokens
        if self._requests is not None:
            await self._requests.take(1)
        if self._tokens is not None:
            await self._tokens.take(worst_case)

        def settle(usage: Usage) -> None:
            if self._tokens is not None:
                self._tokens.give_back(worst_case - usage.tokens)

        yield settle

    def _note(self, failure: AttemptFailed, started: float, now: float) -> None:
        if failure.scope is Scope.PASSING:
            self.breaker.failed(started, now)
            self._kept_failing = failure.problem
        elif failure.scope is Scope.ENDPOINT:
            self._refusal = failure
            self.breaker.shut(started, now, failure.retry_after_seconds or 0.0)
        else:
            self.breaker.succeeded()  # it works, and says so

    async def _negotiate(self, request: Request) -> Completion:
        """Put the request in the way that the endpoint takes."""
        while True:
            body = self.dialect.body(request)
            try:
                completion = await self._call(body, request)
            except openai.APIStatusError as error:
                refused = error.status_code in {_BAD_REQUEST, _UNPROCESSABLE}
                if refused and self.dialect.learn(body, error.response.text):
                    self.outcomes["refused_form"] += 1
                    if self.dialect.body(request) != body:
                        self._measures.requests.labels(*self._labels, "refused_form").inc()
                        continue
                raise self._failure(error) from None
            self.answer_form = form_of(body)
            return completion

    async def _call(self, body: Mapping[str, Any], request: Request) -> Completion:
        if self._client is None:
            raise AttemptFailed("the provider is not open", Scope.ENDPOINT)
        try:
            with self._measures.request_seconds.labels(*self._labels).time(), self._span() as sent:
                async with asyncio.timeout(self._model.attempt_timeout_seconds) as limit:
                    response = await self._client.post(
                        "/chat/completions",
                        body=body,
                        cast_to=httpx2.Response,
                        options={"headers": sent.headers},
                    )
        except openai.APIStatusError:
            raise
        except openai.APITimeoutError:
            raise self._timed_out() from None
        except openai.APIConnectionError as error:
            self._count("connection")
            cause = type(error.__cause__).__name__
            raise AttemptFailed(f"connection: {cause}", Scope.PASSING) from None
        except BodyTooLong:
            self._count("too_long")
            raise AttemptFailed("the endpoint's answer has no end", Scope.PASSING) from None
        except TimeoutError:
            if limit.expired():
                raise self._timed_out() from None
            raise
        try:
            return read_completion(
                response.content,
                model=self._model.model,
                prompt_tokens=request.prompt.tokens,
                prices=self._prices,
            )
        except Unreadable as error:
            self._count("unreadable")
            raise AttemptFailed(error.problem, Scope.PASSING, usage=error.usage) from None

    def _span(self) -> AbstractContextManager[Span]:
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": self._model.model,
            "server.address": self.name,
        }
        return span(f"chat {self._model.model}", kind=CLIENT, attributes=attributes)

    @property
    def _labels(self) -> tuple[str, str]:
        return self._model.model, self.name

    def _count(self, outcome: str) -> None:
        self.outcomes[outcome] += 1
        self._measures.requests.labels(*self._labels, outcome).inc()

    def _failure(self, error: openai.APIStatusError) -> AttemptFailed:
        """What a status means."""
        status = error.status_code
        self._count(f"status_{status}")
        if status in _OVERLOADED:
            self.concurrency.refused()
        code = str(error.code or "")
        known = _CODE.fullmatch(code) and code != self._api_key
        problem = f"the endpoint answered {status}" + (f", {code}" if known else "")
        if status in _REQUEST_REFUSED:
            scope = Scope.REQUEST
        elif code != _QUOTA_SPENT and (status in _PASSING or status >= _SERVER_ERROR):
            scope = Scope.PASSING
        else:
            scope = Scope.ENDPOINT
        return AttemptFailed(
            problem, scope, retry_after_seconds=retry_after(error.response.headers)
        )

    def _timed_out(self) -> AttemptFailed:
        self._count("timeout")
        self.concurrency.refused()
        return AttemptFailed("no answer within the attempt's time", Scope.PASSING)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that an endpoint asks to wait: a number or a date; None where it does not say."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
        return max(0.0, seconds) if math.isfinite(seconds) else None
    try:
        date = email.utils.parsedate_to_datetime(headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())


def _limit(per_minute: int) -> RateLimit | None:
    return RateLimit(per_minute) if per_minute else None
