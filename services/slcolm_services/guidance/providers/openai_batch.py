"""Batches by OpenAI's `/v1/files` and `/v1/batches`."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

import openai
from openai.types import Batch

from slcolm_services.errors import BatchTooLarge, BatchUnsupported, ProviderUnavailable
from slcolm_services.guidance.providers.base import Request
from slcolm_services.guidance.providers.batch import (
    BatchResult,
    BatchState,
    RemoteBatch,
    Unconfirmed,
)
from slcolm_services.guidance.providers.endpoint import Endpoint
from slcolm_services.guidance.providers.reading import Unreadable, read_completion
from slcolm_services.guidance.usage import Prices, Usage

_URL: Final = "/v1/chat/completions"
_MAX_REQUESTS = 50_000
_MAX_BYTES = 200 * 1000 * 1000
_ATTEMPTS_AGAIN = 3
_TIMEOUT_SECONDS = 600.0
_CLOCK_SKEW = timedelta(hours=1)
_LINES_AT_A_TIME = 500
_OK, _TIMEOUT, _SERVER_ERROR = 200, 408, 500
_NOT_THERE = frozenset({404, 405, 501})
_STATES = {
    "completed": BatchState.SUCCEEDED,
    "failed": BatchState.FAILED,
    "expired": BatchState.FAILED,
    "cancelled": BatchState.CANCELLED,
}


class OpenAIBatches:
    """Batches at one endpoint of a model.

    Args:
        name: Name of the provider, for errors.
        model: Model name where an answer tells none.
        endpoint: Where.
        prices: What it charges for requests in batches.
    """

    def __init__(self, name: str, model: str, endpoint: Endpoint, prices: Prices) -> None:
        self._name = name
        self._model = model
        self._endpoint = endpoint
        self._prices = prices

    @property
    def prices(self) -> Prices:
        """What it charges for requests in batches."""
        return self._prices

    @property
    def is_known(self) -> bool:
        """Whether the endpoint has answered before."""
        return bool(self._endpoint.answer_form)

    async def upload(self, requests: Mapping[str, Request]) -> str:
        """Bring the requests to the endpoint; see `BatchProvider.upload`."""
        content = await asyncio.to_thread(self._lines, requests)
        async with self._client() as client:
            try:
                file = await client.files.create(file=("requests.jsonl", content), purpose="batch")
            except openai.APIStatusError as error:
                if error.status_code in _NOT_THERE:
                    raise BatchUnsupported(
                        f"the endpoint of {self._name!r} takes no batches",
                        metadata={"provider": self._name},
                    ) from None
                raise
        return file.id

    async def create(self, file_id: str, name: str) -> RemoteBatch:
        """Have the requests of a file answered; see `BatchProvider.create`."""
        async with self._client() as client:
            try:
                # Not again by itself: it is not known what the first attempt did.
                batch = await client.with_options(max_retries=0).batches.create(
                    input_file_id=file_id,
                    endpoint=_URL,
                    completion_window="24h",
                    metadata={"slcolm_batch": name},
                )
            except openai.APIStatusError as error:
                if error.status_code >= _SERVER_ERROR or error.status_code == _TIMEOUT:
                    raise Unconfirmed from error
                raise
            except openai.APIConnectionError as error:
                raise Unconfirmed from error
        return _remote(batch)

    async def find(self, file_id: str, since: datetime) -> RemoteBatch | None:
        """The batch of a file; the endpoint lists the newest first."""
        oldest = (since - _CLOCK_SKEW).timestamp()
        async with self._client() as client:
            async for batch in client.batches.list(limit=100):
                if batch.input_file_id == file_id:
                    return _remote(batch)
                if batch.created_at < oldest:
                    break
        return None

    async def get(self, remote_id: str) -> RemoteBatch:
        """How a batch stands."""
        async with self._client() as client:
            return _remote(await client.batches.retrieve(remote_id))

    async def cancel(self, remote_id: str) -> RemoteBatch:
        """Ask the endpoint to stop a batch."""
        async with self._client() as client:
            return _remote(await client.batches.cancel(remote_id))

    async def results(
        self, file_id: str, prompt_tokens: Mapping[str, int]
    ) -> AsyncIterator[Sequence[BatchResult]]:
        """What a file of results holds; it goes through a file here, not through memory."""
        with tempfile.TemporaryDirectory(prefix="slcolm-batch-") as folder:
            path = Path(folder, "results.jsonl")
            async with (
                self._client() as client,
                client.files.with_streaming_response.content(file_id) as response,
            ):
                await response.stream_to_file(path)
            with await asyncio.to_thread(path.open, "rb") as lines:
                while part := await asyncio.to_thread(self._read, lines, prompt_tokens):
                    yield part

    def _lines(self, requests: Mapping[str, Request]) -> bytes:
        if len(requests) > _MAX_REQUESTS:
            raise _too_large(f"{len(requests)} requests", f"{_MAX_REQUESTS}")
        lines = bytearray()
        for digest, request in requests.items():
            line = {
                "custom_id": digest,
                "method": "POST",
                "url": _URL,
                "body": self._endpoint.dialect.body(request),
            }
            lines += json.dumps(line, ensure_ascii=False).encode() + b"\n"
            if len(lines) > _MAX_BYTES:
                raise _too_large(f"more than {_MAX_BYTES} bytes", f"{_MAX_BYTES} bytes")
        return bytes(lines)

    def _read(self, lines: Iterable[bytes], prompt_tokens: Mapping[str, int]) -> list[BatchResult]:
        return [
            result
            for line in islice(lines, _LINES_AT_A_TIME)
            for result in self._result(line, prompt_tokens)
        ]

    def _result(self, line: bytes, prompt_tokens: Mapping[str, int]) -> Iterator[BatchResult]:
        """What a line tells; lines of other requests than ours tell nothing."""
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            return
        digest = told.get("custom_id") if isinstance(told, dict) else None
        if not isinstance(digest, str) or digest not in prompt_tokens:
            return
        response = told.get("response")
        if not isinstance(response, dict) or response.get("status_code") != _OK:
            yield BatchResult(digest, None, Usage())
            return
        try:
            completion = read_completion(
                json.dumps(response.get("body")).encode(),
                model=self._model,
                prompt_tokens=prompt_tokens[digest],
                prices=self._prices,
            )
        except Unreadable as error:
            yield BatchResult(digest, None, error.usage)
        else:
            yield BatchResult(digest, completion, completion.usage)

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[openai.AsyncOpenAI]:
        """A client whose errors are ours; they tell none of the endpoint's words."""
        async with self._endpoint.open_client() as client:
            try:
                yield client.with_options(max_retries=_ATTEMPTS_AGAIN, timeout=_TIMEOUT_SECONDS)
            except openai.APIStatusError as error:
                raise self._unavailable(f"answered {error.status_code}") from None
            except openai.APIError as error:
                raise self._unavailable(f"failed: {type(error).__name__}") from None

    def _unavailable(self, problem: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"the endpoint of {self._name!r} {problem}",
            metadata={"provider": self._name, "problem": problem},
        )


def _remote(batch: Batch) -> RemoteBatch:
    state = _STATES.get(batch.status, BatchState.RUNNING)
    problem = ""
    if state is BatchState.FAILED:
        errors = (batch.errors.data if batch.errors else None) or []
        codes = sorted({error.code for error in errors if error.code})
        problem = f"the provider ended the batch as {batch.status}" + (
            f": {', '.join(codes)}" if codes else ""
        )
    files = () if state is BatchState.RUNNING else (batch.output_file_id, batch.error_file_id)
    return RemoteBatch(batch.id, state, tuple(file for file in files if file), problem)


def _too_large(size: str, limit: str) -> BatchTooLarge:
    return BatchTooLarge(
        f"the batch has {size}; the provider takes {limit} at once: submit it in parts",
        metadata={"limit": limit},
    )
