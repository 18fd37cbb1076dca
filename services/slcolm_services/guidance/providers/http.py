"""An HTTP client that reads no body beyond a bound."""

from __future__ import annotations

from typing import Any

import httpx2
import openai

_BODY_HEADERS = frozenset({"content-encoding", "content-length", "transfer-encoding"})


class BodyTooLong(Exception):
    """A response's body is longer than its bound."""


class BoundedClient(openai.DefaultAsyncHttpxClient):
    """An asyncio client for `openai.AsyncOpenAI`.

    The bound holds for every status: an error's body fills the memory as well as an answer's.

    Args:
        max_body_bytes: Most bytes of a body, after decompression. Streamed responses are their
            reader's own affair.
        options: As `openai.DefaultAsyncHttpxClient` takes them.
    """

    def __init__(self, max_body_bytes: int, **options: Any) -> None:
        super().__init__(**options)
        self._max_body_bytes = max_body_bytes

    async def send(
        self, request: httpx2.Request, *, stream: bool = False, **options: Any
    ) -> httpx2.Response:
        """Send a request and read its response.

        Raises:
            BodyTooLong: The body goes on beyond the bound; the connection is closed.
        """
        response = await super().send(request, stream=True, **options)
        if stream:
            return response
        body = bytearray()
        try:
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > self._max_body_bytes:
                    raise BodyTooLong
        finally:
            await response.aclose()
        return httpx2.Response(
            response.status_code,
            headers=[
                pair for pair in response.headers.multi_items() if pair[0] not in _BODY_HEADERS
            ],
            content=bytes(body),
            request=response.request,
        )
