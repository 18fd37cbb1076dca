"""What an endpoint of chat completions on this machine reads and sends."""

from __future__ import annotations

import asyncio
import json

NO_CHANGE = '{"reasoning": "As predicted.", "entities": {}, "relations": {}}'
"""An answer that leaves a prediction as it is."""


async def read_body(reader: asyncio.StreamReader) -> bytes:
    """Body of the next request of a connection.

    Raises:
        asyncio.IncompleteReadError: The client has hung up.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split()[0]
    return await reader.readexactly(int(length))


def respond(writer: asyncio.StreamWriter, status: str, payload: object) -> None:
    """Send JSON with a status such as `200 OK`."""
    raw = json.dumps(payload).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}"
    writer.write(f"{head}\r\n\r\n".encode() + raw)


def complete(writer: asyncio.StreamWriter, content: str) -> None:
    """Send a completion."""
    message = {"role": "assistant", "content": content}
    completion = {
        "id": "c",
        "object": "chat.completion",
        "created": 1,
        "model": "local",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 900, "completion_tokens": 20, "total_tokens": 920},
    }
    respond(writer, "200 OK", completion)
