"""Any endpoint that speaks OpenAI's chat completions.

The client library's own retries know nothing of the caller's deadline and are switched off: one
loop here retries what may pass (429, 5xx, timeouts, lost connections, answers without a choice),
waits as long as the endpoint asks, and never longer than the caller does.
"""

from __future__ import annotations

import asyncio
import email.utils
import hashlib
import json
import random
import time
from dataclasses import dataclass
from typing import Any

import openai
import structlog
from openai.types.chat import ChatCompletion

from slcolm_services.errors import DeadlineTooShort, ProviderUnavailable
from slcolm_services.guidance.ledger import Answer
from slcolm_services.guidance.prompt import Window
from slcolm_services.guidance.providers.base import Completion, ProviderInfo, Request
from slcolm_services.guidance.usage import Prices, Usage

_log = structlog.get_logger(__name__)

_RETRIED_STATUSES = frozenset({408, 409, 429})
_SERVER_ERROR = 500
_CLIENT_CLOSED = "the provider is not open"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """How an endpoint is called.

    Attributes:
        model: Model name as the endpoint knows it.
        base_url: URL up to `/v1`; empty: OpenAI's own.
        api_key: Key; never logged, told or made part of a digest.
        temperature: Sampling temperature.
        json_mode: Ask for `response_format: json_object`.
        token_limit_field: `max_tokens`, or `max_completion_tokens` where that is required.
        max_concurrency: Calls in flight.
        max_attempts: Attempts for one request.
        attempt_timeout_seconds: Longest wait for one attempt.
        backoff_seconds: First wait between attempts; it doubles each time.
        max_backoff_seconds: Longest wait that is not asked for by the endpoint.
    """

    model: str
    base_url: str
    api_key: str
    temperature: float
    json_mode: bool
    token_limit_field: str
    max_concurrency: int
    max_attempts: int
    attempt_timeout_seconds: float
    backoff_seconds: float
    max_backoff_seconds: float

    def __repr__(self) -> str:
        return f"Endpoint(model={self.model!r}, base_url={self.base_url!r})"


class _Retryable(Exception):
    """An attempt that failed in a way that may pass."""

    def __init__(self, problem: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.retry_after_seconds = retry_after_seconds


class OpenAIProvider:
    """Asks an OpenAI-compatible endpoint.

    Args:
        name: Name that requests use.
        endpoint: How it is called.
        window: What fits into one call.
        prices: What it charges.
    """

    def __init__(self, name: str, endpoint: Endpoint, window: Window, prices: Prices) -> None:
        self._endpoint = endpoint
        self._info = ProviderInfo(
            name=name,
            kind="openai",
            model=endpoint.model,
            digest=_digest(endpoint, window),
            window=window,
            prices=prices,
            metered=True,
        )
        self._client: openai.AsyncOpenAI | None = None
        self._slots = asyncio.Semaphore(endpoint.max_concurrency)

    @property
    def info(self) -> ProviderInfo:
        """What is told about it."""
        return self._info

    async def open(self) -> None:
        """Make the client. Nothing is sent."""
        self._client = openai.AsyncOpenAI(
            api_key=self._endpoint.api_key or "none",
            base_url=self._endpoint.base_url or None,
            max_retries=0,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def complete(self, request: Request, *, deadline: float) -> Completion:
        """Ask the endpoint; see `Provider.complete`."""
        try:
            async with asyncio.timeout_at(deadline), self._slots:
                return await self._complete(request, deadline)
        except TimeoutError:
            raise DeadlineTooShort(
                "the endpoint did not answer before the caller's deadline",
                metadata={"provider": self._info.name},
            ) from None

    async def _complete(self, request: Request, deadline: float) -> Completion:
        clock = asyncio.get_running_loop().time
        wait = self._endpoint.backoff_seconds
        attempt = 1
        while True:
            try:
                return await self._attempt(request)
            except _Retryable as failure:
                pause = failure.retry_after_seconds
                if pause is None:
                    pause = min(wait, self._endpoint.max_backoff_seconds) * random.uniform(0.5, 1)
                if attempt >= self._endpoint.max_attempts or clock() + pause >= deadline:
                    raise self._unavailable(failure.problem, attempt, pause) from failure
                _log.info(
                    "llm_retry",
                    provider=self._info.name,
                    attempt=attempt,
                    problem=failure.problem,
                    pause_seconds=round(pause, 2),
                )
            await asyncio.sleep(pause)
            attempt += 1
            wait *= 2

    async def _attempt(self, request: Request) -> Completion:
        if self._client is None:
            raise ProviderUnavailable(_CLIENT_CLOSED, metadata={"provider": self._info.name})
        try:
            async with asyncio.timeout(self._endpoint.attempt_timeout_seconds) as limit:
                completion = await self._client.chat.completions.create(**self._body(request))
        except openai.APIStatusError as error:
            raise self._refused(error) from error
        except openai.APIConnectionError as error:  # its timeouts among them
            raise _Retryable(type(error).__name__) from error
        except (openai.APIError, ValueError) as error:
            raise _Retryable("the endpoint's answer is not JSON") from error
        except TimeoutError:
            if limit.expired():
                raise _Retryable("no answer within the attempt's time") from None
            raise
        return self._read(completion)

    def _body(self, request: Request) -> dict[str, Any]:
        endpoint = self._endpoint
        body: dict[str, Any] = {
            "model": endpoint.model,
            "messages": [
                {"role": message.role, "content": message.content}
                for message in request.prompt.messages
            ],
            "temperature": endpoint.temperature,
            "timeout": endpoint.attempt_timeout_seconds,
            endpoint.token_limit_field: self._info.window.answer_tokens,
        }
        if endpoint.json_mode:
            body["response_format"] = {"type": "json_object"}
        return body

    def _refused(self, error: openai.APIStatusError) -> Exception:
        """What a status means. The endpoint's words may quote the key: only its code is told."""
        status = error.status_code
        code = f", {error.code}" if isinstance(error.code, str) and error.code else ""
        problem = f"the endpoint answered {status}{code}"
        spent = error.code == "insufficient_quota"
        if (status in _RETRIED_STATUSES or status >= _SERVER_ERROR) and not spent:
            return _Retryable(problem, _retry_after(error.response.headers))
        return self._unavailable(problem, 1, None)

    def _read(self, completion: object) -> Completion:
        """Read an answer; endpoints leave out whatever the contract calls required."""
        choices = getattr(completion, "choices", None)
        choice: Any = choices[0] if isinstance(choices, list) and choices else None
        message: Any = getattr(choice, "message", None)
        if message is None or not isinstance(completion, ChatCompletion):
            raise _Retryable("the endpoint's answer holds no choice")
        text = message.content or getattr(message, "refusal", None) or ""
        answer = Answer(
            text=text if isinstance(text, str) else json.dumps(text, ensure_ascii=False),
            model=str(completion.model or self._endpoint.model),
            finish_reason=str(choice.finish_reason or ""),
        )
        return Completion(answer, self._usage(completion))

    def _usage(self, completion: ChatCompletion) -> Usage:
        reported = completion.usage
        prompt = _count(reported, "prompt_tokens")
        generated = _count(reported, "completion_tokens")
        details = getattr(reported, "prompt_tokens_details", None)
        cached = _count(details, "cached_tokens") or _count(reported, "prompt_cache_hit_tokens")
        cached = min(cached, prompt)
        cost = self._info.prices.cost(prompt=prompt, completion=generated, cached=cached)
        return Usage(1, prompt, generated, cached, cost)

    def _unavailable(
        self, problem: str, attempts: int, retry_after_seconds: float | None
    ) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"{problem} (attempt {attempts})",
            metadata={
                "provider": self._info.name,
                "problem": problem,
                "attempts": str(attempts),
            },
            retry_after_seconds=retry_after_seconds,
        )


def _count(holder: object, name: str) -> int:
    value = getattr(holder, name, 0)
    return value if isinstance(value, int) and value > 0 else 0


def _retry_after(headers: Any) -> float | None:
    """Seconds that the endpoint asks to wait: a number or a date; None where it does not say."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return max(0.0, float(headers.get(name)) / unit)
        except (TypeError, ValueError):
            continue
    try:
        date = email.utils.parsedate_to_datetime(headers.get("retry-after"))
    except (TypeError, ValueError):
        return None
    return max(0.0, date.timestamp() - time.time())


def _digest(endpoint: Endpoint, window: Window) -> str:
    shaping = {
        "kind": "openai",
        "base_url": endpoint.base_url,
        "model": endpoint.model,
        "temperature": endpoint.temperature,
        "json_mode": endpoint.json_mode,
        "answer_tokens": window.answer_tokens,
    }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()
